use std::time::Duration;

use http::Method;
use platform::BodyError;

use super::*;

const ANSWER: &str = r#"{"choices":[]}"#;

#[test]
fn the_provider_gets_the_callers_bytes_and_our_credential_only() {
    let scene = Scene::new();
    scene.provider_json(ANSWER);
    let mut request =
        post(r#"{"seed":1.50, "model" :"default","messages":[{"role":"user","content":"hi"}],"zeta":null}"#);
    for (name, value) in [
        ("authorization", "Bearer users-own"),
        ("cookie", "__Host-qlp_session=x"),
        ("x-api-key", "qlp_live_x"),
        ("connection", "keep-alive"),
        ("accept-encoding", "gzip"),
        ("x-forwarded-for", "10.0.0.1"),
        ("openai-organization", "org-x"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    scene.call(request).unwrap();
    let sent = scene.sent();
    assert_eq!(sent.uri, "http://simulator.test/v1/chat/completions");
    assert_eq!(sent.method, Method::POST);
    assert_eq!(
        sent.text(),
        r#"{"seed":1.50, "model" :"sim/large","messages":[{"role":"user","content":"hi"}],"zeta":null}"#
    );
    let mut headers: Vec<_> =
        sent.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    headers.sort();
    assert_eq!(
        headers,
        [
            "accept-encoding: identity",
            "accept: application/json",
            "authorization: Bearer sk-simulator-key",
            "content-type: application/json",
            "x-request-id: request-1",
        ]
    );
    assert!(sent.headers["authorization"].is_sensitive());
}

#[test]
fn a_bad_request_reaches_nobody() {
    let scene = Scene::with(&[("LLM_MAX_BODY_BYTES", "100")]);
    scene.provider_json(ANSWER);
    let long = format!(r#"{{"model":"default","messages":["{}"]}}"#, "x".repeat(100));
    for (body, status, code) in [
        ("", 400, "malformed_body"),
        ("{", 400, "malformed_body"),
        ("null", 400, "invalid_request"),
        (r#"{"model":"default"}"#, 400, "invalid_request"),
        (long.as_str(), 413, "body_too_large"),
    ] {
        let (actual, _, error) = refused(scene.complete(body).unwrap_err());
        assert_eq!((actual, error["code"].as_str()), (status, Some(code)), "{body}");
    }
    let invalid = scene.call(post(Bytes::from_static(b"{\"model\":\"\xff\"}"))).unwrap_err();
    assert!(refused(invalid).2["message"].as_str().unwrap().contains("UTF-8 at byte 10"));
    assert_eq!(scene.host.http.requests().len(), 0);
    assert_eq!(scene.events().len(), 0);
}

#[test]
fn only_json_is_accepted() {
    let scene = Scene::new();
    let mut request = post("{}");
    request.headers_mut().insert(CONTENT_TYPE, "text/plain".parse().unwrap());
    assert_eq!(refused(scene.call(request).unwrap_err()).0, 415);
}

#[test]
fn a_body_that_does_not_arrive_is_given_up() {
    let scene = Scene::new();
    let (handle, body) = streamed_body();
    handle.send("{\"model\":");
    let started = scene.host.clock.now();
    assert_eq!(refused(scene.call(post(body)).unwrap_err()).0, 408);
    assert_eq!(scene.host.clock.now().duration_since(started), Duration::from_secs(30));
    let cut = Body::from_stream(futures_util::stream::iter([Err(BodyError::Interrupted("gone".into()))]));
    assert_eq!(refused(scene.call(post(cut)).unwrap_err()).0, 400);
}

#[test]
fn other_methods_and_paths_are_told_what_there_is() {
    let scene = Scene::new();
    for (uri, method, allow) in [
        ("/v1/chat/completions", Method::GET, "POST"),
        ("/v1/embeddings", Method::GET, "POST"),
        ("/v1/responses", Method::GET, "POST"),
        ("/v1/messages", Method::PUT, "POST"),
        ("/v1/models", Method::POST, "GET, HEAD"),
        ("/v1/models/default", Method::DELETE, "GET, HEAD"),
        ("/v1/usage", Method::DELETE, "GET, HEAD"),
        ("/v1/usage/export", Method::POST, "GET, HEAD"),
    ] {
        let mut request = get(&format!("https://edge.test{uri}"));
        *request.method_mut() = method;
        let (status, headers, _) = refused(scene.call(request).unwrap_err());
        assert_eq!((status, headers["allow"].to_str().unwrap()), (405, allow));
    }
    for path in [
        "/v1",
        "/v1/chat",
        "/v1/chat/completions/x",
        "//v1/models",
        "/v1/models/",
        "/v1/models/a/b",
        "/v1/responses/resp_1",
        "/v1/messages/count_tokens",
    ] {
        assert_eq!(refused(scene.call(get(&format!("https://edge.test{path}"))).unwrap_err()).0, 404);
    }
}

#[test]
fn an_unknown_model_and_one_without_a_configured_provider_are_not_there() {
    let scene = Scene::new();
    scene.provider_json(ANSWER);
    for model in ["nothing", "elsewhere", "sim/large", "DEFAULT"] {
        let body = format!(r#"{{"model":"{model}","messages":[1]}}"#);
        let (status, _, error) = refused(scene.complete(&body).unwrap_err());
        assert_eq!(
            (status, error["code"].as_str(), error["param"].as_str()),
            (404, Some("model_not_found"), Some("model"))
        );
    }
    assert_eq!(scene.events().len(), 0);
}

#[test]
fn the_trace_goes_on_to_the_provider_as_a_child() {
    let scene = Scene::new();
    scene.provider_json(ANSWER);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = http::HeaderMap::from_iter([(telemetry::TRACEPARENT, trace.parse().unwrap())]);
    let mut request = post(r#"{"model":"default","messages":[1]}"#);
    request.extensions_mut().insert(telemetry::TraceContext::accept(&headers, &scene.host.entropy));
    scene.call(request).unwrap();
    let sent = scene.sent();
    let sent = sent.header("traceparent").unwrap();
    assert!(sent.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && !sent.contains("b7ad6b7169203331"), "{sent}");
}
