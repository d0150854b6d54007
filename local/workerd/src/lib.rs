//! Runs the Worker in workerd, the open-source runtime of Cloudflare Workers, without wrangler: [`build_wasm`] compiles
//! it, [`bundle`] makes the ES modules that workerd and Cloudflare load, [`Workerd`] runs them.

#![allow(clippy::disallowed_methods)] // a tool on a person's machine: it has a process environment, a clock and threads

mod configuration;
mod error;
mod modules;
mod wasm;
mod workerd;

pub use error::Error;
pub use modules::bundle;
pub use wasm::{TARGET, build_wasm, ensure_target};
pub use workerd::{Options, Workerd};
