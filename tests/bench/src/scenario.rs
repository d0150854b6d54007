//! What is asked of every target.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Uri};
use serde_json::{Value, json};

use crate::client::Call;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    Trivial,
    Json,
    Short,
    Sse,
    Paced,
    Many,
}

impl Scenario {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 6] = [Self::Trivial, Self::Json, Self::Short, Self::Sse, Self::Paced, Self::Many];

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trivial => "trivial",
            Self::Json => "json",
            Self::Short => "short",
            Self::Sse => "sse",
            Self::Paced => "paced",
            Self::Many => "many",
        }
    }

    /// How much longer its rounds must be to see as much.
    pub fn slowness(self) -> f64 {
        match self {
            Self::Trivial | Self::Json | Self::Short | Self::Sse => 1.0,
            Self::Paced => 3.0,
            Self::Many => 8.0,
        }
    }

    /// Over how many connections it is asked, one measurement for each.
    pub fn connections(self) -> &'static [usize] {
        if self == Self::Many { &[512] } else { &[1, 16] }
    }

    /// Whether it takes so long that it is measured only on request.
    pub fn on_request(self) -> bool {
        self == Self::Many
    }

    /// Within which time its connections begin, one after the other. Streams that began at once would send their frames
    /// at once, which those of different callers do not.
    pub fn ramp(self) -> Duration {
        if self == Self::Many { Duration::from_secs(4) } else { Duration::ZERO }
    }

    /// How many frames its stream has, `[DONE]` included, and how many of them come a fixed time after the one before.
    pub fn frames(self) -> Option<(usize, usize)> {
        match self {
            Self::Trivial | Self::Json => None,
            Self::Short => Some((23, 0)),
            Self::Sse => Some((50, 0)),
            Self::Paced => Some((44, 40)),
            Self::Many => Some((28, 24)),
        }
    }

    /// The request.
    pub fn call(self) -> Call {
        match self {
            Self::Trivial => Call { method: Method::GET, uri: Uri::from_static("/healthz"), body: Bytes::new() },
            Self::Json => Call::chat(chat(false, &json!({"tokens": 24}))),
            // Beside the tokens: the role, the finish reason, and [DONE].
            Self::Short => Call::chat(chat(true, &json!({"tokens": 20}))),
            Self::Sse => Call::chat(chat(true, &json!({"tokens": 47}))),
            Self::Paced => Call::chat(chat(true, &json!({"first_token_ms": 100, "tokens": 41, "interval_ms": 10}))),
            Self::Many => Call::chat(chat(true, &json!({"first_token_ms": 100, "tokens": 25, "interval_ms": 250}))),
        }
    }
}

/// A small request for a completion, answered by the simulator as `behaviour` says.
pub fn chat(stream: bool, behaviour: &Value) -> Bytes {
    let request = json!({
        "model": "default",
        "stream": stream,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "Say in two sentences what an edge is good for."},
        ],
        "metadata": {"sim": behaviour.to_string()},
    });
    request.to_string().into()
}
