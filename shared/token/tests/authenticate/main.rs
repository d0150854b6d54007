//! Who is let in and who is not, through the one public door.

#![allow(clippy::unwrap_used, clippy::panic)] // tests

mod api_keys;
mod issuer_keys;
mod support;
mod tokens;
