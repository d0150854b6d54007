use super::*;

fn completion(message: &Value) -> Option<Value> {
    let body = answer::completion(&message.to_string(), &identity())?;
    Some(serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")))
}

#[test]
fn a_message_is_a_completion() {
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
        "content": [
            {"type": "thinking", "thinking": "Hm. ", "signature": "x"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "Let me “see”.\n", "citations": null},
            {"type": "text", "text": "Now."},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"at": "Bern", "n": 1.0}},
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
            {"type": "tool_use", "id": "toolu_2", "name": "time", "input": {}}],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": 12, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 1000, "output_tokens": 34},
    });
    let call = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let expected = json!({
        "id": "msg_1", "object": "chat.completion", "created": 1_700_000_000, "model": "claude-sonnet-4-5",
        "choices": [{"index": 0, "logprobs": null, "finish_reason": "tool_calls", "message": {
            "role": "assistant", "content": "Let me “see”.\nNow.", "refusal": null, "reasoning_content": "Hm. ",
            "tool_calls": [call("toolu_1", "weather", r#"{"at":"Bern","n":1.0}"#), call("toolu_2", "time", "{}")]}}],
        "usage": {"prompt_tokens": 1112, "completion_tokens": 34, "total_tokens": 1146,
            "prompt_tokens_details": {"cached_tokens": 1000, "cache_write_tokens": 100}},
    });
    assert_eq!(completion(&message).unwrap(), expected);
}

#[test]
fn every_reason_for_stopping_has_a_counterpart() {
    for (reason, expected) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("a_new_one", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
    ] {
        let message = json!({"content": [], "stop_reason": reason});
        assert_eq!(completion(&message).unwrap()["choices"][0]["finish_reason"], expected);
    }
}

#[test]
fn content_is_null_only_beside_calls_of_tools() {
    let message = |content: Value| {
        completion(&json!({"content": content, "stop_reason": "end_turn"})).unwrap()["choices"][0]["message"].clone()
    };
    assert_eq!(message(json!([]))["content"], "");
    let calling = message(json!([{"type": "tool_use", "id": "t", "name": "f", "input": {}}]));
    assert_eq!((&calling["content"], calling["tool_calls"].as_array().unwrap().len()), (&Value::Null, 1));
}

#[test]
fn a_message_without_names_or_usage_has_ours_and_none() {
    let answer = completion(&json!({"content": [{"type": "text", "text": "a"}], "stop_reason": "end_turn"})).unwrap();
    assert_eq!(
        (&answer["id"], &answer["model"]),
        (&json!("chatcmpl-00000000000000000000000000000007"), &json!("claude"))
    );
    assert_eq!(answer.get("usage"), None);
}

#[test]
fn what_is_no_message_is_no_answer() {
    for other in [
        json!({"type": "error", "error": {"type": "api_error", "message": "m"}}),
        json!({"content": "Hi", "stop_reason": "end_turn"}),
        json!({"content": [], "stop_reason": null}),
        json!({"content": [{"type": "tool_use", "input": {}}], "stop_reason": "tool_use"}),
        json!([]),
    ] {
        assert!(completion(&other).is_none(), "{other}");
    }
    assert!(answer::completion("{\"content\":", &identity()).is_none());
}
