//! What goes over the wire to Supabase Storage, and what comes of the answer.

#![allow(clippy::unwrap_used)] // tests

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use platform::fakes::{Host, Recorded, streamed_body};
use platform::{Body, Context, HttpClient, Request, Response, SendError};
use problem::{Dialect, Problem};
use secrecy::SecretString;
use serde_json::json;
use supabase::{Config, Error, Identity, StorageError, Supabase, Upload};

const TOO_LARGE: &str = r#"{"statusCode":"413","error":"Payload too large","message":"secret"}"#;

fn project() -> Supabase {
    Supabase::new(Config {
        url: "http://127.0.0.1:54321/".parse().unwrap(),
        publishable_key: "sb_publishable_p".into(),
        secret_key: Some("sb_secret_s".into()),
    })
}

fn answering(status: u16, body: &str) -> Host {
    let host = Host::new();
    host.http.reply_json(status, body.to_owned());
    host
}

fn upload_of(body: Body) -> Upload<'static> {
    Upload { body, content_type: "text/plain", content_length: Some(5), deadline: Duration::from_mins(1) }
}

fn upload(host: &Host, context: &Context, path: &str, upload: Upload<'_>) -> Result<(), StorageError> {
    host.block_on(project().storage().upload(context, "docs", path, upload, Identity::Service))
}

fn download(host: &Host, path: &str, range: Option<&str>) -> Result<Response, StorageError> {
    host.block_on(project().storage().download(&host.context(), "docs", path, range, Identity::Service))
}

fn remove(host: &Host, identity: Identity<'_>) -> Result<(), StorageError> {
    host.block_on(project().storage().remove(&host.context(), "docs", "a.txt", identity))
}

fn sign(host: &Host) -> Result<url::Url, StorageError> {
    let expires_in = Duration::from_mins(1);
    let storage = project();
    host.block_on(storage.storage().sign_download(&host.context(), "docs", "a b.txt", expires_in, Identity::Service))
}

fn sent(host: &Host) -> (String, Recorded) {
    let mut requests = host.http.requests();
    assert_eq!(requests.len(), 1);
    let request = requests.remove(0);
    (format!("{} {}", request.method, request.uri), request)
}

fn problem(error: StorageError) -> (u16, String) {
    let response = Problem::from(error).into_response(Dialect::ProblemJson, "r-1");
    (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
}

#[test]
fn an_upload_never_overwrites_and_says_type_and_length() {
    let host = answering(200, r#"{"Key":"docs/a","Id":"1"}"#);
    let token = SecretString::from("a.b.c");
    let project = project();
    let call = project.storage();
    let context = host.context();
    host.block_on(call.upload(&context, "docs", "u1/a b?.txt", upload_of("hello".into()), Identity::User(&token)))
        .unwrap();
    let (target, request) = sent(&host);
    assert_eq!(target, "POST http://127.0.0.1:54321/storage/v1/object/docs/u1/a%20b%3F.txt");
    let headers = ["apikey", "authorization", "content-type", "content-length", "x-upsert"];
    assert_eq!(
        headers.map(|name| request.header(name).unwrap()),
        ["sb_publishable_p", "Bearer a.b.c", "text/plain", "5", "false"]
    );
    assert_eq!(request.text(), "hello");
}

#[test]
fn a_download_passes_range_and_describing_headers_alone() {
    let host = Host::new();
    let response = http::Response::builder().status(206).header("content-type", "text/plain");
    let response =
        response.header("content-range", "bytes 0-4/9").header("content-length", "5").header("etag", "\"e\"");
    let response = response.header("set-cookie", "secret").header("x-other", "secret");
    host.http.reply(response.body("hello".into()).unwrap());
    let response = download(&host, "a.txt", Some("bytes=0-4")).unwrap();
    assert_eq!((response.status().as_u16(), response.headers().len()), (206, 4));
    assert_eq!(response.headers()["content-range"], "bytes 0-4/9");
    assert_eq!(host.block_on(response.into_body().read(9)).unwrap(), "hello");
    let (target, request) = sent(&host);
    assert_eq!(target, "GET http://127.0.0.1:54321/storage/v1/object/docs/a.txt");
    assert_eq!((request.header("range"), request.header("apikey")), (Some("bytes=0-4"), Some("sb_secret_s")));
    assert_eq!(request.header("accept-encoding"), Some("identity"));
}

#[test]
fn a_removal_is_a_delete_without_a_body() {
    let host = answering(200, r#"{"message":"Successfully deleted"}"#);
    remove(&host, Identity::Service).unwrap();
    let (target, request) = sent(&host);
    assert_eq!(target, "DELETE http://127.0.0.1:54321/storage/v1/object/docs/a.txt");
    assert_eq!((request.text(), request.header("content-type")), ("", None));
}

#[test]
fn a_signed_url_is_the_object_s_own_with_the_token_of_the_answer() {
    let forms = [
        "/object/sign/docs/a b.txt?token=e.y.J",
        "/object/sign/docs/a%20b.txt?token=e.y.J&download=",
        "http://127.0.0.1:54321/storage/v1/object/sign/docs/a%20b.txt?token=e.y.J",
    ];
    for form in forms {
        let host = answering(200, &json!({"signedURL": form}).to_string());
        let url = sign(&host).unwrap();
        assert_eq!(url.as_str(), "http://127.0.0.1:54321/storage/v1/object/sign/docs/a%20b.txt?token=e.y.J");
        let (target, request) = sent(&host);
        assert_eq!(target, "POST http://127.0.0.1:54321/storage/v1/object/sign/docs/a%20b.txt");
        assert_eq!(request.text(), r#"{"expiresIn":60}"#);
    }
}

#[test]
fn a_signed_url_of_another_host_or_without_a_token_is_refused() {
    let forms = [
        "https://evil.test/storage/v1/object/sign/docs/a?token=t",
        "http://127.0.0.1:54321.evil.test/storage/v1/object/sign/docs/a?token=t",
        "//evil.test/object/sign/docs/a?token=t",
        "@evil.test/object/sign/docs/a?token=t",
        "/object/sign/docs/a",
        "/object/sign/docs/a?token=",
        "/object/sign/docs/a?token=t#x",
    ];
    for form in forms {
        let error = sign(&answering(200, &json!({"signedURL": form}).to_string())).unwrap_err();
        assert_eq!(problem(error).0, 502, "{form}");
    }
    assert_eq!(problem(sign(&answering(200, "{}")).unwrap_err()).0, 502);
}

#[test]
fn a_name_that_leaves_its_place_is_refused_before_anything_is_sent() {
    let long = "a".repeat(1025);
    for path in ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a\\..\\b", "a\nb", &long] {
        let host = Host::new();
        assert_eq!(download(&host, path, None).unwrap_err(), StorageError::InvalidPath, "{path}");
        assert_eq!(upload(&host, &host.context(), path, upload_of("".into())), Err(StorageError::InvalidPath));
        assert!(host.http.requests().is_empty());
    }
    let host = Host::new();
    for bucket in ["", "..", "a/b"] {
        let (context, project) = (host.context(), project());
        let removed = host.block_on(project.storage().remove(&context, bucket, "a", Identity::Service));
        assert_eq!(removed, Err(StorageError::InvalidPath));
    }
    assert!(matches!(download(&host, "a", Some("bytes=\n")), Err(StorageError::InvalidHeader(_))));
    let kind = Upload { content_type: "a\nb", ..upload_of("".into()) };
    assert!(matches!(upload(&host, &host.context(), "a", kind), Err(StorageError::InvalidHeader(_))));
    assert!(host.http.requests().is_empty());
    let host = answering(200, "x");
    download(&host, "..a/%2e%2e/b", None).unwrap();
    assert!(sent(&host).0.ends_with("/docs/..a/%252e%252e/b"));
}

#[test]
fn the_status_that_counts_is_the_one_in_the_body() {
    for (status, meant, code, expected) in [
        (400, "404", "not_found", 404),
        (400, "404", "Bucket not found", 404),
        (400, "409", "Duplicate", 409),
        (400, "413", "Payload too large", 413),
        (400, "403", "Unauthorized", 403),
        (400, "415", "invalid_mime_type", 415),
        (400, "400", "InvalidKey", 422),
        (400, "416", "InvalidRange", 422),
        (400, "429", "SlowDown", 503),
        (500, "503", "LockTimeout", 503),
        (500, "500", "InternalError", 502),
        (544, "544", "DatabaseTimeout", 504),
        (400, "99999", "secret", 422),
    ] {
        let old = json!({"statusCode": meant, "error": code, "message": "secret"}).to_string();
        let (answered, text) = problem(download(&answering(status, &old), "a", None).unwrap_err());
        assert_eq!(answered, expected, "{code}");
        assert!(!text.contains("secret") && !text.contains(code), "{text}");
    }
    for (status, code, expected) in [
        (404, "NoSuchKey", 404),
        (409, "KeyAlreadyExists", 409),
        (413, "EntityTooLarge", 413),
        (403, "AccessDenied", 403),
    ] {
        let new = json!({"code": code, "message": "secret"}).to_string();
        assert_eq!(problem(remove(&answering(status, &new), Identity::Service).unwrap_err()).0, expected, "{code}");
    }
}

#[test]
fn a_refused_token_is_the_user_s_matter_a_refused_key_ours_and_a_policy_neither() {
    let token = SecretString::from("a.b.c");
    let refused = |message: &str, identity| {
        let body = json!({"statusCode": "403", "error": "Unauthorized", "message": message}).to_string();
        problem(remove(&answering(400, &body), identity).unwrap_err()).0
    };
    for message in ["jwt expired", "Invalid Compact JWS", r#""exp" claim timestamp check failed"#] {
        assert_eq!(refused(message, Identity::User(&token)), 401, "{message}");
        assert_eq!(refused(message, Identity::Service), 503, "{message}");
    }
    assert_eq!(refused("new row violates row-level security policy", Identity::User(&token)), 403);
    assert_eq!(problem(remove(&answering(401, "{}"), Identity::User(&token)).unwrap_err()).0, 401);
}

#[test]
fn gateways_that_answer_in_another_form_are_understood_by_their_status() {
    for (status, expected) in [(301, 502), (304, 502), (404, 502), (413, 413), (502, 502), (503, 503), (504, 504)] {
        for body in ["", "<html>secret</html>", "[]", r#"{"message":"secret"}"#] {
            let (answered, text) = problem(download(&answering(status, body), "a", None).unwrap_err());
            assert_eq!(answered, expected, "{status} {body}");
            assert!(!text.contains("secret"));
        }
    }
}

#[test]
fn a_download_is_here_with_its_head_while_the_body_still_comes() {
    let host = Host::new();
    let (handle, body) = streamed_body();
    host.http.reply(http::Response::new(body));
    let mut stream = download(&host, "a", None).unwrap().into_body().into_stream();
    handle.send("one");
    assert_eq!(host.block_on(stream.next()), Some(Ok(Bytes::from_static(b"one"))));
    drop(stream);
    assert!(handle.is_dropped());
}

#[test]
fn calls_may_cross_threads() {
    fn crosses(_: impl Send) {}
    let (project, context) = (project(), Host::new().context());
    crosses(project.storage().upload(&context, "docs", "a", upload_of("".into()), Identity::Service));
    crosses(project.storage().download(&context, "docs", "a", None, Identity::Service));
}

/// Refuses after the first chunk, as a server does that has seen enough.
struct ImpatientServer;

#[async_trait]
impl HttpClient for ImpatientServer {
    async fn send(&self, request: Request) -> Result<Response, SendError> {
        let first = request.into_body().into_stream().next().await;
        assert_eq!(first, Some(Ok(Bytes::from_static(b"one"))));
        Ok(http::Response::builder().status(400).body(TOO_LARGE.into()).unwrap())
    }
}

#[test]
fn an_upload_is_passed_on_chunk_by_chunk_and_may_be_refused_in_its_middle() {
    let host = Host::new();
    let context = Context { http: Arc::new(ImpatientServer), ..host.context() };
    let (handle, body) = streamed_body();
    handle.send("one");
    assert_eq!(upload(&host, &context, "a", upload_of(body)), Err(StorageError::TooLarge));
    assert!(handle.is_dropped());
}

#[test]
fn an_answer_that_does_not_come_ends_at_the_deadline_and_so_does_an_error_s_body() {
    let late = StorageError::Upstream(Error::Timeout);
    let host = Host::new();
    let (_held, started) = (host.http.hold(), host.clock.now());
    assert_eq!(upload(&host, &host.context(), "a", upload_of("hello".into())), Err(late.clone()));
    assert_eq!(host.clock.now().duration_since(started).as_secs(), 60);

    let host = Host::new();
    let ((_handle, body), started) = (streamed_body(), host.clock.now());
    host.http.reply(http::Response::builder().status(400).body(body).unwrap());
    assert_eq!(download(&host, "a", None).unwrap_err(), late);
    assert_eq!(host.clock.now().duration_since(started).as_secs(), 5);
}

#[test]
fn an_endless_error_is_not_read_and_a_broken_connection_not_tried_again() {
    let host = answering(400, &"x".repeat(1024 * 1024 + 1));
    assert_eq!(problem(download(&host, "a", None).unwrap_err()).0, 502);
    let host = Host::new();
    host.http.fail(SendError::Unreachable("secret".into()));
    let (status, text) = problem(remove(&host, Identity::Service).unwrap_err());
    assert_eq!((status, host.http.requests().len()), (503, 1));
    assert!(!text.contains("secret"));
}
