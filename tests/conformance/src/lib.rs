//! What the black-box suite needs: a client that checks the hygiene of every answer, and the stack under test.

#![allow(clippy::disallowed_methods)] // a test on a person's machine: it waits for what runs beside it
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::missing_panics_doc)] // a failed expectation ends its test

mod client;
mod gate;
mod hygiene;
pub mod python;
mod raw;
mod rig;

pub use client::{Answer, Client};
pub use gate::Gate;
pub use raw::{EventStream, Events};
pub use rig::{PASSWORD, Plain, Rig, marker, wait_until};
