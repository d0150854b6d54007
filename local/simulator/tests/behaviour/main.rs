//! The simulator as a client sees it: raw TCP, in process.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a panic is how a test fails
#![allow(clippy::needless_pass_by_value)] // `json!({…})` reads better than `&json!({…})` at every call

mod bedrock;
mod breaks;
mod client;
mod control;
mod framing;
mod messages;
mod peer;
mod refusals;
mod responses;
mod wire_format;
