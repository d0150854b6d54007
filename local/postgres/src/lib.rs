//! A private PostgreSQL server for development and tests.
//!
//! [`Server::start`] finds the machine's PostgreSQL, makes a cluster in a folder once, and runs a server on a free port
//! of 127.0.0.1 until it is stopped or dropped. It works for an ordinary user and for root, where PostgreSQL itself
//! runs as an unprivileged account. [`Server::external`] stands for a server that somebody else runs.

#![allow(clippy::disallowed_methods)] // a tool on a person's machine: it has a process environment, a clock and threads

mod account;
mod binaries;
mod cluster;
mod error;
mod launch;
mod place;
mod server;

pub use binaries::embedded_package;
pub use error::Error;
pub use server::{Options, Server};
