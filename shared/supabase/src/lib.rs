//! Typed clients for a Supabase project: RPC over PostgREST, Auth, and Storage.
//!
//! Every call has one deadline for everything (a download: for its head), a bound on what is read of the answer, and
//! errors that carry none of the upstream's text.
//! Keys and tokens never appear in `Debug` output.

mod auth;
mod auth_error;
mod client;
mod config;
mod error;
mod rpc;
mod session;
mod storage;
mod storage_error;

pub use auth::{Auth, LogoutScope};
pub use auth_error::AuthError;
pub use client::{Identity, Supabase};
pub use config::Config;
pub use error::Error;
pub use rpc::{
    AUTHENTICATE_KEY, CREATE_KEY, DatabaseRole, LIST_KEYS, LIST_MODELS, READY, RECORD_LLM_USAGE, REVOKE_KEY, RPCS, Rpc,
    TAKE_FROM_LIMITS, USAGE_SUMMARY,
};
pub use session::{Session, SignUp};
pub use storage::{Storage, Upload};
pub use storage_error::StorageError;
