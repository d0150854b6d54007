//! An answer of Converse as `chat.completion`.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::usage::{finish_reason, usage};
use crate::providers::Identity;

/// The completion. `None` if `body` is no answer, or the model's was spoilt.
pub(super) fn completion(body: &[u8], identity: &Identity) -> Option<Bytes> {
    let converse: Value = serde_json::from_slice(body).ok()?;
    let message = message(converse.pointer("/output/message/content")?.as_array()?)?;
    let finish_reason = finish_reason(converse.get("stopReason")?.as_str()?)?;
    let mut completion = json!({
        "id": name(identity),
        "object": "chat.completion",
        "created": identity.created.as_second(),
        "model": identity.model,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason}],
    });
    let usage = converse.get("usage").filter(|usage| usage.is_object()).map(usage);
    completion.as_object_mut()?.extend(usage.map(|usage| ("usage".to_owned(), usage)));
    Some(completion.to_string().into())
}

/// The `id` of the completion.
pub(super) fn name(identity: &Identity) -> String {
    format!("chatcmpl-{}", identity.id.simple())
}

/// What is said in `blocks`; those that are not known are left out.
fn message(blocks: &[Value]) -> Option<Value> {
    let (mut content, mut reasoning, mut calls) = (None::<String>, String::new(), Vec::new());
    for block in blocks {
        if let Some(text) = block.get("text").and_then(Value::as_str) {
            content.get_or_insert_default().push_str(text);
        }
        if let Some(text) = block.pointer("/reasoningContent/reasoningText/text").and_then(Value::as_str) {
            reasoning.push_str(text);
        }
        if let Some(call) = block.get("toolUse") {
            let function = json!({"name": call.get("name")?.as_str()?, "arguments": call.get("input")?.to_string()});
            calls.push(json!({"id": call.get("toolUseId")?.as_str()?, "type": "function", "function": function}));
        }
    }
    if calls.is_empty() {
        content.get_or_insert_default();
    }
    let mut message = Map::new();
    message.insert("role".to_owned(), "assistant".into());
    message.insert("content".to_owned(), content.into());
    message.insert("refusal".to_owned(), Value::Null);
    if !reasoning.is_empty() {
        message.insert("reasoning_content".to_owned(), reasoning.into());
    }
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), calls.into());
    }
    Some(message.into())
}
