//! The `usage` object.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::behaviour::{UsageFault, UsageMode};

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Serialize)]
struct PromptDetails {
    cached_tokens: usize,
    audio_tokens: usize,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the names are OpenAI's")]
struct CompletionDetails {
    reasoning_tokens: usize,
    audio_tokens: usize,
    accepted_prediction_tokens: usize,
    rejected_prediction_tokens: usize,
}

/// The counts of one answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub prompt: usize,
    /// All tokens produced, the reasoning ones included.
    pub completion: usize,
    pub reasoning: usize,
}

/// The `usage` object as JSON, or nothing when `mode` keeps it back.
pub fn render(counts: Counts, mode: &UsageMode) -> Option<Box<RawValue>> {
    match mode {
        UsageMode::Named(UsageFault::Missing) => None,
        UsageMode::Named(UsageFault::Zero) => object(Counts::default()),
        UsageMode::Given(given) => serde_json::value::to_raw_value(given).ok(),
        UsageMode::Asked | UsageMode::Named(UsageFault::LastContent | UsageFault::Always) => object(counts),
    }
}

/// The same with an object of another API; null when `mode` keeps it back.
pub fn render_as(counts: Counts, mode: &UsageMode, object: impl Fn(Counts) -> Value) -> Value {
    match mode {
        UsageMode::Named(UsageFault::Missing) => Value::Null,
        UsageMode::Named(UsageFault::Zero) => object(Counts::default()),
        UsageMode::Given(given) => Value::Object(given.clone()),
        UsageMode::Asked | UsageMode::Named(UsageFault::LastContent | UsageFault::Always) => object(counts),
    }
}

fn object(Counts { prompt, completion, reasoning }: Counts) -> Option<Box<RawValue>> {
    let usage = Usage {
        prompt_tokens: prompt,
        completion_tokens: completion,
        total_tokens: prompt + completion,
        prompt_tokens_details: PromptDetails { cached_tokens: 0, audio_tokens: 0 },
        completion_tokens_details: CompletionDetails {
            reasoning_tokens: reasoning,
            audio_tokens: 0,
            accepted_prediction_tokens: 0,
            rejected_prediction_tokens: 0,
        },
    };
    serde_json::value::to_raw_value(&usage).ok()
}
