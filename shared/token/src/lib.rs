//! Who is calling: verification of Supabase access tokens and of this edge's API keys.
//!
//! [`Authenticator::authenticate`] is the one way in. The order of its checks is fixed: exactly one credential; strict
//! form; `alg` from the key, never from the token; signature; claims. A credential that is present and bad is refused
//! and never counts as none.

mod api_keys;
mod authenticator;
mod authz_changes;
mod claims;
mod config;
mod credential;
mod expiring_map;
#[cfg(feature = "judge")]
mod judge;
mod jwks_source;
mod jws;
mod key_set;
mod principal;
mod reason;
mod refusal;
mod remote_keys;
mod secret_bytes;
mod sessions;
mod strict_json;
mod verified_tokens;

pub mod api_key;

pub use authenticator::{Authenticator, Caller, Sent};
pub use config::{ApiKeyConfig, Config, Jwks};
#[cfg(feature = "judge")]
pub use judge::judge;
pub use key_set::{KeySet, KeySetError};
pub use principal::{Method, Principal, Role, SCOPES, Tier};
pub use reason::Reason;
pub use refusal::Refusal;
pub use sessions::{Begun, Device, Held, SessionConfig, SessionKey, Sessions};
