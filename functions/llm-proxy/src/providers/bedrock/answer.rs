//! An answer of Converse as `chat.completion`.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::usage::{TokenUsage, Usage, finish_reason};
use crate::providers::Identity;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Converse<'a> {
    #[serde(borrow)]
    output: Output<'a>,
    #[serde(borrow)]
    stop_reason: Cow<'a, str>,
    usage: Option<TokenUsage>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    message: Message<'a>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Vec<Block<'a>>,
}

/// Each has one member; those that are not known are left out.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block<'a> {
    text: Option<String>,
    #[serde(borrow)]
    tool_use: Option<ToolUse<'a>>,
    reasoning_content: Option<Reasoning>,
}

#[derive(Deserialize)]
struct ToolUse<'a> {
    #[serde(rename = "toolUseId")]
    id: String,
    name: String,
    #[serde(borrow)]
    input: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reasoning {
    reasoning_text: Option<ReasoningText>,
}

#[derive(Deserialize)]
struct ReasoningText {
    text: String,
}

#[derive(Serialize)]
struct Completion<'a> {
    id: String,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: Said<'a>,
    logprobs: Option<()>,
    finish_reason: &'a str,
}

#[derive(Serialize)]
struct Said<'a> {
    role: &'static str,
    /// Null if there are only calls.
    content: Option<String>,
    refusal: Option<()>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reasoning_content: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
}

#[derive(Serialize)]
struct Call<'a> {
    id: String,
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: String,
    arguments: &'a str,
}

/// The completion. `None` if `body` is no answer, or the model's was spoilt.
pub(super) fn completion(body: &[u8], identity: &Identity) -> Option<Bytes> {
    let converse: Converse<'_> = serde_json::from_slice(body).ok()?;
    let said = Said::of(converse.output.message.content);
    let choice =
        Choice { index: 0, message: said, logprobs: None, finish_reason: finish_reason(&converse.stop_reason)? };
    let completion = Completion {
        id: name(identity),
        object: "chat.completion",
        created: identity.created.as_second(),
        model: &identity.model,
        choices: [choice],
        usage: converse.usage.map(Usage::from),
    };
    serde_json::to_vec(&completion).ok().map(Bytes::from)
}

/// The `id` of the completion.
pub(super) fn name(identity: &Identity) -> String {
    format!("chatcmpl-{}", identity.id.simple())
}

impl<'a> Said<'a> {
    fn of(blocks: Vec<Block<'a>>) -> Self {
        let mut said = Self {
            role: "assistant",
            content: None,
            refusal: None,
            reasoning_content: String::new(),
            tool_calls: Vec::new(),
        };
        for block in blocks {
            if let Some(text) = block.text {
                said.content.get_or_insert_default().push_str(&text);
            }
            if let Some(reasoning) = block.reasoning_content.and_then(|reasoning| reasoning.reasoning_text) {
                said.reasoning_content.push_str(&reasoning.text);
            }
            if let Some(ToolUse { id, name, input }) = block.tool_use {
                let function = Function { name, arguments: input.get() };
                said.tool_calls.push(Call { id, r#type: "function", function });
            }
        }
        if said.tool_calls.is_empty() {
            said.content.get_or_insert_default();
        }
        said
    }
}
