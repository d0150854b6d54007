use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How one request is to be answered. Every member is optional; an empty object is a plain, complete answer.
///
/// "Frame" means one server-sent event, `data: …` and its blank line, and the frames are counted from the role frame
/// on, `[DONE]` included; those of a response and of a message from their first event on. Durations are in milliseconds. Members that speak of frames have no effect on JSON answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "a vocabulary: each flag is a word of its own")]
pub struct Behaviour {
    /// Answer with this status and an OpenAI error body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// `error.code`, for instance `context_length_exceeded`, `content_filter`; some have a message of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// `error.type`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `error.message`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `error.param`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
    /// The `retry-after` field: seconds, or any text such as an HTTP date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<RetryAfter>,
    /// The `retry-after-ms` field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Response fields to add or to replace.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,

    /// Wait before the response head.
    #[serde(skip_serializing_if = "is_default")]
    pub delay_ms: u64,
    /// Reset the connection (TCP RST) instead of answering.
    #[serde(skip_serializing_if = "is_default")]
    pub reset: bool,
    /// Close the connection instead of answering.
    #[serde(skip_serializing_if = "is_default")]
    pub close: bool,
    /// Never answer; the connection stays open.
    #[serde(skip_serializing_if = "is_default")]
    pub hang: bool,

    /// This body as it is, with status 200 unless `status` says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// An HTML page as a proxy in between would send it, status 200 unless `status` says otherwise.
    #[serde(skip_serializing_if = "is_default")]
    pub html: bool,
    /// The `content-type` of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,

    /// The answer's text instead of the generated one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// How many tokens the generated text has (default 48).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
    /// Make the answer's first token this many MiB large.
    #[serde(skip_serializing_if = "is_default")]
    pub body_mb: usize,
    /// Answer with this many parallel tool calls, to the request's tools in turn.
    #[serde(skip_serializing_if = "is_default")]
    pub tool_calls: usize,
    /// This many tokens of `reasoning_content` before the answer.
    #[serde(skip_serializing_if = "is_default")]
    pub reasoning: usize,
    /// Refuse, with this text in `refusal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// The `finish_reason`, whatever was produced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// The `model` of the answer instead of the one asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What usage is told and where.
    #[serde(skip_serializing_if = "is_default")]
    pub usage: UsageMode,
    /// Azure's additions: prompt filter chunk with empty choices, filter results, a late choice without `delta`.
    #[serde(skip_serializing_if = "is_default")]
    pub azure: bool,
    /// These frames, byte for byte, instead of the rendered ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<Vec<String>>,

    /// Wait between the response head and the first token.
    #[serde(skip_serializing_if = "is_default")]
    pub first_token_ms: u64,
    /// Send the role frame before that wait instead of after it.
    #[serde(skip_serializing_if = "is_default")]
    pub role_first: bool,
    /// Wait before each further token.
    #[serde(skip_serializing_if = "is_default")]
    pub interval_ms: u64,

    /// After this many frames close the connection without ending the chunked body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_after: Option<usize>,
    /// After this many frames reset the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset_after: Option<usize>,
    /// After this many frames end the body cleanly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eof_after: Option<usize>,
    /// After this many frames send nothing more, and keep the connection open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stall_after: Option<usize>,
    /// After this many frames send one that is not JSON, then go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub malformed_after: Option<usize>,
    /// After this many frames send `data: {"error": …}` and end the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_after: Option<usize>,
    /// After this many bytes of the body close the connection; works on JSON answers too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_after_bytes: Option<usize>,
    /// Leave out `data: [DONE]`, or `message_stop`.
    #[serde(skip_serializing_if = "is_default")]
    pub no_done: bool,
    /// Leave out the frame with the `finish_reason`: the end of a response, `message_delta`.
    #[serde(skip_serializing_if = "is_default")]
    pub no_finish_reason: bool,

    /// End lines with CR LF.
    #[serde(skip_serializing_if = "is_default")]
    pub crlf: bool,
    /// `data:{` instead of `data: {`.
    #[serde(skip_serializing_if = "is_default")]
    pub no_space: bool,
    /// A comment line before each frame.
    #[serde(skip_serializing_if = "is_default")]
    pub comments: bool,
    /// Spread each frame's JSON over two `data:` lines.
    #[serde(skip_serializing_if = "is_default")]
    pub multi_line: bool,
    /// Start a new TCP write at each of these byte offsets of the body.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub split_at: Vec<usize>,
    /// Start a new TCP write every so many bytes of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_every: Option<usize>,
    /// Start a new TCP write inside every character that takes more than one byte.
    #[serde(skip_serializing_if = "is_default")]
    pub split_utf8: bool,
    /// This many frames in one write; 0: frames start no write of their own, only the splits above do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames_per_write: Option<usize>,
    /// The pause between two writes when one of the four members above is used (default 2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_gap_ms: Option<u64>,
}

/// The value of a `retry-after` field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RetryAfter {
    /// Seconds.
    Seconds(u64),
    /// Anything else, sent as it is.
    Text(String),
}

/// What usage is told and where.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum UsageMode {
    /// As OpenAI does it: in JSON always, in a stream when asked, in a last chunk with empty choices.
    #[default]
    Asked,
    /// One of the named departures from it.
    Named(UsageFault),
    /// This object, at the usual place.
    Given(serde_json::Map<String, Value>),
}

/// A departure from OpenAI's way to tell usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageFault {
    /// Never told.
    Missing,
    /// Told, and every count is zero.
    Zero,
    /// Told on the chunk with the `finish_reason`, asked for or not.
    LastContent,
    /// The extra chunk comes without having been asked for.
    Always,
}

impl Behaviour {
    /// Whether the frames go out as they are, each as soon as it may.
    pub(crate) fn writes_plainly(&self) -> bool {
        self.split_at.is_empty() && self.split_every.is_none() && !self.split_utf8 && self.frames_per_write.is_none()
    }
}

impl std::fmt::Display for RetryAfter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Seconds(seconds) => write!(f, "{seconds}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_of_usage() {
        let usage = |json: &str| serde_json::from_str::<Behaviour>(json).unwrap().usage;
        assert_eq!(usage("{}"), UsageMode::Asked);
        assert_eq!(usage(r#"{"usage":"last_content"}"#), UsageMode::Named(UsageFault::LastContent));
        assert!(matches!(usage(r#"{"usage":{"prompt_tokens":7}}"#), UsageMode::Given(_)));
    }

    #[test]
    fn refuses_a_word_that_it_does_not_know() {
        let error = serde_json::from_str::<Behaviour>(r#"{"cut_aftre":3}"#).unwrap_err();
        assert!(error.to_string().contains("cut_aftre"), "{error}");
    }

    #[test]
    fn shows_only_what_was_set() {
        let behaviour: Behaviour = serde_json::from_str(r#"{"status":429,"retry_after":1}"#).unwrap();
        assert_eq!(serde_json::to_string(&behaviour).unwrap(), r#"{"status":429,"retry_after":1}"#);
    }
}
