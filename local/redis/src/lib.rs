//! A private Redis server for tests.
//!
//! [`Server::start`] finds a `redis-server` or `valkey-server` and runs it on a free port of 127.0.0.1 until it is dropped;
//! [`install`] gets one where the machine has none.

#![allow(clippy::disallowed_methods)] // a tool on a person's machine: it has a process environment, a clock and threads

mod program;
mod server;

use std::path::PathBuf;

use thiserror::Error;

pub use program::install;
pub use server::{PASSWORD, Server};

/// Why there is no Redis.
#[derive(Debug, Error)]
pub enum Error {
    /// None is installed.
    #[error(
        "there is no redis-server and no valkey-server: install one (`sudo apt-get install redis-server`), name one in \
         QLP_REDIS_SERVER, or run `cargo xtask test` once, which gets one for Linux on x86-64"
    )]
    Missing,
    /// A step failed.
    #[error("{0} did not succeed: {1}")]
    Step(&'static str, String),
    /// It ended, or did not answer in time.
    #[error("redis-server did not start; its log is {0}")]
    Start(PathBuf),
}
