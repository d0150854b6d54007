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

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
}

/// How much of a text is looked at beyond what is kept, so that a secret at the edge is seen as one. None that is found
/// by its beginning is longer.
const BEYOND: usize = 4_096;
const LONGEST_ROLE: usize = 40;
/// What is kept of many short messages.
const MOST_MESSAGES: usize = 1_000;

/// The messages of a request in at most `room` bytes of text, and whether that is less than all.
pub(super) fn messages(body: &[u8], room: usize) -> (Vec<Message>, bool) {
    let Ok(Body { messages }) = serde_json::from_slice(body) else { return (Vec::new(), true) };
    let (mut kept, mut room) = (Vec::new(), room);
    for message in &messages {
        if room == 0 || kept.len() == MOST_MESSAGES {
            return (kept, true);
        }
        let message: Value = serde_json::from_str(message.get()).unwrap_or_default();
        let (text, is_cut) = bounded(&text_of(&message), room);
        room -= text.len();
        let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
        kept.push(Message { role: role.chars().take(LONGEST_ROLE).collect(), text });
        if is_cut {
            return (kept, true);
        }
    }
    (kept, false)
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
    match message.get("content") {
        Some(Value::String(content)) => text.push_str(content),
        Some(Value::Array(parts)) => parts.iter().for_each(|part| add_part(part, &mut text)),
        _ => (),
    }
    for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
        let function = |member| call.get("function")?.get(member)?.as_str();
        let (name, arguments) = (function("name").unwrap_or_default(), function("arguments").unwrap_or_default());
        text.extend(["\n", name, "(", arguments, ")"]);
    }
    text
}

fn add_part(part: &Value, text: &mut String) {
    match (part, part.get("text").or_else(|| part.get("refusal"))) {
        (Value::String(words), _) | (_, Some(Value::String(words))) => text.push_str(words),
        _ => {
            let kind = part.get("type").and_then(Value::as_str).unwrap_or("part");
            let kind: String = kind.chars().take(LONGEST_ROLE).collect();
            text.extend(["[", &kind, "]"]);
        }
    }
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
    fn what_is_no_chat_is_not_told() {
        assert_eq!(super::messages(b"{", 10), (Vec::new(), true));
        assert_eq!(texts(&json!([1, null, {"role": 7}]), 10).0, [": ", ": ", ": "]);
    }
}
