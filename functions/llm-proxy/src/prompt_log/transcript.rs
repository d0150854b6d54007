//! What was asked, as a log has room for it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::redaction::redact;

/// One message of a prompt, redacted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Message {
    role: String,
    text: String,
}

/// What the endpoints call what is asked.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    instructions: Option<&'a RawValue>,
    #[serde(borrow)]
    system: Option<&'a RawValue>,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

/// How much of a text is looked at beyond what is kept, so that a secret at the edge is seen as one. None that is found
/// by its beginning is longer.
const BEYOND: usize = 4_096;
const LONGEST_ROLE: usize = 40;
/// Who speaks where an item does not say it; what the system says is one content.
const USER: &str = "user";
const SYSTEM: &str = "system";
/// What is kept of many short messages.
const MOST_MESSAGES: usize = 1_000;

/// The messages of a request in at most `room` bytes of text, instructions first, and whether that is less than all.
/// Tokens are no text, and images are named only.
pub(super) fn messages(body: &[u8], room: usize) -> (Vec<Message>, bool) {
    let Ok(body) = serde_json::from_slice::<Body>(body) else { return (Vec::new(), true) };
    let (mut kept, mut room) = (Vec::new(), room);
    for (speaker, raw) in body.items() {
        if room == 0 || kept.len() == MOST_MESSAGES {
            return (kept, true);
        }
        let item: Value = serde_json::from_str(raw.get()).unwrap_or_default();
        if !item.is_string() && !item.is_object() && speaker == USER {
            continue;
        }
        let (text, is_cut) = bounded(&text_of(&item), room);
        room -= text.len();
        let said = |name: &str| item.get(name).and_then(Value::as_str);
        let role = said("role").or_else(|| said("type")).unwrap_or(speaker);
        kept.push(Message { role: role.chars().take(LONGEST_ROLE).collect(), text });
        if is_cut {
            return (kept, true);
        }
    }
    (kept, false)
}

impl<'a> Body<'a> {
    /// What was said one after the other, and by whom if it does not say so itself.
    fn items(&self) -> impl Iterator<Item = (&'static str, &'a RawValue)> {
        let said = [(SYSTEM, self.instructions), (SYSTEM, self.system), (USER, self.messages), (USER, self.input)];
        said.into_iter().filter_map(|(speaker, raw)| Some((speaker, raw?))).flat_map(|(speaker, raw)| {
            let items = serde_json::from_str(raw.get()).ok().filter(|_| speaker == USER);
            let items: Vec<_> = items.unwrap_or_else(|| vec![raw]);
            items.into_iter().map(move |item| (speaker, item))
        })
    }
}

/// `text`, redacted, in at most `room` bytes, and whether something is missing.
pub(super) fn bounded(text: &str, room: usize) -> (String, bool) {
    let seen = beginning(text, room.saturating_add(BEYOND));
    // Postgres has no room for U+0000.
    let redacted = redact(&seen.replace('\0', "\u{FFFD}"));
    let kept = beginning(&redacted, room);
    (kept.to_owned(), seen.len() < text.len() || kept.len() < redacted.len())
}

/// The first characters of `text`, in at most `room` bytes.
pub(super) fn beginning(text: &str, room: usize) -> &str {
    let end = (0..=room.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// All that the model reads as text of one message. Parts of a content follow one another with nothing between, as they do
/// for the model: a secret may begin in one and end in the next.
fn text_of(message: &Value) -> String {
    let mut text = String::new();
    match message {
        Value::String(_) | Value::Array(_) => add_content(Some(message), &mut text),
        _ if message.get("content").is_some() => add_content(message.get("content"), &mut text),
        // An item of a response is one part itself.
        _ if message.get("type").is_some() => add_part(message, &mut text),
        _ => (),
    }
    for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
        let function = |member| call.get("function")?.get(member)?.as_str();
        add_call(function("name"), function("arguments").unwrap_or_default(), &mut text);
    }
    text
}

fn add_content(content: Option<&Value>, text: &mut String) {
    match content {
        Some(Value::String(words)) => text.push_str(words),
        Some(Value::Array(parts)) => parts.iter().for_each(|part| add_part(part, text)),
        _ => (),
    }
}

fn add_part(part: &Value, text: &mut String) {
    let said = |name: &str| part.get(name).and_then(Value::as_str);
    let kind = said("type").unwrap_or("part");
    match (part, said("text").or_else(|| said("refusal"))) {
        (Value::String(words), _) => text.push_str(words),
        (_, Some(words)) => text.push_str(words),
        _ => match kind {
            "tool_result" => add_content(part.get("content"), text),
            "function_call_output" => add_content(part.get("output"), text),
            "function_call" => add_call(said("name"), said("arguments").unwrap_or_default(), text),
            "tool_use" => add_call(said("name"), &part.get("input").map(Value::to_string).unwrap_or_default(), text),
            _ => {
                let kind: String = kind.chars().take(LONGEST_ROLE).collect();
                text.extend(["[", &kind, "]"]);
            }
        },
    }
}

fn add_call(name: Option<&str>, arguments: &str, text: &mut String) {
    text.extend(["\n", name.unwrap_or_default(), "(", arguments, ")"]);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: &str = "sk-Ab3dEf6hIj9lMn2pQr5tUv8xYz1B";

    fn texts(messages: &Value, room: usize) -> (Vec<String>, bool) {
        let (kept, is_cut) = super::messages(json!({"model": "m", "messages": messages}).to_string().as_bytes(), room);
        (kept.into_iter().map(|message| format!("{}: {}", message.role, message.text)).collect(), is_cut)
    }

    #[test]
    fn a_secret_is_found_across_the_parts_of_a_content_and_behind_escapes() {
        let (head, tail) = KEY.split_at(9);
        let parts =
            json!([{"type": "text", "text": format!("use {head}")}, {"type": "text", "text": format!("{tail} now")}]);
        assert_eq!(
            texts(&json!([{"role": "user", "content": parts}]), 100),
            (vec!["user: use [key] now".into()], false)
        );
        let body = format!(r#"{{"messages":[{{"role":"user","content":"\u0073{}"}}]}}"#, &KEY[1..]);
        assert_eq!(super::messages(body.as_bytes(), 100).0[0].text, "[key]");
    }

    #[test]
    fn what_is_no_text_is_named_and_calls_are_told() {
        let asked = json!([
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, {"type": "text", "text": "?"}]},
            {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "send", "arguments": format!("{{\"key\":\"{KEY}\"}}")}}]},
            {"role": "tool", "content": "done"},
        ]);
        let expected = ["user: [image_url]?", "assistant: \nsend({\"key\":\"[key]\"})", "tool: done"];
        assert_eq!(texts(&asked, 1_000), (expected.map(str::to_owned).to_vec(), false));
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_and_no_half_of_a_secret() {
        let asked = json!([{"role": "user", "content": format!("1234 {KEY}")}, {"role": "user", "content": "more"}]);
        for room in 0..40 {
            let (kept, is_cut) = texts(&asked, room);
            let text: usize = kept.iter().map(|text| text.len() - "user: ".len()).sum();
            assert!(text <= room && !kept.concat().contains("sk-"), "{room}: {kept:?}");
            assert_eq!(is_cut, room < "1234 [key]more".len(), "{room}");
        }
        let (text, is_cut) = bounded(&format!("{}{KEY}", "é".repeat(5_000)), 9_999);
        assert!(is_cut && text.len() <= 9_999 && !text.contains("sk-"));
    }

    #[test]
    fn every_endpoint_is_told_with_its_instructions_first() {
        let told = |body: &Value| {
            let (kept, is_cut) = super::messages(body.to_string().as_bytes(), 1_000);
            assert!(!is_cut);
            kept.into_iter().map(|message| format!("{}: {}", message.role, message.text)).collect::<Vec<_>>()
        };
        let response = json!({"model": "m", "instructions": "Be kind.", "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "hi"}, {"type": "input_image", "image_url": "data:"}]},
            {"type": "function_call", "name": "send", "arguments": format!("{{\"key\":\"{KEY}\"}}")},
            {"type": "function_call_output", "call_id": "c", "output": "done"},
            {"type": "reasoning", "encrypted_content": "x"},
        ]});
        assert_eq!(
            told(&response),
            [
                "system: Be kind.",
                "user: hi[input_image]",
                "function_call: \nsend({\"key\":\"[key]\"})",
                "function_call_output: done",
                "reasoning: [reasoning]",
            ]
        );
        let message = json!({"model": "m", "messages": [
            {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "tool_use", "name": "f", "input": {"b": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "text", "text": "c"}]}, {"type": "tool_result", "content": "d"}]},
        ], "system": [{"type": "text", "text": "Be "}, {"type": "text", "text": "kind."}]});
        assert_eq!(told(&message), ["system: Be kind.", "assistant: a\nf({\"b\":1})", "user: cd"]);
        assert_eq!(told(&json!({"input": "one"})), ["user: one"]);
        assert_eq!(told(&json!({"input": ["one", "two", [1, 2]]})), ["user: one", "user: two"]);
        assert_eq!(told(&json!({"input": [1, 2]})), [""; 0]);
    }

    #[test]
    fn what_is_no_request_is_not_told() {
        assert_eq!(super::messages(b"{", 10), (Vec::new(), true));
        assert_eq!(texts(&json!([1, null, {"role": 7}]), 10).0, ["user: "]);
    }
}
