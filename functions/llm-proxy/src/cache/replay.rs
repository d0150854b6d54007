//! An answer from the cache as it is asked for: whole or in chunks, whichever way it was kept.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::entry::{Entry, Form};
use crate::tokens::Tokens;

type Object = Map<String, Value>;

/// How an answer is to be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replay {
    /// In one piece.
    Whole,
    /// As a stream of events, with the usage chunk if the caller asked for it.
    Stream {
        /// Whether it did.
        with_usage: bool,
    },
}

const DONE: &[u8] = b"data: [DONE]\n\n";

impl Replay {
    /// The pieces in which `entry` is given: the whole, or an event each. Nothing if the entry cannot be read.
    pub(crate) fn pieces(self, entry: &Entry) -> Option<Vec<Bytes>> {
        match (self, entry.about.form) {
            (Self::Whole, Form::Whole) => Some(vec![entry.answer.clone()]),
            (Self::Whole, Form::Chunks) => Some(vec![gathered(entry.documents())?]),
            (Self::Stream { with_usage }, Form::Chunks) => {
                let lines = entry.documents().filter(|line| with_usage || !is_usage_only(line));
                Some(finished(lines.map(event).collect()))
            }
            (Self::Stream { with_usage }, Form::Whole) => {
                let usage = with_usage.then(|| entry.about.tokens());
                let chunks = chunks(&entry.answer, usage)?;
                Some(finished(chunks.iter().map(|chunk| event(chunk.to_string().as_bytes())).collect()))
            }
        }
    }
}

fn event(json: &[u8]) -> Bytes {
    [b"data: ", json, b"\n\n"].concat().into()
}

fn finished(mut events: Vec<Bytes>) -> Vec<Bytes> {
    events.push(Bytes::from_static(DONE));
    events
}

fn is_usage_only(line: &[u8]) -> bool {
    let Ok(chunk) = serde_json::from_slice::<Object>(line) else { return false };
    let without_choice = chunk.get("choices").and_then(Value::as_array).is_none_or(Vec::is_empty);
    without_choice && chunk.get("usage").is_some_and(Value::is_object)
}

/// Chunks as one answer.
fn gathered<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Option<Bytes> {
    let (mut whole, mut choice, mut message) = (Object::new(), Object::new(), Object::new());
    for chunk in chunks {
        for (name, value) in serde_json::from_slice::<Object>(chunk).ok()? {
            match (name.as_str(), value) {
                ("choices", Value::Array(choices)) => {
                    for part in choices {
                        let Value::Object(part) = part else { return None };
                        gather_choice(part, &mut choice, &mut message);
                    }
                }
                (_, value) => put(&mut whole, name, value),
            }
        }
    }
    whole.insert("object".into(), "chat.completion".into());
    message.entry("role").or_insert_with(|| "assistant".into());
    message.entry("content").or_insert(Value::Null);
    choice.insert("message".into(), Value::Object(message));
    choice.entry("index").or_insert_with(|| 0.into());
    whole.insert("choices".into(), json!([choice]));
    Some(Value::Object(whole).to_string().into())
}

fn gather_choice(part: Object, choice: &mut Object, message: &mut Object) {
    for (name, value) in part {
        match (name.as_str(), value) {
            ("delta", Value::Object(delta)) => {
                for (name, value) in delta {
                    append(message, name, value);
                }
            }
            ("delta", _) => (),
            ("logprobs", Value::Object(logprobs)) => {
                let gathered = choice.entry("logprobs").or_insert(Value::Null);
                if !gathered.is_object() {
                    *gathered = json!({});
                }
                if let Value::Object(gathered) = gathered {
                    for (name, value) in logprobs {
                        append(gathered, name, value);
                    }
                }
            }
            (_, value) => put(choice, name, value),
        }
    }
}

/// The last value counts; `null` replaces none.
fn put(to: &mut Object, name: String, value: Value) {
    if !value.is_null() || !to.contains_key(&name) {
        to.insert(name, value);
    }
}

/// Texts and lists grow, but for the role, which some say in every chunk.
fn append(to: &mut Object, name: String, value: Value) {
    match (to.get_mut(&name), value) {
        (Some(Value::String(text)), Value::String(more)) if name != "role" => text.push_str(&more),
        (Some(Value::Array(items)), Value::Array(more)) => items.extend(more),
        (_, value) => put(to, name, value),
    }
}

/// One answer as chunks: its text, its end, and its usage if it is wanted.
fn chunks(answer: &[u8], usage: Option<Tokens>) -> Option<Vec<Value>> {
    let mut whole: Object = serde_json::from_slice(answer).ok()?;
    let reported = whole.remove("usage").filter(Value::is_object);
    let Some(Value::Array(choices)) = whole.remove("choices") else { return None };
    let Some(Value::Object(mut choice)) = choices.into_iter().next() else { return None };
    whole.insert("object".into(), "chat.completion.chunk".into());
    if usage.is_some() {
        whole.insert("usage".into(), Value::Null);
    }
    let chunk = |choices: Value| {
        let mut chunk = whole.clone();
        chunk.insert("choices".into(), choices);
        Value::Object(chunk)
    };
    let index = choice.get("index").cloned().unwrap_or_else(|| 0.into());
    let (message, logprobs) = (choice.remove("message")?, choice.remove("logprobs"));
    let mut text = json!({"index": index, "delta": message, "finish_reason": null});
    if let (Some(members), Some(logprobs)) = (text.as_object_mut(), logprobs) {
        members.insert("logprobs".into(), logprobs);
    }
    choice.insert("delta".into(), json!({}));
    let mut chunks = vec![chunk(json!([text])), chunk(json!([choice]))];
    if let Some(tokens) = usage {
        let mut last = chunk(json!([]));
        if let Some(members) = last.as_object_mut() {
            members.insert("usage".into(), reported.unwrap_or_else(|| counted(tokens)));
        }
        chunks.push(last);
    }
    Some(chunks)
}

fn counted(tokens: Tokens) -> Value {
    json!({
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input.saturating_add(tokens.output),
    })
}

#[cfg(test)]
mod tests {
    use super::super::entry::About;
    use super::*;

    const TOKENS: Tokens = Tokens { input: 3, output: 2, cached_input: 0, cache_write: 2, cache_write_1h: 1 };
    const WHOLE: &str = r#"{"id":"c-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello you","refusal":null},"logprobs":{"content":[1,2]},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;
    const CHUNKS: &str = concat!(
        r#"{"id":"c-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}"#,
        "\n",
        r#"{"id":"c-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Hello"},"logprobs":{"content":[1]},"finish_reason":null}],"usage":null}"#,
        "\n",
        r#"{"id":"c-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" you"},"logprobs":{"content":[2]},"finish_reason":null}],"usage":null}"#,
        "\n",
        r#"{"id":"c-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null}"#,
        "\n",
        r#"{"id":"c-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#,
        "\n",
    );

    fn entry(form: Form, answer: &'static str) -> Entry {
        Entry { about: About::new(form, "p", "m", TOKENS), answer: Bytes::from_static(answer.as_bytes()) }
    }

    fn replayed(replay: Replay, entry: &Entry) -> Vec<String> {
        let read = Entry::read(&entry.write().unwrap()).unwrap();
        assert_eq!(read, *entry);
        let pieces = replay.pieces(&read).unwrap();
        pieces.into_iter().map(|piece| String::from_utf8(piece.to_vec()).unwrap()).collect()
    }

    fn values(events: &[String]) -> Vec<Value> {
        let (last, events) = events.split_last().unwrap();
        assert_eq!(last, "data: [DONE]\n\n");
        let data = events.iter().map(|event| event.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap());
        data.map(|data| serde_json::from_str(data).unwrap()).collect()
    }

    #[test]
    fn in_the_form_in_which_it_was_kept_an_answer_keeps_its_bytes() {
        assert_eq!(replayed(Replay::Whole, &entry(Form::Whole, WHOLE)), [WHOLE]);
        let events = replayed(Replay::Stream { with_usage: true }, &entry(Form::Chunks, CHUNKS));
        let expected: Vec<_> = CHUNKS.lines().map(|line| format!("data: {line}\n\n")).collect();
        assert_eq!(events[..5], expected);
        let without = replayed(Replay::Stream { with_usage: false }, &entry(Form::Chunks, CHUNKS));
        assert_eq!(without[..4], expected[..4]);
        assert_eq!(without.len(), 5);
    }

    #[test]
    fn chunks_become_the_whole_that_the_provider_would_have_given() {
        let whole = replayed(Replay::Whole, &entry(Form::Chunks, CHUNKS)).remove(0);
        let (whole, expected): (Value, Value) =
            (serde_json::from_str(&whole).unwrap(), serde_json::from_str(WHOLE).unwrap());
        assert_eq!(whole, expected);
    }

    #[test]
    fn a_whole_becomes_chunks_that_make_the_same_whole_again() {
        let kept = entry(Form::Whole, WHOLE);
        let chunks = values(&replayed(Replay::Stream { with_usage: true }, &kept));
        assert_eq!(chunks.len(), 3);
        assert!(chunks.iter().all(|chunk| chunk["object"] == "chat.completion.chunk" && chunk["id"] == "c-1"));
        assert_eq!(chunks[0]["choices"][0]["delta"]["content"], "Hello you");
        assert_eq!((&chunks[1]["choices"][0]["finish_reason"], &chunks[1]["usage"]), (&json!("stop"), &Value::Null));
        assert_eq!((&chunks[2]["choices"], &chunks[2]["usage"]["total_tokens"]), (&json!([]), &json!(5)));
        let text = chunks.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
        let again: Value = serde_json::from_slice(&gathered(text.lines().map(str::as_bytes)).unwrap()).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(WHOLE).unwrap());
        let plain = values(&replayed(Replay::Stream { with_usage: false }, &kept));
        assert!(plain.len() == 2 && plain.iter().all(|chunk| chunk.get("usage").is_none()));
    }

    #[test]
    fn usage_that_the_provider_never_told_is_counted_where_it_is_asked_for() {
        let silent = r#"{"id":"c-1","model":"m","choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}"#;
        let chunks = values(&replayed(Replay::Stream { with_usage: true }, &entry(Form::Whole, silent)));
        assert_eq!(chunks[2]["usage"], json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}));
    }

    #[test]
    fn an_entry_keeps_the_tokens_and_an_older_one_has_none_for_an_hour() {
        let written = entry(Form::Whole, WHOLE).write().unwrap();
        assert_eq!(Entry::read(&written).unwrap().about.tokens(), TOKENS);
        let older = String::from_utf8(written.to_vec()).unwrap().replace(r#","cache_write_1h_tokens":1"#, "");
        assert!(!older.contains("1h"));
        let tokens = Entry::read(&Bytes::from(older)).unwrap().about.tokens();
        assert_eq!(tokens, Tokens { cache_write_1h: 0, ..TOKENS });
    }

    #[test]
    fn an_entry_of_another_form_is_none() {
        for bytes in ["", "{}", "{}\n", "not json\n{}"] {
            assert_eq!(Entry::read(&Bytes::from(bytes)), None, "{bytes}");
        }
        assert_eq!(Replay::Whole.pieces(&entry(Form::Chunks, "no json\n")), None);
        assert_eq!(Replay::Stream { with_usage: true }.pieces(&entry(Form::Whole, "{}")), None);
    }
}
