//! Chat completions, whole or in chunks. What is not named here is skipped.

use platform::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Reading, Verdict, text_bytes, truthy};
use crate::ending::Ending;
use crate::error_words::ErrorWords;
use crate::observation::{Observation, text};
use crate::tokens::Tokens;

/// `chat.completion` or `chat.completion.chunk`.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    index: Option<u32>,
    #[serde(borrow, alias = "message")]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    finish_reason: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<Vec<ToolCall<'a>>>,
}

#[derive(Deserialize)]
struct ToolCall<'a> {
    #[serde(borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// Takes note of a `chat.completion`. `false` if it is none.
pub(super) fn whole(json: &[u8], seen: &mut Observation, now: Timestamp) -> bool {
    match Reading::<Chunk>::of(json) {
        Reading::Known(answer) if truthy(answer.error).is_none() && answer.choices.is_some() => {
            answer.observe(seen, now);
            true
        }
        _ => false,
    }
}

/// Takes note of a `chat.completion.chunk`, or of what comes in its place.
pub(super) fn event(data: &[u8], seen: &mut Observation, now: Timestamp) -> Verdict {
    if data.starts_with(b"[DONE]") {
        return Verdict::End(Ending::Done);
    }
    let chunk = match Reading::<Chunk>::of(data) {
        Reading::Malformed => return Verdict::End(Ending::Malformed),
        Reading::Other => return Verdict::Pass,
        Reading::Known(chunk) => chunk,
    };
    if let Some(error) = truthy(chunk.error) {
        return Verdict::End(Ending::Reported(ErrorWords::of(error)));
    }
    chunk.observe(seen, now);
    if chunk.is_usage_only() { Verdict::Usage } else { Verdict::Pass }
}

/// The text of the first answer in a `chat.completion`, or the next piece of it in a chunk.
pub(super) fn texts(json: &[u8]) -> Vec<String> {
    let Reading::Known(chunk) = Reading::<Chunk>::of(json) else { return Vec::new() };
    let first = chunk.choices.iter().flatten().filter(|choice| choice.index.unwrap_or(0) == 0);
    first.flat_map(Choice::texts).filter_map(text).collect()
}

impl Chunk<'_> {
    /// Whether this is the chunk that OpenAI appends when `include_usage` is set: usage and no choice.
    fn is_usage_only(&self) -> bool {
        self.usage.is_some() && self.choices.as_ref().is_none_or(Vec::is_empty)
    }

    fn observe(&self, seen: &mut Observation, now: Timestamp) {
        seen.name(self.model);
        seen.tier(self.service_tier);
        if let Some(tokens) = self.usage.and_then(Tokens::reported) {
            seen.tokens = Some(tokens);
        }
        for choice in self.choices.iter().flatten() {
            let index = choice.index.unwrap_or(0);
            seen.begin(index);
            seen.calls_tools |= choice.calls_tools();
            seen.content(choice.content_bytes(), now);
            seen.finish(index, choice.finish_reason);
        }
    }
}

impl Choice<'_> {
    /// Whether the model calls a tool.
    fn calls_tools(&self) -> bool {
        let calls = self.delta.as_ref().and_then(|delta| delta.tool_calls.as_ref());
        calls.is_some_and(|calls| !calls.is_empty())
    }

    /// Bytes of generated text, as they are written in JSON.
    fn content_bytes(&self) -> usize {
        self.texts().map(text_bytes).sum()
    }

    /// The generated text, piece by piece.
    fn texts(&self) -> impl Iterator<Item = &RawValue> {
        self.delta.iter().flat_map(|delta| {
            let text = [delta.content, delta.reasoning_content.or(delta.reasoning), delta.refusal];
            let calls = delta.tool_calls.iter().flatten().filter_map(|call| call.function.as_ref());
            let called = calls.flat_map(|function| [function.name, function.arguments]);
            text.into_iter().chain(called).flatten()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(json: &str) -> Chunk<'_> {
        match Reading::<Chunk>::of(json.as_bytes()) {
            Reading::Known(chunk) => chunk,
            _ => panic!("not a chunk: {json}"),
        }
    }

    fn bytes(json: &str) -> usize {
        chunk(json).choices.iter().flatten().map(Choice::content_bytes).sum()
    }

    #[test]
    fn counts_text_reasoning_and_tool_arguments() {
        assert_eq!(bytes(r#"{"choices":[{"delta":{"role":"assistant","content":"hello"}}]}"#), 5);
        assert_eq!(
            bytes(r#"{"choices":[{"message":{"content":null,"reasoning":"abc","reasoning_content":"abc"}}]}"#),
            3
        );
        let call = r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":"{\"a\""}}]}}]}"#;
        assert_eq!(bytes(call), 7);
        assert_eq!(bytes(r#"{"choices":[{"delta":null,"content_filter_offsets":{}}]}"#), 0);
    }

    #[test]
    fn only_usage_without_choices_is_the_usage_chunk() {
        assert!(chunk(r#"{"choices":[],"usage":{"prompt_tokens":1}}"#).is_usage_only());
        assert!(!chunk(r#"{"choices":[],"usage":null,"prompt_filter_results":[]}"#).is_usage_only());
        assert!(!chunk(r#"{"choices":[{}],"usage":{"prompt_tokens":1}}"#).is_usage_only());
    }

    fn observe(chunks: &[&str]) -> Observation {
        let mut seen = Observation::default();
        for data in chunks {
            event(data.as_bytes(), &mut seen, Timestamp::UNIX_EPOCH);
        }
        seen
    }

    #[test]
    fn an_answer_is_finished_when_every_choice_is() {
        let first = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"#;
        let second = r#"{"choices":[{"index":1,"delta":{"content":"b"},"finish_reason":null}]}"#;
        let end = [
            r#"{"choices":[{"index":0,"finish_reason":"stop"}]}"#,
            r#"{"choices":[{"index":1,"finish_reason":"length"}]}"#,
        ];
        assert!(!observe(&[]).is_finished());
        assert!(observe(&[first, end[0]]).is_finished());
        assert!(!observe(&[first, second, end[0]]).is_finished());
        let both = observe(&[first, second, end[0], end[1]]);
        assert!(both.is_finished());
        assert_eq!(both.finish_reason.as_deref(), Some("length"));
    }

    #[test]
    fn the_last_usage_counts_and_a_null_does_not_erase_it() {
        let seen = observe(&[
            r#"{"usage":{"prompt_tokens":5,"completion_tokens":1}}"#,
            r#"{"usage":{"prompt_tokens":5,"completion_tokens":2}}"#,
            r#"{"usage":null}"#,
        ]);
        assert_eq!(seen.tokens, Some(Tokens { input: 5, output: 2, ..Tokens::default() }));
    }

    #[test]
    fn an_empty_model_name_is_no_answer_to_who_answers() {
        assert_eq!(
            observe(&[r#"{"model":""}"#, r#"{"model":"m-1"}"#, r#"{"model":"m-2"}"#]).model.as_deref(),
            Some("m-1")
        );
    }

    #[test]
    fn a_role_without_text_is_not_the_first_token() {
        assert!(observe(&[r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#]).first_token_at.is_none());
    }
}
