//! A message as one JSON object.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{stop_reason, usage};
use crate::answer::Answer;
use crate::behaviour::Behaviour;

/// Renders `answer` as `message`.
pub fn render(answer: &Answer, id: &str, model: &str, behaviour: &Behaviour) -> Bytes {
    let mut content = Vec::new();
    if answer.reasoning.len() > 0 {
        content.push(json!({"type": "thinking", "thinking": answer.reasoning.text(), "signature": "c2ln"}));
    }
    let text = answer.refusal.as_ref().unwrap_or(&answer.text);
    if text.len() > 0 {
        content.push(json!({"type": "text", "text": text.text()}));
    }
    for call in &answer.tool_calls {
        let input: Value = serde_json::from_str(call.arguments.text()).unwrap_or_default();
        content.push(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input}));
    }
    let mut message = json!({
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop_reason(&answer.finish_reason),
        "stop_sequence": null,
    });
    if let (Some(usage), Some(message)) = (usage(answer.counts, &behaviour.usage), message.as_object_mut()) {
        message.insert("usage".to_owned(), usage.into());
    }
    message.to_string().into()
}
