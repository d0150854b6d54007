//! The simulator as a client sees it: raw TCP, in process.

mod breaks;
mod client;
mod control;
mod framing;
mod peer;
mod refusals;
mod wire_format;
