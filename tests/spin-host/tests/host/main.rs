//! The host as a whole: a component that does what a test asks for, and the port on Spin (`probe`); a client and an
//! upstream on plain sockets.

#![allow(clippy::unwrap_used, clippy::panic)] // also in what the tests share
#![allow(clippy::disallowed_methods)] // tests of a host, on a machine

mod chaining;
mod guest;
mod instances;
mod interfaces;
mod outbound;
mod probe;
mod program;
mod running;
mod server;
mod sizes;
mod streams;
mod wire;
