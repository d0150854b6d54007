//! The edge as a native server: the port on tokio and hyper, and the doorway in front of the same router as everywhere.
//!
//! For tests, debugging and self-hosting. Cache and ledger live in the process, so limits hold for one instance.

#![allow(clippy::disallowed_methods)] // this is the host: it reads the clock and the environment for everyone else

mod background;
mod clock;
mod config;
mod edge;
mod entropy;
mod exchange;
mod host;
mod http_client;
mod key_value;
mod ledger;
mod server;
mod variables;

pub use config::Config;
pub use edge::edge;
pub use host::Host;
pub use server::{Limits, Server};
