//! How a stream ends, and what its caller is told.

use bytes::Bytes;
use problem::{Problem, kinds};

use crate::config::Timeouts;
use crate::error_words::ErrorWords;
use crate::usage_event::Status;

/// How a provider's stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With `[DONE]`.
    Done,
    /// Without `[DONE]`, but every choice had said why it ends: the answer is complete.
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

/// The event by which clients learn in the middle of a stream that it failed. No `[DONE]` follows it.
pub(crate) fn error_event(ending: &Ending, problem: &Problem) -> Bytes {
    let body = match ending {
        Ending::Reported(words) => words.body(problem, &problem.message()).to_string(),
        _ => problem.openai_body(),
    };
    format!("data: {body}\n\n").into()
}
