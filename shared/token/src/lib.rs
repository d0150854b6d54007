//! Who is calling: verification of Supabase access tokens, of this edge's API keys and of services' tokens; and the
//! short-lived tokens that the edge issues in exchange.
//!
//! [`Authenticator::authenticate`] is the one way in for users, [`Authenticator::require_service_scope`] for services. The order of its checks is fixed: exactly one credential; strict
//! form; `alg` from the key, never from the token; signature; claims. A credential that is present and bad is refused
//! and never counts as none.

mod api_keys;
mod authenticator;
mod authz_changes;
mod claimed;
mod claims;
mod config;
mod configured_keys;
mod credential;
mod edge_config;
mod exchange;
mod expiring_map;
mod issuer;
#[cfg(feature = "judge")]
mod judge;
mod jwks_source;
mod jws;
mod key_guesses;
mod key_set;
mod key_uses;
mod llm_rules;
mod network;
mod peppers;
mod principal;
mod reason;
mod refusal;
mod remote_keys;
mod secret_bytes;
mod service;
mod service_keys;
mod sessions;
mod signing_keys;
mod strict_json;
mod user_tokens;
mod verified_tokens;

pub mod api_key;

pub use authenticator::{Authenticator, Caller, Sent};
pub use claimed::{Claimed, claimed, claimed_by, issued_to};
pub use config::{Config, Jwks, KeyMint, Project};
pub use configured_keys::ConfiguredKeysError;
pub use edge_config::EdgeConfig;
pub use exchange::{Actor, ExchangeError, Issued, TokenType, Wish};
#[cfg(feature = "judge")]
pub use judge::judge;
pub use key_set::{KeySet, KeySetError};
pub use llm_rules::{CacheMode, LLM_ENDPOINTS, LlmRules};
pub use network::{Network, NetworkError};
pub use peppers::{KeyDigest, Peppers};
pub use principal::{Method, Principal, Role, SCOPES, Tier};
pub use reason::Reason;
pub use refusal::Refusal;
pub use service::Service;
pub use service_keys::ServiceKeys;
pub use sessions::{Begun, Device, SessionConfig, SessionKey, Sessions};
pub use signing_keys::SigningKeys;
