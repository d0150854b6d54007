//! The text of an answer, for those who keep it.

use serde_json::Value;

use super::chat;
use crate::endpoint::Endpoint;

/// The text of the first answer in `json`: in a whole answer, or the next piece of it in the data of an event.
pub(crate) fn texts(endpoint: Endpoint, json: &[u8]) -> Vec<String> {
    let read = || serde_json::from_slice(json).unwrap_or_default();
    match endpoint {
        Endpoint::ChatCompletions => chat::texts(json),
        Endpoint::Embeddings => Vec::new(),
        Endpoint::Responses => of_response(&read()),
        Endpoint::Messages => of_message(&read()),
    }
}

/// Of a response, or of one of its events.
fn of_response(answer: &Value) -> Vec<String> {
    let mut texts = Vec::new();
    match kind(answer) {
        None => add_all(answer.get("output"), &mut texts),
        Some("response.output_item.added") => {
            answer.get("item").into_iter().for_each(|item| add(item, &mut texts));
        }
        Some(kind) if kind.rsplit_once('.').is_some_and(|(_, last)| last == "delta") => {
            add_string(answer.get("delta"), &mut texts);
        }
        Some(_) => (),
    }
    texts
}

/// Of a message, or of one of its events.
fn of_message(answer: &Value) -> Vec<String> {
    let mut texts = Vec::new();
    let member = |of: &str, name: &str| answer.get(of)?.get(name);
    match kind(answer) {
        Some("message") => add(answer, &mut texts),
        Some("content_block_start") => add_string(member("content_block", "name"), &mut texts),
        Some("content_block_delta") => {
            for name in ["text", "thinking", "partial_json"] {
                add_string(member("delta", name), &mut texts);
            }
        }
        _ => (),
    }
    texts
}

fn kind(value: &Value) -> Option<&str> {
    value.get("type")?.as_str()
}

/// Of a message, a part of one, or the call of a tool.
fn add(item: &Value, texts: &mut Vec<String>) {
    for name in ["text", "thinking", "refusal", "name", "arguments"] {
        add_string(item.get(name), texts);
    }
    texts.extend(item.get("input").filter(|input| input.is_object()).map(Value::to_string));
    for parts in ["summary", "content"] {
        add_all(item.get(parts), texts);
    }
}

fn add_all(items: Option<&Value>, texts: &mut Vec<String>) {
    items.and_then(Value::as_array).into_iter().flatten().for_each(|item| add(item, texts));
}

fn add_string(value: Option<&Value>, texts: &mut Vec<String>) {
    texts.extend(value.and_then(Value::as_str).map(str::to_owned));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(endpoint: Endpoint, json: &Value) -> String {
        texts(endpoint, json.to_string().as_bytes()).join("|")
    }

    #[test]
    fn a_response_says_the_same_whole_and_in_events() {
        let whole = json!({"object": "response", "output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        ]});
        assert_eq!(of(Endpoint::Responses, &whole), "hm|Hello|f|{}");
        for (event, said) in [
            (json!({"type": "response.output_text.delta", "delta": "Hel"}), "Hel"),
            (json!({"type": "response.function_call_arguments.delta", "delta": "{}"}), "{}"),
            (
                json!({"type": "response.output_item.added", "item": {"type": "function_call", "name": "f", "arguments": ""}}),
                "f|",
            ),
            (json!({"type": "response.output_text.done", "text": "Hello"}), ""),
            (json!({"type": "response.completed", "response": whole}), ""),
        ] {
            assert_eq!(of(Endpoint::Responses, &event), said, "{event}");
        }
    }

    #[test]
    fn a_message_says_the_same_whole_and_in_events() {
        let whole = json!({"type": "message", "model": "m", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "Hello"},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
        ]});
        assert_eq!(of(Endpoint::Messages, &whole), "hm|Hello|f|{\"a\":1}");
        for (event, said) in [
            (json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hel"}}), "Hel"),
            (json!({"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "{"}}), "{"),
            (
                json!({"type": "content_block_start", "content_block": {"type": "tool_use", "name": "f", "input": {}}}),
                "f",
            ),
            (json!({"type": "message_start", "message": whole}), ""),
        ] {
            assert_eq!(of(Endpoint::Messages, &event), said, "{event}");
        }
    }

    #[test]
    fn vectors_and_what_is_no_json_say_nothing() {
        assert_eq!(of(Endpoint::Embeddings, &json!({"data": [{"embedding": [1]}]})), "");
        assert!(texts(Endpoint::Messages, b"{").is_empty());
    }
}
