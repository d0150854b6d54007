//! Amazon Bedrock's dialect: Converse and ConverseStream.

mod message;
mod request;
mod stream;

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Tokens};
use crate::behaviour::{Behaviour, UsageFault, UsageMode};
use crate::error::ApiError;
use crate::usage::Counts;

pub use request::completion;
pub use stream::render as stream;

/// The media type of streams.
pub const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// The model that a path names, if it is one of this dialect.
pub fn model(path: &str) -> Option<String> {
    let (model, operation) = path.split_once("/model/")?.1.rsplit_once('/')?;
    let is_ours = !model.contains('/') && matches!(operation, "converse" | "converse-stream");
    is_ours.then(|| percent_decode_str(model).decode_utf8_lossy().into_owned())
}

/// Whether the answer is to be a stream.
pub fn is_stream(path: &str) -> bool {
    path.ends_with("-stream")
}

/// `answer` in one piece.
pub fn whole(answer: &Answer, behaviour: &Behaviour) -> Bytes {
    let mut content = Vec::new();
    if answer.reasoning.len() > 0 {
        content.push(
            json!({"reasoningContent": {"reasoningText": {"text": answer.reasoning.text(), "signature": "sim"}}}),
        );
    }
    if let Some(text) = text(answer) {
        content.push(json!({"text": text.text()}));
    }
    for call in &answer.tool_calls {
        let input: Value = serde_json::from_str(call.arguments.text()).unwrap_or_default();
        content.push(json!({"toolUse": {"toolUseId": call.id, "name": call.name, "input": input}}));
    }
    let mut whole = Map::from_iter([
        ("metrics".to_owned(), json!({"latencyMs": 1})),
        ("output".to_owned(), json!({"message": {"content": content, "role": "assistant"}})),
        ("stopReason".to_owned(), stop_reason(answer).into()),
    ]);
    whole.extend(usage(answer.counts, behaviour));
    Value::Object(whole).to_string().into()
}

/// What is said; a refusal is only text here.
fn text(answer: &Answer) -> Option<&Tokens> {
    let text = answer.refusal.as_ref().unwrap_or(&answer.text);
    (answer.tool_calls.is_empty() || answer.refusal.is_some()).then_some(text)
}

/// The word for OpenAI's reason; another is sent as it is.
fn stop_reason(answer: &Answer) -> &str {
    match answer.finish_reason.as_str() {
        "stop" => "end_turn",
        "length" => "max_tokens",
        "tool_calls" => "tool_use",
        "content_filter" => "content_filtered",
        other => other,
    }
}

/// The `usage` member, if there is one.
fn usage(counts: Counts, behaviour: &Behaviour) -> Option<(String, Value)> {
    let Counts { prompt, completion, .. } = match behaviour.usage {
        UsageMode::Named(UsageFault::Zero) => Counts::default(),
        _ => counts,
    };
    let told = match &behaviour.usage {
        UsageMode::Named(UsageFault::Missing) => return None,
        UsageMode::Given(given) => Value::Object(given.clone()),
        _ => json!({"inputTokens": prompt, "outputTokens": completion, "totalTokens": prompt + completion}),
    };
    Some(("usage".to_owned(), told))
}

/// The body of an error.
pub fn error_body(error: &ApiError) -> Bytes {
    let message = match error.code.as_deref() {
        Some("context_length_exceeded") => "Input is too long for requested model.",
        _ => &error.message,
    };
    json!({"message": message}).to_string().into()
}

/// What an error is called: the `type` that the test gave it, or what its status usually says.
pub fn error_type(error: &ApiError) -> String {
    if error.kind.ends_with("Exception") {
        return error.kind.clone();
    }
    let name = match error.status {
        400 => "ValidationException",
        401 | 403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        503 => "ServiceUnavailableException",
        _ => "InternalServerException",
    };
    name.to_owned()
}
