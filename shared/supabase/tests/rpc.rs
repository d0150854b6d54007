//! What goes over the wire for a database function, and what comes of the answer.

#![allow(clippy::unwrap_used)] // tests

use std::time::Duration;

use platform::SendError;
use platform::fakes::{Host, Recorded};
use secrecy::SecretString;
use serde_json::{Value, json};
use supabase::{AUTHENTICATE_KEY, CREATE_KEY, Config, Error, Identity, LIST_MODELS, READY, RPCS, Supabase};

fn project(publishable: &str, secret: &str) -> Supabase {
    Supabase::new(Config {
        url: "https://x.supabase.co/".parse().unwrap(),
        publishable_key: publishable.into(),
        secret_key: Some(secret.into()),
    })
}

fn new_keys() -> Supabase {
    project("sb_publishable_p", "sb_secret_s")
}

fn call(host: &Host, project: &Supabase, function: supabase::Rpc, identity: Identity<'_>) -> Result<Value, Error> {
    host.block_on(project.rpc(&host.context(), function, &json!({"a": 1}), identity))
}

fn sent(project: &Supabase, identity: Identity<'_>) -> Recorded {
    let host = Host::new();
    host.http.reply_json(200, "{}");
    call(&host, project, READY, identity).unwrap();
    host.http.requests().remove(0)
}

#[test]
fn a_call_is_one_post_with_one_payload_to_schema_api() {
    let request = sent(&new_keys(), Identity::Service);
    assert_eq!(
        (request.method.as_str(), request.uri.to_string()),
        ("POST", "https://x.supabase.co/rest/v1/rpc/ready".into())
    );
    assert_eq!(request.text(), r#"{"payload":{"a":1}}"#);
    let mut names: Vec<_> = request.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "apikey", "content-profile", "content-type", "user-agent"]);
    assert_eq!(
        (request.header("content-profile"), request.header("content-type")),
        (Some("api"), Some("application/json"))
    );
}

#[test]
fn without_a_secret_key_nothing_is_sent_as_the_edge() {
    let config = Config {
        url: "https://x.supabase.co/".parse().unwrap(),
        publishable_key: "sb_publishable_p".into(),
        secret_key: None,
    };
    let host = Host::new();
    let refused = call(&host, &Supabase::new(config), LIST_MODELS, Identity::Service);
    assert!(matches!(refused, Err(Error::Unusable(_))), "{refused:?}");
    assert!(host.http.requests().is_empty());
}

#[test]
fn new_keys_are_sent_as_apikey_alone_and_legacy_keys_as_both() {
    let headers = |project: &Supabase, identity: Identity<'_>| {
        let request = sent(project, identity);
        (request.header("apikey").unwrap().to_owned(), request.header("authorization").map(str::to_owned))
    };
    let token = SecretString::from("user.jwt.x");
    let user = Some("Bearer user.jwt.x".to_owned());
    let new = new_keys();
    assert_eq!(headers(&new, Identity::Service), ("sb_secret_s".into(), None));
    assert_eq!(headers(&new, Identity::Anonymous), ("sb_publishable_p".into(), None));
    assert_eq!(headers(&new, Identity::User(&token)), ("sb_publishable_p".into(), user.clone()));
    let legacy = project("eyJanon", "eyJservice");
    assert_eq!(headers(&legacy, Identity::Service), ("eyJservice".into(), Some("Bearer eyJservice".into())));
    assert_eq!(headers(&legacy, Identity::Anonymous), ("eyJanon".into(), Some("Bearer eyJanon".into())));
    assert_eq!(headers(&legacy, Identity::User(&token)), ("eyJanon".into(), user));
}

#[test]
fn credentials_are_marked_so_that_nobody_logs_them() {
    let request = sent(&project("eyJanon", "eyJservice"), Identity::Service);
    assert!(request.headers["apikey"].is_sensitive() && request.headers["authorization"].is_sensitive());
    assert!(!format!("{:?}", new_keys()).contains("sb_"));
    assert!(!format!("{:?}", Identity::User(&SecretString::from("user.jwt.x"))).contains("jwt"));
}

#[test]
fn an_idempotent_call_is_tried_once_more_after_a_momentary_failure() {
    let failures: [fn(&Host); 4] = [
        |host| host.http.fail(SendError::Unreachable("refused".into())),
        |host| host.http.reply_json(503, "{}"),
        |host| host.http.reply_json(500, r#"{"code":"40001"}"#),
        |host| host.http.reply_json(500, r#"{"code":"40P01"}"#),
    ];
    for fail in failures {
        let host = Host::new();
        fail(&host);
        host.http.reply_json(200, r#"{"ok":true}"#);
        assert_eq!(call(&host, &new_keys(), LIST_MODELS, Identity::Service), Ok(json!({"ok": true})));
        let host = Host::new();
        fail(&host);
        fail(&host);
        host.http.reply_json(200, "{}");
        assert!(call(&host, &new_keys(), LIST_MODELS, Identity::Service).is_err());
        assert_eq!(host.http.requests().len(), 2);
    }
}

#[test]
fn nothing_else_is_tried_again() {
    for (status, body) in [(500, "{}"), (502, "<html>"), (500, r#"{"code":"57014"}"#), (400, r#"{"code":"PT400"}"#)] {
        let host = Host::new();
        host.http.reply_json(status, body);
        assert!(call(&host, &new_keys(), LIST_MODELS, Identity::Service).is_err());
        assert_eq!(host.http.requests().len(), 1, "{body}");
    }
    let host = Host::new();
    host.http.fail(SendError::Unreachable("cut".into()));
    let token = SecretString::from("user.jwt.x");
    assert!(call(&host, &new_keys(), CREATE_KEY, Identity::User(&token)).is_err());
    assert_eq!(host.http.requests().len(), 1, "a call that is not idempotent");
}

#[test]
fn a_silent_project_is_a_timeout_after_the_deadline_retry_included() {
    for (project, seconds) in [(new_keys(), 5), (new_keys().with_deadline(Duration::from_secs(2)), 2)] {
        let host = Host::new();
        host.http.reply_json(503, "{}");
        let held = host.http.hold();
        let began = host.clock.now();
        assert_eq!(call(&host, &project, AUTHENTICATE_KEY, Identity::Service), Err(Error::Timeout));
        assert_eq!(host.clock.now().duration_since(began).as_secs(), seconds);
        assert!(held.is_cancelled());
    }
}

#[test]
fn an_answer_that_is_too_large_or_no_json_is_unusable() {
    let too_large = format!("\"{}\"", "x".repeat(1024 * 1024));
    for body in [too_large.as_str(), "<html>secret</html>", ""] {
        let host = Host::new();
        host.http.reply_json(200, body.to_owned());
        let error = call(&host, &new_keys(), LIST_MODELS, Identity::Service).unwrap_err();
        assert!(matches!(error, Error::Unusable(_)), "{error}");
        assert!(!error.to_string().contains("secret"));
    }
}

#[test]
fn every_function_is_listed_once() {
    let mut names: Vec<_> = RPCS.iter().map(|rpc| rpc.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), RPCS.len());
}
