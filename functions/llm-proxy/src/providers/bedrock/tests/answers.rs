use super::*;

fn completion(converse: &Value) -> Option<Value> {
    let answer = answer::completion(converse.to_string().as_bytes(), &identity())?;
    Some(serde_json::from_slice(&answer).unwrap())
}

fn converse(content: &Value, stop_reason: &str) -> Value {
    json!({
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": stop_reason,
        "usage": {"inputTokens": 30, "outputTokens": 5, "totalTokens": 35},
        "metrics": {"latencyMs": 551},
    })
}

#[test]
fn a_text_is_a_completion() {
    let answer = completion(&converse(&json!([{"text": "Hel"}, {"text": "lo."}]), "end_turn")).unwrap();
    assert_eq!(
        answer,
        json!({
            "id": "chatcmpl-000000000000000000000000000000ab",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": MODEL,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello.", "refusal": null}, "logprobs": null, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 35,
                "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}},
        })
    );
}

#[test]
fn parallel_calls_and_thoughts_have_their_places() {
    let content = json!([
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "sig"}}},
        {"reasoningContent": {"redactedContent": "AAAA"}},
        {"toolUse": {"toolUseId": "tooluse_1", "name": "weather", "input": {"city": "Ulm"}}},
        {"toolUse": {"toolUseId": "tooluse_2", "name": "time", "input": {}}},
        {"somethingNew": {}},
    ]);
    let answer = completion(&converse(&content, "tool_use")).unwrap();
    assert_eq!(
        answer["choices"][0]["message"],
        json!({
            "role": "assistant", "content": null, "refusal": null, "reasoning_content": "Hm.",
            "tool_calls": [
                {"id": "tooluse_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Ulm\"}"}},
                {"id": "tooluse_2", "type": "function", "function": {"name": "time", "arguments": "{}"}},
            ],
        })
    );
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
}

#[test]
fn every_reason_to_stop_has_its_word() {
    for (stop_reason, finish_reason) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("content_filtered", "content_filter"),
        ("guardrail_intervened", "content_filter"),
        ("a_new_one", "a_new_one"),
    ] {
        let answer = completion(&converse(&json!([{"text": "x"}]), stop_reason)).unwrap();
        assert_eq!(answer["choices"][0]["finish_reason"], finish_reason);
    }
}

#[test]
fn what_was_cached_is_part_of_the_prompt() {
    let mut cached = converse(&json!([{"text": "x"}]), "end_turn");
    cached["usage"] = json!({"inputTokens": 10, "outputTokens": 5, "totalTokens": 1215,
        "cacheReadInputTokens": 1000, "cacheWriteInputTokens": 200, "cacheDetails": [{"ttl": "5m", "inputTokens": 200}]});
    assert_eq!(
        completion(&cached).unwrap()["usage"],
        json!({
            "prompt_tokens": 1210, "completion_tokens": 5, "total_tokens": 1215,
            "prompt_tokens_details": {"cached_tokens": 1000, "cache_write_tokens": 200},
        })
    );
}

#[test]
fn what_was_written_for_an_hour_is_told_apart_and_is_not_more_than_all() {
    for (details, hour) in [
        (json!([{"ttl": "5m", "inputTokens": 50}, {"ttl": "1h", "inputTokens": 150}]), Some(150)),
        (json!([{"ttl": "1h", "inputTokens": 10}, {"ttl": "1h", "inputTokens": 20}]), Some(30)),
        (json!([{"ttl": "1h", "inputTokens": u64::MAX}, {"ttl": "1h", "inputTokens": 1}]), Some(200)),
        (json!([{"ttl": "1h", "inputTokens": -1}, {"ttl": "1h"}, {"inputTokens": 3}, 7]), None),
        (json!([{"ttl": "5m", "inputTokens": 200}]), None),
        (json!({"ttl": "1h"}), None),
        (Value::Null, None),
    ] {
        let mut cached = converse(&json!([{"text": "x"}]), "end_turn");
        cached["usage"] =
            json!({"inputTokens": 10, "outputTokens": 5, "cacheWriteInputTokens": 200, "cacheDetails": details});
        let told = completion(&cached).unwrap()["usage"]["prompt_tokens_details"].clone();
        assert_eq!((&told["cache_write_tokens"], told["cache_write_1h_tokens"].as_u64()), (&json!(200), hour));
    }
}

#[test]
fn what_is_no_answer_is_none() {
    let text = json!([{"text": "x"}]);
    for spoilt in
        [converse(&text, "malformed_tool_use"), converse(&text, "malformed_model_output"), json!({}), json!([])]
    {
        assert!(completion(&spoilt).is_none(), "{spoilt}");
    }
    for missing in ["output", "stopReason"] {
        let mut answer = converse(&text, "end_turn");
        answer.as_object_mut().unwrap().remove(missing);
        assert!(completion(&answer).is_none(), "{missing}");
    }
    assert!(answer::completion(b"{\"output\":", &identity()).is_none());
}
