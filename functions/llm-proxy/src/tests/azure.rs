//! Azure OpenAI, whose answers are constructed from its reference: the service itself was not called.

use super::*;

const REQUEST: &str = r#"{"model":"azure","messages":[{"role":"user","content":"hello there"}]}"#;
const STREAM: &str = r#"{"model":"azure","messages":[{"role":"user","content":"hello there"}],"stream":true}"#;

const PROMPT_FILTER: &str = "data: {\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\",\"prompt_filter_results\":[{\"prompt_index\":0,\"content_filter_results\":{\"hate\":{\"filtered\":false,\"severity\":\"safe\"}}}]}\n\n";
const ROLE: &str = "data: {\"choices\":[{\"content_filter_results\":{},\"delta\":{\"content\":\"\",\"refusal\":null,\"role\":\"assistant\"},\"finish_reason\":null,\"index\":0,\"logprobs\":null}],\"created\":1,\"id\":\"c\",\"model\":\"gpt-4o-mini-2024-07-18\",\"object\":\"chat.completion.chunk\",\"system_fingerprint\":\"fp\"}\n\n";
const HELLO: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"},\"finish_reason\":null,\"index\":0}],\"id\":\"c\",\"model\":\"gpt-4o-mini-2024-07-18\"}\n\n";
const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\",\"index\":0}],\"id\":\"c\",\"model\":\"gpt-4o-mini-2024-07-18\"}\n\n";
const LATE_FILTER: &str = "data: {\"choices\":[{\"content_filter_offsets\":{\"check_offset\":44,\"start_offset\":44,\"end_offset\":198},\"content_filter_results\":{\"hate\":{\"filtered\":false,\"severity\":\"safe\"}},\"finish_reason\":null,\"index\":0}],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\"}\n\n";
const USAGE: &str = "data: {\"choices\":[],\"id\":\"c\",\"model\":\"gpt-4o-mini-2024-07-18\",\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1,\"total_tokens\":10}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// A proxy whose model `azure` is a deployment.
fn scene() -> Scene {
    let scene = Scene::with(&[("AZURE_OPENAI_ENDPOINT", "http://simulator.test"), ("AZURE_OPENAI_API_KEY", "a-key")]);
    let route = json!({"provider": "azure", "model": "mini", "input_nano_usd": 150, "output_nano_usd": 600});
    let model = json!({"alias": "azure", "created": 1, "owned_by": "qlp", "routes": [route]});
    scene.database.lock().unwrap().models = json!({"models": [model]});
    scene
}

fn relayed(parts: &[&str]) -> (Vec<String>, Value) {
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
fn a_deployment_is_asked_with_its_key() {
    let scene = scene();
    scene.provider_json(r#"{"model":"gpt-4o-mini-2024-07-18","prompt_filter_results":[],"choices":[{"index":0,"message":{"content":"Hi."},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":1}}"#);
    let answer = scene.complete(REQUEST).unwrap();
    assert_eq!(answer.headers()["x-qlp-provider"], "azure");
    assert!(text(&scene, answer).contains("\"prompt_filter_results\":[]"));
    let sent = scene.sent();
    assert_eq!(sent.uri.path(), "/openai/v1/chat/completions");
    assert_eq!((sent.header("api-key"), sent.header("authorization")), (Some("a-key"), None));
    assert_eq!(scene.event()["cost_nano_usd"], 9 * 150 + 600);
}

#[test]
fn what_filters_add_to_a_stream_passes_byte_for_byte() {
    let parts = [PROMPT_FILTER, ROLE, HELLO, LATE_FILTER, STOP, LATE_FILTER, USAGE, DONE];
    let (pieces, event) = relayed(&parts);
    assert_eq!(pieces, [PROMPT_FILTER, ROLE, HELLO, LATE_FILTER, STOP, LATE_FILTER, DONE]);
    assert_eq!((&event["status"], &event["output_tokens"]), (&json!("success"), &json!(1)));
    assert_eq!(event["model"], "gpt-4o-mini-2024-07-18");
}

#[test]
fn a_filters_verdict_is_no_text_and_no_end() {
    let scene = scene();
    scene.provider(|| {
        let body = [PROMPT_FILTER, ROLE, LATE_FILTER].concat();
        Ok(response(200, "text/event-stream", body))
    });
    let (status, _, error) = refused(scene.complete(STREAM).unwrap_err());
    assert_eq!((status, error["code"].as_str()), (502, Some("upstream_failed")), "there was no text");
    let (pieces, event) = relayed(&[PROMPT_FILTER, ROLE, HELLO, LATE_FILTER]);
    assert!(pieces.last().unwrap().contains("\"error\"") && !pieces.concat().contains("[DONE]"), "{pieces:?}");
    assert_eq!(event["status"], "truncated");
}

#[test]
fn a_blocked_prompt_is_the_callers_to_know_and_is_sent_once() {
    let scene = scene();
    scene.provider(|| {
        let body = r#"{"error":{"message":"The response was filtered.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#;
        Ok(response(400, "application/json", body))
    });
    let answer = scene.complete(REQUEST).unwrap();
    assert_eq!((answer.status(), scene.sent_count()), (http::StatusCode::BAD_REQUEST, 1));
    let body: Value = serde_json::from_str(&text(&scene, answer)).unwrap();
    let error = json!({"message": "The response was filtered.", "type": "invalid_request_error", "param": "prompt", "code": "content_filter"});
    assert_eq!(body["error"], error);
}

/// Azure's counts can be -1 or 0 with nothing amiss, and its 429 need not say when to come back.
#[test]
fn counts_of_azure_mean_nothing_and_without_a_time_our_own_pause_counts() {
    let scene = scene();
    scene.provider(|| {
        let mut answer = response(429, "application/json", r#"{"error":{"code":"429","message":"m"}}"#);
        for name in ["x-ratelimit-remaining-tokens", "x-ratelimit-remaining-requests"] {
            answer.headers_mut().insert(name, http::HeaderValue::from_static("-1"));
        }
        Ok(answer)
    });
    let started = scene.host.clock.now();
    let answer = scene.complete(REQUEST).unwrap();
    let waited = scene.host.clock.now().duration_since(started);
    assert_eq!((answer.status().as_u16(), scene.sent_count()), (429, 2));
    assert!((200..=400).contains(&waited.as_millis()), "{waited:?}");
    assert!(answer.headers().keys().all(|name| !name.as_str().starts_with("x-ratelimit-remaining-tokens")));
    assert!(!answer.headers().contains_key("retry-after"));
}
