//! How many tokens were used, and why an answer ended, in OpenAI's words.

use serde_json::{Value, json};

/// `usage` of Converse as `usage` of a chat completion. What was read from the cache or written to it is not part of
/// Amazon's input, but of OpenAI's prompt. OpenAI has no word for what was written for an hour.
pub(super) fn usage(usage: &Value) -> Value {
    let count = |name| usage.get(name).and_then(Value::as_u64).unwrap_or(0);
    let (cached_tokens, cache_write_tokens) = (count("cacheReadInputTokens"), count("cacheWriteInputTokens"));
    let prompt_tokens = count("inputTokens").saturating_add(cached_tokens).saturating_add(cache_write_tokens);
    let completion_tokens = count("outputTokens");
    let mut details = json!({"cached_tokens": cached_tokens, "cache_write_tokens": cache_write_tokens});
    let hour = written_for_an_hour(usage).min(cache_write_tokens);
    if let Some(details) = details.as_object_mut().filter(|_| hour > 0) {
        details.insert("cache_write_1h_tokens".to_owned(), hour.into());
    }
    json!({
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens.saturating_add(completion_tokens),
        "prompt_tokens_details": details,
    })
}

fn written_for_an_hour(usage: &Value) -> u64 {
    let written = usage.get("cacheDetails").and_then(Value::as_array).into_iter().flatten();
    let hourly = written.filter(|written| written.get("ttl").and_then(Value::as_str) == Some("1h"));
    let counts = hourly.filter_map(|written| written.get("inputTokens").and_then(Value::as_u64));
    counts.fold(0, u64::saturating_add)
}

/// The `finish_reason` for a `stopReason`; one that is not known yet stays as it is. `None` if the model has failed, so
/// that there is no answer.
pub(super) fn finish_reason(stop_reason: &str) -> Option<&str> {
    Some(match stop_reason {
        "end_turn" | "stop_sequence" => "stop",
        "tool_use" => "tool_calls",
        "max_tokens" | "model_context_window_exceeded" => "length",
        "content_filtered" | "guardrail_intervened" => "content_filter",
        "malformed_model_output" | "malformed_tool_use" => return None,
        other => other,
    })
}
