//! Anthropic's Messages API, as far as its reference tells: <https://docs.claude.com/en/api/messages>.

mod json_answer;
mod request;
mod stream_answer;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Map, Value, json};

use crate::behaviour::{Behaviour, UsageFault, UsageMode};
use crate::error::ApiError;
use crate::usage::Counts;

pub use json_answer::render as render_json;
pub use request::chat_request;
pub use stream_answer::render as render_stream;

/// The fields that every answer has beside its media type.
pub const LIMITS: [(&str, &str); 4] = [
    ("anthropic-organization-id", "simulator"),
    ("anthropic-ratelimit-requests-limit", "10000"),
    ("anthropic-ratelimit-requests-remaining", "9999"),
    ("anthropic-ratelimit-requests-reset", "2027-01-01T00:00:00Z"),
];

/// Whether a request to `path` speaks this dialect.
pub fn is_path(path: &str) -> bool {
    path.ends_with("/messages")
}

/// The credential.
pub fn api_key(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-api-key")?.to_str().ok()
}

/// What `metadata.user_id` holds, the only member that the dialect has there: a JSON object like OpenAI's `metadata`.
pub fn metadata(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body.pointer("/metadata/user_id")?.as_str().map(str::to_owned)
}

/// The JSON body of `error`, which is told in OpenAI's terms unless `behaviour` has words of its own.
pub fn error_body(error: &ApiError, behaviour: &Behaviour, id: &str) -> Bytes {
    let kind = behaviour.kind.as_deref().unwrap_or(match error.status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    });
    let too_long = error.code.as_deref() == Some("context_length_exceeded") && behaviour.message.is_none();
    let message = if too_long { "prompt is too long: 9001 tokens > 8192 maximum" } else { &error.message };
    let body = json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": id});
    body.to_string().into()
}

/// The `stop_reason` that says the same; others are passed on.
fn stop_reason(finish_reason: &str) -> &str {
    match finish_reason {
        "stop" => "end_turn",
        "length" => "max_tokens",
        "tool_calls" => "tool_use",
        "content_filter" => "refusal",
        other => other,
    }
}

/// The `usage` member, or nothing when `mode` keeps it back.
fn usage(counts: Counts, mode: &UsageMode) -> Option<Map<String, Value>> {
    let Counts { prompt, completion, .. } = match mode {
        UsageMode::Named(UsageFault::Missing) => return None,
        UsageMode::Given(given) => return Some(given.clone()),
        UsageMode::Named(UsageFault::Zero) => Counts::default(),
        UsageMode::Asked | UsageMode::Named(UsageFault::LastContent | UsageFault::Always) => counts,
    };
    let usage = json!({
        "input_tokens": prompt,
        "cache_creation_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "cache_read_input_tokens": 0,
        "output_tokens": completion,
        "service_tier": "standard",
    });
    usage.as_object().cloned()
}
