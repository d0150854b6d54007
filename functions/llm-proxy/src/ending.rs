//! How a stream ends, and what its caller is told.

use bytes::Bytes;
use problem::{Problem, kinds};
use serde_json::Value;

use crate::call::Call;
use crate::config::Timeouts;
use crate::endpoint::Endpoint;
use crate::error_words::ErrorWords;
use crate::usage_event::Status;

/// How a provider's stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With the last event that its endpoint has, such as `[DONE]`.
    Done,
    /// Without that event, but every choice had said why it ends: the answer is complete.
    Finished,
    /// It broke off, or ended cleanly in the middle of the answer.
    Cut,
    /// Nothing came for too long.
    Stalled,
    /// It took too long as a whole.
    Overdue,
    /// An event was no JSON.
    Malformed,
    /// An event was too long.
    TooLong,
    /// The provider said itself that it failed.
    Reported(ErrorWords),
}

impl Ending {
    /// Whether the provider just stopped sending. After the reasons for ending that loses nothing.
    pub(crate) fn is_silence(&self) -> bool {
        matches!(self, Self::Cut | Self::Stalled | Self::Overdue)
    }

    /// For the usage event, once the answer has begun.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Done | Self::Finished => Status::Success,
            Self::Cut => Status::Truncated,
            Self::Stalled | Self::Overdue => Status::Timeout,
            Self::Malformed | Self::TooLong | Self::Reported(_) => Status::UpstreamError,
        }
    }

    /// What the caller is told. Nothing if its answer is complete.
    pub(crate) fn problem(&self, limits: &Timeouts) -> Option<Problem> {
        let (kind, detail) = match self {
            Self::Done | Self::Finished => return None,
            Self::Cut => (kinds::UPSTREAM_FAILED, "The provider's answer broke off before its end.".to_owned()),
            Self::Stalled => {
                (kinds::UPSTREAM_TIMEOUT, "The provider stopped sending before the answer's end.".to_owned())
            }
            Self::Overdue => {
                let limit = limits.stream.as_secs();
                (kinds::UPSTREAM_TIMEOUT, format!("The answer was not complete after {limit} s."))
            }
            Self::Malformed => (kinds::UPSTREAM_FAILED, "The provider's answer cannot be read.".to_owned()),
            Self::TooLong => (kinds::UPSTREAM_FAILED, "A piece of the provider's answer is too large.".to_owned()),
            Self::Reported(_) => (kinds::UPSTREAM_FAILED, "The provider failed before the answer's end.".to_owned()),
        };
        Some(Problem::new(kind).detail(detail))
    }
}

/// The event by which clients of `endpoint` learn in the middle of a stream that it failed. None follows it.
///
/// OpenAI documents the `error` event of responses with its words beside `type`, and sends them under `error`, by which
/// its clients notice it: both are there.
pub(crate) fn error_event(ending: &Ending, problem: &Problem, call: &Call) -> Bytes {
    let (endpoint, request_id) = (call.endpoint(), call.request_id().to_string());
    let none = ErrorWords::default();
    let words = if let Ending::Reported(words) = ending { words } else { &none };
    let mut body = words.body(problem, &problem.message(), endpoint.dialect(), &request_id);
    if endpoint == Endpoint::Responses {
        let number = call.seen.sequence_number.map_or(0, |last| last.saturating_add(1));
        let error = body.get("error").and_then(Value::as_object).cloned().unwrap_or_default();
        if let Some(event) = body.as_object_mut() {
            event.extend(error);
            event.insert("type".into(), "error".into());
            event.insert("sequence_number".into(), number.into());
        }
    }
    match endpoint {
        Endpoint::ChatCompletions | Endpoint::Embeddings => format!("data: {body}\n\n").into(),
        Endpoint::Responses | Endpoint::Messages => format!("event: error\ndata: {body}\n\n").into(),
    }
}
