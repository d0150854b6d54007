//! Who is let in and who is not, through the one public door.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // tests

mod api_keys;
mod authz_changes;
mod exchange;
mod issuer_keys;
mod services;
mod sessions;
mod support;
mod tokens;
mod user_tokens;
