//! Golden requests, answers and streams, constructed from the public reference: the service itself was not called.

#![allow(clippy::needless_pass_by_value)] // `json!({…})` reads better than `&json!({…})` at every call

mod answers;
mod requests;
mod streams;

use http::Method;
use platform::Timestamp;
use platform::fakes::Host;
use problem::{Dialect, kinds};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::endpoint::Endpoint;
use crate::error_words::ErrorWords;

fn anthropic(base: &str) -> Anthropic {
    Anthropic(Messages::at(&base.parse().unwrap(), Some("a-key".into())).unwrap())
}

fn identity() -> Identity {
    Identity { id: Uuid::from_u128(7), model: "claude".into(), created: Timestamp::from_second(1_700_000_000).unwrap() }
}

#[test]
fn asks_below_its_base_with_its_key_and_the_version() {
    let completion = Bytes::from_static(br#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#);
    let completion = ModelRequest::parse(Endpoint::ChatCompletions, completion).unwrap();
    for (base, uri) in [
        ("https://api.anthropic.com/v1", "https://api.anthropic.com/v1/messages"),
        ("https://gateway.test/anthropic/v1/?x=1", "https://gateway.test/anthropic/v1/messages"),
    ] {
        let route = Route::to("anthropic", "claude");
        let request = anthropic(base).request(&completion, &route, &Host::new().context()).unwrap();
        assert_eq!((request.uri().to_string().as_str(), request.method()), (uri, &Method::POST));
        assert_eq!(request.headers()["x-api-key"], "a-key");
        assert_eq!(request.headers()["anthropic-version"], "2023-06-01");
        assert!(!format!("{request:?}").contains("a-key"));
    }
}

/// What becomes of an error: its status, code and type.
fn refused(status: u16, kind: &str, message: &str) -> (u16, Value, Value) {
    let body = json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}).to_string();
    let status = StatusCode::from_u16(status).unwrap();
    let refusal = anthropic("https://a.test").refusal(status, &HeaderMap::new(), body.as_bytes());
    let words = refusal.words.body(&Problem::new(kinds::INVALID_REQUEST), "m", Dialect::OpenAi, "r-1");
    (refusal.status.as_u16(), words["error"]["code"].clone(), words["error"]["type"].clone())
}

#[test]
fn errors_have_the_status_and_the_code_of_openai() {
    const INVALID: &str = "invalid_request_error";
    let own = || json!("invalid_request");
    for (status, kind, message, expected) in [
        (400, INVALID, "messages: at least one message is required", (400, own())),
        (400, INVALID, "prompt is too long: 210000 tokens > 200000 maximum", (400, json!("context_length_exceeded"))),
        (
            400,
            INVALID,
            "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
            (400, json!("context_length_exceeded")),
        ),
        (400, INVALID, "Your credit balance is too low to access the Anthropic API.", (402, own())),
        (400, INVALID, "You have reached your specified API usage limits.", (402, own())),
        (400, INVALID, "This organization has been disabled.", (402, own())),
        (401, "authentication_error", "invalid x-api-key", (401, own())),
        (403, "permission_error", "no", (403, own())),
        (404, "not_found_error", "model: claude-0", (404, own())),
        (413, "request_too_large", "Request exceeds the maximum size", (413, own())),
        (429, "rate_limit_error", "slow down", (429, json!("rate_limit_exceeded"))),
        (500, "api_error", "Internal server error", (500, own())),
        (529, "overloaded_error", "Overloaded", (503, own())),
    ] {
        let (status, code, sent) = refused(status, kind, message);
        assert_eq!(((status, code), sent), (expected, json!(kind)), "{message}");
    }
}

#[test]
fn an_error_that_is_no_json_keeps_its_status() {
    let refusal = anthropic("https://a.test").refusal(StatusCode::BAD_GATEWAY, &HeaderMap::new(), b"<html>");
    assert_eq!((refusal.status, refusal.words), (StatusCode::BAD_GATEWAY, ErrorWords::default()));
}
