//! A completion as one JSON object.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::answer::{Answer, Tokens, ToolCall};
use crate::behaviour::Behaviour;
use crate::catalogue::SYSTEM_FINGERPRINT;
use crate::stream_answer::{CONTENT_FILTER, PROMPT_FILTER};
use crate::usage;

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_filter_results: Option<&'a RawValue>,
    choices: [Choice<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Box<RawValue>>,
    service_tier: &'static str,
    system_fingerprint: &'static str,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: Message<'a>,
    logprobs: Option<()>,
    finish_reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_filter_results: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    refusal: Option<&'a str>,
    annotations: [(); 0],
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// Renders `answer` as `chat.completion`.
pub fn render(answer: &Answer, id: &str, model: &str, created: u64, behaviour: &Behaviour) -> Bytes {
    let refusal = answer.refusal.as_ref().map(Tokens::text);
    let content = (refusal.is_none() && answer.tool_calls.is_empty()).then(|| answer.text.text());
    let filter = |json: &'static str| behaviour.azure.then(|| serde_json::from_str(json).ok()).flatten();
    let message = Message {
        role: "assistant",
        content,
        reasoning_content: (answer.reasoning.len() > 0).then(|| answer.reasoning.text()),
        tool_calls: answer.tool_calls.iter().map(call).collect(),
        refusal,
        annotations: [],
    };
    let completion = Completion {
        id,
        object: "chat.completion",
        created,
        model,
        prompt_filter_results: filter(PROMPT_FILTER),
        choices: [Choice {
            index: 0,
            message,
            logprobs: None,
            finish_reason: &answer.finish_reason,
            content_filter_results: filter(CONTENT_FILTER),
        }],
        usage: usage::render(answer.counts, &behaviour.usage),
        service_tier: "default",
        system_fingerprint: SYSTEM_FINGERPRINT,
    };
    serde_json::to_vec(&completion).unwrap_or_default().into()
}

fn call(call: &ToolCall) -> Call<'_> {
    let function = Function { name: &call.name, arguments: call.arguments.text() };
    Call { id: &call.id, r#type: "function", function }
}
