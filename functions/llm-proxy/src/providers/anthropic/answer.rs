//! A message as a chat completion.

use serde_json::value::RawValue;

use super::usage::Usage;
use super::writer::array;
use super::{finish_reason, head, is_text, quoted};
use crate::members::Members;
use crate::observation;
use crate::providers::Identity;

/// The completion. `None` if `body` is no message.
pub(super) fn completion(body: &str, identity: &Identity) -> Option<String> {
    let message = Members::of(body)?;
    let reason = finish_reason(&observation::text(message.get("stop_reason")?)?);
    let blocks: Vec<&RawValue> = serde_json::from_str(message.get("content")?.get()).ok()?;
    let (mut text, mut thinking, mut calls) = (String::new(), String::new(), Vec::new());
    for block in blocks {
        let block = Members::of(block.get())?;
        append(&mut text, block.get("text"));
        append(&mut thinking, block.get("thinking"));
        if is_tool_use(&block) {
            let arguments = block.get("input").map_or("{}", RawValue::get);
            calls.push(format!("{{{}}}", call(&block, &quoted(arguments))?));
        }
    }
    let content = if text.is_empty() && !calls.is_empty() { "null".to_owned() } else { format!("\"{text}\"") };
    let reasoning = some(!thinking.is_empty(), || format!(r#","reasoning_content":"{thinking}""#));
    let calls = some(!calls.is_empty(), || format!(r#","tool_calls":{}"#, array(&calls)));
    let mut usage = Usage::default();
    usage.update(message.get("usage"));
    let usage = usage.to_json().map(|usage| format!(r#","usage":{usage}"#)).unwrap_or_default();
    let head = head("chat.completion", &message, identity);
    Some(format!(
        r#"{{{head},"choices":[{{"index":0,"message":{{"role":"assistant","content":{content},"refusal":null{reasoning}{calls}}},"logprobs":null,"finish_reason":"{reason}"}}]{usage}}}"#
    ))
}

/// Whether a block of content is a call of one of the caller's tools.
pub(super) fn is_tool_use(block: &Members<'_>) -> bool {
    block.get("type").is_some_and(|kind| kind.get() == "\"tool_use\"")
}

/// The members of OpenAI's call of a tool with these arguments, which are a JSON string. `None` if it has no name.
pub(super) fn call(block: &Members<'_>, arguments: &str) -> Option<String> {
    let text = |name| block.get(name).filter(|raw| is_text(raw)).map(RawValue::get);
    let (id, name) = (text("id")?, text("name")?);
    Some(format!(r#""id":{id},"type":"function","function":{{"name":{name},"arguments":{arguments}}}"#))
}

/// Appends what is between the quotation marks of a JSON string, as it is written.
fn append(text: &mut String, more: Option<&RawValue>) {
    let inside = more.and_then(|raw| raw.get().strip_prefix('"')?.strip_suffix('"'));
    text.push_str(inside.unwrap_or_default());
}

fn some(there: bool, written: impl FnOnce() -> String) -> String {
    if there { written() } else { String::new() }
}
