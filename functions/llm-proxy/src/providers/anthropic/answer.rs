//! A message as a chat completion.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::usage::Usage;
use super::{finish_reason, head, quoted};
use crate::observation;
use crate::providers::Identity;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Vec<Block<'a>>,
    #[serde(borrow)]
    stop_reason: &'a RawValue,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

/// A block of content: text, thinking, a call of a tool, or something that OpenAI has no place for.
#[derive(Deserialize)]
pub(super) struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: &'a RawValue,
    #[serde(borrow)]
    pub(super) text: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) input: Option<&'a RawValue>,
}

/// The completion. `None` if `body` is no message.
pub(super) fn completion(body: &[u8], identity: &Identity) -> Option<String> {
    let message: Message = serde_json::from_slice(body).ok()?;
    let reason = finish_reason(&observation::text(message.stop_reason)?);
    let text = joined(message.content.iter().filter_map(|block| block.text));
    let thinking = joined(message.content.iter().filter_map(|block| block.thinking));
    let mut calls = Vec::new();
    for block in message.content.iter().filter(|block| block.is_tool_use()) {
        let arguments = block.input.map_or("{}", RawValue::get);
        calls.push(format!("{{{}}}", block.call(&quoted(arguments))?));
    }
    let content = text.unwrap_or_else(|| if calls.is_empty() { "\"\"" } else { "null" }.to_owned());
    let reasoning = thinking.map(|text| format!(r#","reasoning_content":{text}"#)).unwrap_or_default();
    let calls = if calls.is_empty() { String::new() } else { format!(r#","tool_calls":[{}]"#, calls.join(",")) };
    let mut usage = Usage::default();
    usage.update(message.usage);
    let usage = usage.to_json().map(|usage| format!(r#","usage":{usage}"#)).unwrap_or_default();
    let head = head("chat.completion", message.id, message.model, identity);
    Some(format!(
        r#"{{{head},"choices":[{{"index":0,"message":{{"role":"assistant","content":{content},"refusal":null{reasoning}{calls}}},"logprobs":null,"finish_reason":"{reason}"}}]{usage}}}"#
    ))
}

impl Block<'_> {
    pub(super) fn is_tool_use(&self) -> bool {
        self.kind.get() == "\"tool_use\""
    }

    /// The members of OpenAI's call of a tool with these arguments, which are a JSON string. `None` if it has no name.
    pub(super) fn call(&self, arguments: &str) -> Option<String> {
        let (id, name) = (self.id?.get(), self.name?.get());
        Some(format!(r#""id":{id},"type":"function","function":{{"name":{name},"arguments":{arguments}}}"#))
    }
}

/// JSON strings as one, as they are written. `None` if there is none with something in it.
fn joined<'a>(strings: impl Iterator<Item = &'a RawValue>) -> Option<String> {
    let inside = |raw: &'a RawValue| raw.get().strip_prefix('"')?.strip_suffix('"');
    let text: String = strings.filter_map(inside).collect();
    Some(text).filter(|text| !text.is_empty()).map(|text| format!("\"{text}\""))
}
