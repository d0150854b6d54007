//! The part of Supabase that the edge calls, over a real PostgreSQL: PostgREST's `/rest/v1` (functions and reads), and
//! Supabase Auth's `/auth/v1` (sign-up, tokens, users, keys). It answers as a hosted project does, errors included, so
//! that supabase-js and the edge cannot tell them apart; `/__local` is for tests that want to see or to break something.
//!
//! A request to `/rest` runs as the role `authenticator`, which takes on the caller's role for one transaction.

#![allow(clippy::disallowed_methods)] // a server for development: it has a clock

mod access_token;
mod answer;
mod auth;
mod control;
mod database;
mod error;
mod gateway;
mod log;
mod migrations;
mod rest;
mod server;
mod signing;
mod state;
mod surface;

pub use database::{Login, login_url};
pub use error::Error;
pub use migrations::prepare;
pub use server::serve;
pub use surface::{Description, Options};
