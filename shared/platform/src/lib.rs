//! The port: the handful of things a function may ask of the host it runs on.
//!
//! Each capability is a small object-safe trait; [`Context`] holds one of each. A capability is here only because two
//! hosts implement it differently and a function needs it. What can be written on top of [`HttpClient`] (Supabase,
//! LLM providers) lives elsewhere.
//!
//! Futures are `Send` everywhere; hosts whose own futures are not wrap them in their adapter.

mod background;
mod body;
mod clock;
mod configuration;
mod context;
mod entropy;
mod http_client;
mod key_value;
mod ledger;
mod peer;
mod signatures;
mod timestamp;
mod variables;

#[cfg(feature = "contract")]
pub mod contract;
#[cfg(feature = "fakes")]
pub mod fakes;

pub use background::Background;
pub use body::{Body, BodyError, ByteStream, Content};
pub use clock::{Clock, Elapsed, timeout};
pub use configuration::{Configuration, ConfigurationError};
pub use context::Context;
pub use entropy::Entropy;
pub use http_client::{HttpClient, Request, Response, SendError};
pub use key_value::{KeyValue, StoreError};
pub use ledger::Ledger;
pub use peer::ClientAddress;
pub use signatures::{PrivateKey, PublicKey, SignatureVerifier, Signer, SignerError, VerifierError};
pub use timestamp::{NoTimestamp, Timestamp};
pub use variables::Variables;

/// A boxed future that may cross threads, as the port's traits return it.
pub type BoxFuture<'a, T> = futures_util::future::BoxFuture<'a, T>;
