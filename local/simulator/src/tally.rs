//! Counters that tests read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    Chat,
    Responses,
    Embeddings,
    Models,
    Peer,
    Other,
}

impl Endpoint {
    /// Whether the answer is generated, so that its progress is counted.
    pub fn completes(self) -> bool {
        matches!(self, Self::Chat | Self::Responses)
    }
}

/// How the answer to a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Not yet.
    Open,
    /// Everything was handed to the connection.
    Finished,
    /// The answer was an error.
    Refused,
    /// A fault ended it before its end.
    Interrupted,
    /// The client left before the end.
    Cancelled,
}

/// Counts of requests and of how they ended; all requests, or those with one marker.
#[derive(Debug, Default)]
pub struct Tally {
    chat: AtomicU64,
    responses: AtomicU64,
    embeddings: AtomicU64,
    models: AtomicU64,
    peer: AtomicU64,
    other: AtomicU64,
    begun: AtomicU64,
    finished: AtomicU64,
    refused: AtomicU64,
    interrupted: AtomicU64,
    cancelled: AtomicU64,
    frames: AtomicU64,
    tokens: AtomicU64,
    active: AtomicU64,
}

/// A [`Tally`] at one moment, as `GET /__sim/counters` shows it.
#[derive(Debug, Serialize)]
pub struct Counters {
    requests: Requests,
    /// Completions whose answer began (status 200).
    begun: u64,
    /// Completions that were handed over whole.
    finished: u64,
    /// Completions answered with an error.
    refused: u64,
    /// Completions that a fault ended.
    interrupted: u64,
    /// Completions whose client left.
    cancelled: u64,
    /// Server-sent events handed to connections.
    frames: u64,
    /// Tokens handed to connections.
    tokens: u64,
    /// Completions being answered now, hanging and stalled ones included.
    active: u64,
}

#[derive(Debug, Serialize)]
struct Requests {
    chat: u64,
    responses: u64,
    embeddings: u64,
    models: u64,
    peer: u64,
    other: u64,
}

impl Tally {
    /// Counts a request; answers how many of its kind came before it.
    pub fn received(&self, endpoint: Endpoint) -> u64 {
        if endpoint.completes() {
            self.active.fetch_add(1, Relaxed);
        }
        self.of(endpoint).fetch_add(1, Relaxed)
    }

    /// The answer to a completion began.
    pub fn begun(&self) {
        self.begun.fetch_add(1, Relaxed);
    }

    /// Frames and tokens were handed over.
    pub fn sent(&self, frames: u64, tokens: u64) {
        self.frames.fetch_add(frames, Relaxed);
        self.tokens.fetch_add(tokens, Relaxed);
    }

    /// The answer to a completion ended.
    pub fn ended(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Open => return,
            Outcome::Finished => &self.finished,
            Outcome::Refused => &self.refused,
            Outcome::Interrupted => &self.interrupted,
            Outcome::Cancelled => &self.cancelled,
        };
        counter.fetch_add(1, Relaxed);
        self.active.fetch_sub(1, Relaxed);
    }

    /// The present counts.
    pub fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        Counters {
            requests: Requests {
                chat: read(&self.chat),
                responses: read(&self.responses),
                embeddings: read(&self.embeddings),
                models: read(&self.models),
                peer: read(&self.peer),
                other: read(&self.other),
            },
            begun: read(&self.begun),
            finished: read(&self.finished),
            refused: read(&self.refused),
            interrupted: read(&self.interrupted),
            cancelled: read(&self.cancelled),
            frames: read(&self.frames),
            tokens: read(&self.tokens),
            active: read(&self.active),
        }
    }

    fn of(&self, endpoint: Endpoint) -> &AtomicU64 {
        match endpoint {
            Endpoint::Chat => &self.chat,
            Endpoint::Responses => &self.responses,
            Endpoint::Embeddings => &self.embeddings,
            Endpoint::Models => &self.models,
            Endpoint::Peer => &self.peer,
            Endpoint::Other => &self.other,
        }
    }
}
