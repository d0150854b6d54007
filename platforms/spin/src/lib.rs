//! The port on Spin, and the way in for its components.
//!
//! Each function is a component of its own (`components/<function>`): a few lines that name the function and what it needs
//! of the host ([`Grants`]), and hand requests to a [`Component`]. What is not named is not linked, so a component can
//! reach only what `spin.toml` grants it. One more component, which only others can reach, checks their callers' signatures
//! ([`verify`]): the arithmetic is larger than most functions.
//!
//! Up to 16 requests share an instance, one at a time on its one thread. A panic ends all of them: the host then ends
//! their bodies as if they were complete, unless it knows their length. So known bodies carry their length, a stream is
//! complete only with its last event, and nothing here may panic.

#![allow(clippy::disallowed_methods)] // this is the host: it reads the clock for everyone else

mod absent;
mod background;
mod chained_verifier;
mod clock;
mod component;
mod entropy;
mod grants;
mod head;
mod http_client;
mod inbound;
mod key_value;
mod ledger;
mod log;
mod outbound;
mod postgres_ledger;
#[cfg(feature = "probe")]
mod probe;
mod redis;
mod signature_question;
mod sleep;
mod task;
mod variables;
mod verification;

pub use component::Component;
pub use grants::Grants;
#[cfg(feature = "probe")]
pub use probe::Probe;
pub use verification::verify;
