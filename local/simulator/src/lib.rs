//! An LLM provider for development and tests: OpenAI's wire format, Anthropic's and Amazon Bedrock's, deterministic
//! tokens, and every fault on request.
//!
//! A request chooses how it is answered by `metadata.sim`, a string that holds a [`Behaviour`] as JSON (or a list of
//! them: one per attempt, counted by `metadata.marker`); a test that cannot touch the body queues behaviours with
//! `POST /__sim/faults`. What was received and how each answer ended is read from `GET /__sim/counters` and
//! `GET /__sim/requests`. `/__peer/*` is a plain HTTP peer against which a host's HTTP client is tried.
#![allow(clippy::disallowed_methods)] // a native development tool: it may read the machine's clock

mod answer;
mod bedrock;
mod behaviour;
mod catalogue;
mod chat;
mod connection;
mod control;
mod delivery;
mod dialect;
mod embeddings;
mod error;
mod event_stream;
mod exchange;
mod json_answer;
mod messages;
mod peer;
mod reply;
mod responses;
mod routes;
mod rules;
mod schema;
mod script;
mod server;
mod stream_answer;
mod tally;
mod usage;

pub use behaviour::Behaviour;
pub use server::{Options, serve};
