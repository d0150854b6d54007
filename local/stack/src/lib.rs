//! The whole stack on one machine: PostgreSQL, the Supabase surface, the LLM simulator, and the edge on every host.
//!
//! [`Stack::start`] sets up, builds and starts everything; dropping the [`Stack`] stops it in the opposite order.

#![allow(clippy::disallowed_methods)] // a tool on a person's machine: it has a process environment, a clock and threads

mod builds;
mod demo_user;
mod description;
mod edge;
mod error;
mod kept_secret;
mod leftovers;
mod process;
mod settings;
mod spin;
mod stack;
mod watchdog;

pub use builds::{SPIN_COMPONENTS, prepare, spin_components, target_dir, wasm_targets};
pub use description::{Demo, Description, Endpoint, Simulator, Supabase};
pub use edge::{Edge, Launcher};
pub use error::Error;
pub use leftovers::stop_leftovers;
pub use settings::Settings;
pub use stack::{Host, Options, Stack};
