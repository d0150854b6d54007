//! How many tokens were used, and why an answer ended, in OpenAI's words.

use serde::{Deserialize, Serialize};

/// `usage` of Converse. What was read from the cache or written to it is not part of the input.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_field_names, reason = "the names are Amazon's")]
pub(super) struct TokenUsage {
    input_tokens: u64,
    output_tokens: u64,
    cache_read_input_tokens: Option<u64>,
    cache_write_input_tokens: Option<u64>,
}

/// `usage` of a chat completion. The prompt is all of the input.
#[derive(Serialize)]
pub(super) struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
}

#[derive(Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

impl From<TokenUsage> for Usage {
    fn from(usage: TokenUsage) -> Self {
        let cached_tokens = usage.cache_read_input_tokens.unwrap_or(0);
        let cache_write_tokens = usage.cache_write_input_tokens.unwrap_or(0);
        let prompt_tokens = usage.input_tokens.saturating_add(cached_tokens).saturating_add(cache_write_tokens);
        Self {
            prompt_tokens,
            completion_tokens: usage.output_tokens,
            total_tokens: prompt_tokens.saturating_add(usage.output_tokens),
            prompt_tokens_details: PromptDetails { cached_tokens, cache_write_tokens },
        }
    }
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
