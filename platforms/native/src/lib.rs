//! The edge as a native server: the port on tokio and hyper, and the doorway in front of the same router as everywhere.
//!
//! For tests, debugging and self-hosting. Cache and ledger live in the process, so limits hold for one instance; what accounts
//! have spent and who owes for it outlives it in `LEDGER_DIR`.

#![allow(clippy::disallowed_methods)] // this is the host: it reads the clock and the environment for everyone else

mod background;
mod clock;
mod config;
mod cores;
mod entropy;
mod exchange;
mod handler;
mod host;
mod http_client;
mod key_value;
mod ledger;
mod request_body;
mod server;
mod variables;
mod verifier;

pub use config::Config;
pub use cores::{serve, single_threaded};
pub use handler::handler;
pub use host::Host;
pub use ledger::Bookkeeping;
pub use server::{Limits, Server};
