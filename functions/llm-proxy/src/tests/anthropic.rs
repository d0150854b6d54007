//! Anthropic behind the proxy, whose answers are constructed from its reference: the service itself was not called.

use super::*;

const REQUEST: &str = r#"{"model":"claude","messages":[{"role":"user","content":"hello there"}]}"#;
const STREAM: &str = r#"{"model":"claude","messages":[{"role":"user","content":"hello there"}],"stream":true}"#;
const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"claude-1\",\"usage\":{\"input_tokens\":4,\"cache_read_input_tokens\":6,\"output_tokens\":1}}}\n\n";
const HELLO: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n";
const DELTA: &str = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n";
const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// A proxy whose model `claude` is Anthropic's, and the simulator's where that fails.
fn scene() -> Scene {
    let scene = Scene::with(&[("ANTHROPIC_BASE_URL", "http://anthropic.test"), ("ANTHROPIC_API_KEY", "a-key")]);
    let route = |provider: &str| json!({"provider": provider, "model": "m", "input_nano_usd": 100, "output_nano_usd": 500, "cached_input_nano_usd": 10});
    let model = |alias: &str, routes: Value| json!({"alias": alias, "created": 1, "owned_by": "qlp", "routes": routes});
    let models = [
        model("claude", json!([route("anthropic")])),
        model("default", json!([route("anthropic"), route("simulator")])),
    ];
    scene.database.lock().unwrap().models = json!({"models": models});
    scene
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers()[name].to_str().unwrap()
}

fn streamed(parts: &[&str]) -> (Vec<String>, Value) {
    let scene = scene();
    let provider = scene.provider_stream();
    for part in parts {
        provider.send(part.as_bytes().to_vec());
    }
    provider.finish();
    let pieces = pieces(&scene, scene.complete(STREAM).unwrap());
    (pieces, scene.event())
}

#[test]
fn a_message_is_answered_and_billed_as_a_completion() {
    let scene = scene();
    scene.provider(|| {
        let body = r#"{"id":"msg_1","model":"claude-1","content":[{"type":"text","text":"Hi."}],"stop_reason":"end_turn","usage":{"input_tokens":4,"cache_read_input_tokens":6,"output_tokens":2}}"#;
        let mut answer = response(200, "application/json", body);
        answer.headers_mut().insert("request-id", http::HeaderValue::from_static("req_1"));
        Ok(answer)
    });
    let answer = scene.complete(REQUEST).unwrap();
    assert_eq!(header(&answer, "x-qlp-provider"), "anthropic");
    assert_eq!(header(&answer, "x-qlp-model"), "claude-1");
    assert_eq!(answer.headers()["x-upstream-request-id"], "req_1");
    let body: Value = serde_json::from_str(&text(&scene, answer)).unwrap();
    assert_eq!(body["choices"][0]["message"]["content"], "Hi.");
    let event = scene.event();
    assert_eq!(
        ["input_tokens", "cached_input_tokens", "output_tokens", "cost_nano_usd"]
            .map(|name| event[name].as_i64().unwrap()),
        [10, 6, 2, 4 * 100 + 6 * 10 + 2 * 500]
    );
}

#[test]
fn a_stream_hides_the_usage_nobody_asked_for_and_bills_it() {
    let (pieces, event) = streamed(&[START, HELLO, DELTA, STOP]);
    let text = pieces.concat();
    assert!(text.contains("\"content\":\"Hello\"") && text.ends_with("data: [DONE]\n\n"), "{text}");
    assert!(!text.contains("usage"), "{text}");
    assert_eq!(
        (&event["status"], &event["finish_reason"], &event["usage_source"]),
        (&json!("success"), &json!("stop"), &json!("provider"))
    );
    assert_eq!((&event["input_tokens"], &event["cached_input_tokens"]), (&json!(10), &json!(6)));
}

#[test]
fn a_stream_that_ends_too_early_or_with_an_error_is_no_success() {
    let error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"secret words\"}}\n\n";
    for (last, status) in
        [("", "truncated"), (DELTA, "truncated"), (error, "upstream_error"), ("data: {\n\n", "upstream_error")]
    {
        let (pieces, event) = streamed(&[START, HELLO, last]);
        let text = pieces.concat();
        assert!(text.contains("\"error\"") && !text.contains("[DONE]") && !text.contains("secret"), "{text}");
        assert_eq!(event["status"], status, "{last}");
    }
}

#[test]
fn what_cannot_be_asked_goes_to_a_route_where_it_can_and_opens_no_breaker() {
    let scene = scene();
    scene.provider_json(r#"{"model":"m","choices":[{"message":{"content":"Hi."},"finish_reason":"stop"}]}"#);
    let request =
        |model: &str| json!({"model": model, "messages": [{"role": "user", "content": "Hi"}], "n": 2}).to_string();
    for _ in 0..6 {
        let answer = scene.complete(&request("default")).unwrap();
        assert_eq!((header(&answer, "x-qlp-provider"), header(&answer, "x-qlp-attempts")), ("simulator", "2"));
        let (status, _, error) = refused(scene.complete(&request("claude")).unwrap_err());
        assert_eq!((status, error["param"].as_str()), (400, Some("n")));
    }
    assert_eq!(scene.host.http.requests().iter().filter(|sent| sent.uri.host() == Some("anthropic.test")).count(), 0);
}

#[test]
fn an_overloaded_provider_is_left_for_the_next_and_an_unpaid_one_is_not_spoken_of() {
    let unpaid =
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}"#;
    for (status, body, expected, tries) in
        [(529, r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#, 503, 2), (400, unpaid, 502, 1)]
    {
        let scene = scene();
        scene.provider(move || Ok(response(status, "application/json", body)));
        let (status, _, error) = refused(scene.complete(REQUEST).unwrap_err());
        assert_eq!((status, scene.event()["attempts"].as_u64()), (expected, Some(tries)));
        assert!(!error.to_string().contains("credit"), "{error}");
    }
}
