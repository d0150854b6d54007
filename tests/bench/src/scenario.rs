//! What is asked of every target.

use bytes::Bytes;
use http::{Method, Uri};
use serde_json::{Value, json};

use crate::client::Call;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    Trivial,
    Json,
    Sse,
    Paced,
}

impl Scenario {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 4] = [Self::Trivial, Self::Json, Self::Sse, Self::Paced];

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trivial => "trivial",
            Self::Json => "json",
            Self::Sse => "sse",
            Self::Paced => "paced",
        }
    }

    /// How much longer its rounds must be to see as much.
    pub fn slowness(self) -> f64 {
        if self == Self::Paced { 3.0 } else { 1.0 }
    }

    /// How many frames its stream has, `[DONE]` included, and how many of them come 10 ms after the one before.
    pub fn frames(self) -> Option<(usize, usize)> {
        match self {
            Self::Trivial | Self::Json => None,
            Self::Sse => Some((50, 0)),
            Self::Paced => Some((44, 40)),
        }
    }

    /// The request.
    pub fn call(self) -> Call {
        match self {
            Self::Trivial => Call { method: Method::GET, uri: Uri::from_static("/healthz"), body: Bytes::new() },
            Self::Json => Call::chat(chat(false, &json!({"tokens": 24}))),
            // Beside the tokens: the role, the finish reason, and [DONE].
            Self::Sse => Call::chat(chat(true, &json!({"tokens": 47}))),
            Self::Paced => Call::chat(chat(true, &json!({"first_token_ms": 100, "tokens": 41, "interval_ms": 10}))),
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
