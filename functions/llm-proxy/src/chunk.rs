//! The parts of a provider's answer, whole or in chunks, that the proxy looks at. Everything else is skipped.

use serde::Deserialize;
use serde_json::value::RawValue;

/// `chat.completion` or `chat.completion.chunk`.
#[derive(Deserialize)]
pub(crate) struct Chunk<'a> {
    #[serde(borrow)]
    pub(crate) model: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow)]
    pub(crate) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(crate) struct Choice<'a> {
    pub(crate) index: Option<u32>,
    #[serde(borrow, alias = "message")]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    pub(crate) finish_reason: Option<&'a RawValue>,
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

/// What an event's data turned out to be.
pub(crate) enum Reading<'a> {
    /// A chunk.
    Chunk(Chunk<'a>),
    /// JSON of another shape.
    Other,
    /// Not JSON, or not UTF-8.
    Malformed,
}

impl<'a> Reading<'a> {
    pub(crate) fn of(json: &'a [u8]) -> Self {
        let Ok(text) = std::str::from_utf8(json) else { return Self::Malformed };
        match serde_json::from_str(text) {
            Ok(chunk) => Self::Chunk(chunk),
            // After a member of an unexpected type the rest has not been looked at yet.
            Err(error) if error.is_data() && serde_json::from_str::<&RawValue>(text).is_ok() => Self::Other,
            Err(_) => Self::Malformed,
        }
    }
}

impl Chunk<'_> {
    /// Whether this is the chunk that OpenAI appends when `include_usage` is set: usage and no choice.
    pub(crate) fn is_usage_only(&self) -> bool {
        self.usage.is_some() && self.choices.as_ref().is_none_or(Vec::is_empty)
    }

    /// The provider's error, unless it is one of the empty values that clients take for none.
    pub(crate) fn error(&self) -> Option<&RawValue> {
        self.error.filter(|error| !matches!(error.get(), "false" | "0" | "\"\"" | "{}" | "[]"))
    }
}

impl Choice<'_> {
    /// Whether the model calls a tool.
    pub(crate) fn calls_tools(&self) -> bool {
        let calls = self.delta.as_ref().and_then(|delta| delta.tool_calls.as_ref());
        calls.is_some_and(|calls| !calls.is_empty())
    }

    /// The generated text, piece by piece.
    pub(crate) fn texts(&self) -> impl Iterator<Item = String> {
        self.raw_texts().filter_map(text)
    }

    /// Bytes of generated text, as they are written in JSON.
    pub(crate) fn content_bytes(&self) -> usize {
        self.raw_texts().map(text_bytes).sum()
    }

    fn raw_texts(&self) -> impl Iterator<Item = &RawValue> {
        self.delta.iter().flat_map(|delta| {
            let text = [delta.content, delta.reasoning_content.or(delta.reasoning), delta.refusal];
            let calls = delta.tool_calls.iter().flatten().filter_map(|call| call.function.as_ref());
            let called = calls.flat_map(|function| [function.name, function.arguments]);
            text.into_iter().chain(called).flatten()
        })
    }
}

fn text_bytes(raw: &RawValue) -> usize {
    raw.get().len().saturating_sub(2)
}

/// A JSON string as text. `None` if it is something else.
pub(crate) fn text(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(json: &str) -> Chunk<'_> {
        match Reading::of(json.as_bytes()) {
            Reading::Chunk(chunk) => chunk,
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

    #[test]
    fn tells_other_json_from_what_is_no_json() {
        for other in ["42", "[]", r#"{"choices":"none"}"#] {
            assert!(matches!(Reading::of(other.as_bytes()), Reading::Other), "{other}");
        }
        for broken in [&b""[..], b"{", b"{\"choices\":[{]", b"{\"choices\":\"none\"", b"{\"model\":\"\xff\"}"] {
            assert!(matches!(Reading::of(broken), Reading::Malformed));
        }
    }

    #[test]
    fn an_empty_error_is_none() {
        assert!(chunk(r#"{"error":{}}"#).error().is_none());
        assert!(chunk(r#"{"error":null}"#).error().is_none());
        assert!(chunk(r#"{"error":{"message":"x"}}"#).error().is_some());
    }
}
