use conformance::{Rig, marker};
use serde_json::{Value, json};

super::list![
    a_completion_is_byte_for_byte_what_the_provider_sent,
    members_the_edge_does_not_know_reach_the_provider_unchanged,
    the_callers_credential_never_reaches_the_provider,
    the_trace_goes_on_to_the_provider,
    tool_calls_survive,
    models_lists_the_aliases_that_can_be_used,
    the_answer_names_provider_model_and_attempts,
    a_large_answer_passes,
];

fn a_completion_is_byte_for_byte_what_the_provider_sent(rig: &Rig) {
    let frozen = json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "sim-1", "service_tier": "default",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "ü 1.0", "refusal": null}, "logprobs": null, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}, "x_unknown": {"a": [1.50, 1e3]}});
    let body = format!(" {}\n", frozen.to_string().replace("1000.0", "1e3").replace("1.5", "1.50"));
    let request = Rig::chat(&marker("bytes"), &json!({"body": body, "content_type": "application/json"}), false);
    let answer = rig.user().post("/v1/chat/completions", &request).expect(200);
    assert_eq!(answer.text(), body);
    assert_eq!(answer.header("content-type"), "application/json");
}

fn members_the_edge_does_not_know_reach_the_provider_unchanged(rig: &Rig) {
    let marker = marker("members");
    let body = format!(
        r#"{{"temperature": 1.0, "seed": 12345678901234567890123, "model": "sim-1", "x_new": {{"b": 1, "a": 2e0}}, "messages": [{{"role": "user", "content": "a\u00e9\ud83d\ude00"}}], "metadata": {{"marker": "{marker}"}}}}"#
    );
    rig.user()
        .send("POST", "/v1/chat/completions", &[("content-type", "application/json")], Some(body.clone().into_bytes()))
        .expect(200);
    let received = request(rig, &marker)["body"].as_str().unwrap().to_owned();
    let compact = |text: &str| text.replace(": ", ":").replace(", ", ",");
    assert_eq!(compact(&received), compact(&body));
}

fn the_callers_credential_never_reaches_the_provider(rig: &Rig) {
    let marker = marker("headers");
    let body = Rig::chat(&marker, &json!({}), false).to_string();
    let headers = [
        ("content-type", "application/json"),
        ("x-forwarded-for", "203.0.113.9"),
        ("openai-organization", "org-of-the-caller"),
        ("x-custom", "secret"),
    ];
    rig.user().send("POST", "/v1/chat/completions", &headers, Some(body.into_bytes())).expect(200);
    let sent = request(rig, &marker)["headers"].to_string();
    assert!(sent.contains("Bearer sk-canary-provider-key"), "{sent}");
    for word in [rig.stack.demo.access_token.as_str(), "203.0.113.9", "org-of-the-caller", "x-custom", "cookie"] {
        assert!(!sent.contains(word), "{word} in {sent}");
    }
}

fn the_trace_goes_on_to_the_provider(rig: &Rig) {
    let marker = marker("trace");
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let traceparent = format!("00-{trace}-00f067aa0ba902b7-01");
    let headers = [("content-type", "application/json"), ("traceparent", traceparent.as_str())];
    let body = Rig::chat(&marker, &json!({}), false).to_string();
    rig.user().send("POST", "/v1/chat/completions", &headers, Some(body.into_bytes())).expect(200);
    let sent = request(rig, &marker)["headers"].to_string();
    assert!(sent.contains(trace), "the trace id goes on: {sent}");
    assert!(!sent.contains("00f067aa0ba902b7"), "under a span of our own: {sent}");
}

fn tool_calls_survive(rig: &Rig) {
    let tool = |name| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}});
    let mut body = Rig::chat(&marker("tools"), &json!({"tool_calls": 2}), false);
    body["tools"] = json!([tool("weather"), tool("time")]);
    let answer = rig.user().post("/v1/chat/completions", &body).expect(200).json();
    let calls = answer["choices"][0]["message"]["tool_calls"].as_array().unwrap();
    assert_eq!(calls.len(), 2);
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
}

fn models_lists_the_aliases_that_can_be_used(rig: &Rig) {
    let list = rig.user().get("/v1/models").expect(200).json();
    assert_eq!(list["object"], "list");
    let default = list["data"].as_array().unwrap().iter().find(|model| model["id"] == "default").unwrap();
    assert_eq!(default["object"], "model");
    assert!(default["created"].is_i64() && default["owned_by"].is_string(), "{default}");
}

fn the_answer_names_provider_model_and_attempts(rig: &Rig) {
    let answer = rig.user().post("/v1/chat/completions", &Rig::chat(&marker("names"), &json!({}), false)).expect(200);
    assert_eq!((answer.header("x-qlp-provider"), answer.header("x-qlp-attempts")), ("simulator", "1"));
    assert_eq!(answer.header("x-qlp-model"), "sim-1");
}

fn a_large_answer_passes(rig: &Rig) {
    let answer = rig
        .user()
        .post("/v1/chat/completions", &Rig::chat(&marker("large"), &json!({"body_mb": 3}), false))
        .expect(200);
    assert!(answer.body.len() > 3 << 20);
    assert!(answer.json()["choices"][0]["message"]["content"].is_string());
}

/// The one request that reached the provider with `marker`.
fn request(rig: &Rig, marker: &str) -> Value {
    let requests = rig.simulator().get(&format!("/__sim/requests?marker={marker}"));
    let requests = requests["requests"].as_array().unwrap_or_else(|| panic!("{requests}"));
    assert_eq!(requests.len(), 1, "{requests:?}");
    requests[0].clone()
}
