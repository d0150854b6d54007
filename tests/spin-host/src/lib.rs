//! A small host for Spin components, for tests: it reads our `spin.toml` and runs the very `.wasm` files that ship, on
//! the engine that Spin uses. README.md says what it checks and what it does not.
//!
//! [`Manifest`] → [`Application`] (every variable filled in, every fault reported) → [`Host`] (compiled, ready) →
//! [`serve`]. The binary `spin-host` does just that.

#![allow(clippy::disallowed_methods)] // this is a host: it reads the clock and the environment for its guests

mod allowed_hosts;
mod application;
mod client;
mod components;
mod connector;
mod engine;
mod error;
mod guest;
mod hooks;
mod host;
mod inbound;
mod instances;
mod interfaces;
mod manifest;
mod output;
mod redis;
mod routes;
mod server;
mod stores;
mod template;
mod timed_body;
mod variables;

pub use allowed_hosts::AllowedHosts;
pub use application::{Answer, Application, Destination, Settings};
pub use error::Error;
pub use host::Host;
pub use manifest::Manifest;
pub use routes::{Match, Route, Routes};
pub use server::serve;
pub use variables::Given;
