//! A deterministic in-memory host for tests: nothing happens that the test did not write down.
//!
//! ```
//! use platform::{Variables, fakes::Host};
//!
//! let host = Host::new().variable("PROVIDER_URL", "https://provider.test");
//! host.http.reply_json(200, r#"{"ok":true}"#);
//! let answer = host.block_on(async {
//!     let context = host.context();
//!     let url = context.variables.get("PROVIDER_URL").await.unwrap().unwrap();
//!     let request = http::Request::get(url).body(platform::Body::empty()).unwrap();
//!     context.http.send(request).await.unwrap().into_body().read(1024).await.unwrap()
//! });
//! assert_eq!(&answer[..], br#"{"ok":true}"#);
//! assert_eq!(host.http.requests()[0].uri, "https://provider.test/");
//! ```
//!
//! Every part is a cheap handle: its clones share one state.

// These types exist for tests, where a broken assumption ends the test.
#![allow(clippy::panic, clippy::unwrap_used, clippy::missing_panics_doc)]

mod background;
mod clock;
mod entropy;
mod executor;
mod http;
mod key_value;
mod ledger;
mod signer;
mod stream;
mod variables;
mod verifier;

pub use background::QueuedBackground;
pub use clock::ManualClock;
pub use entropy::SeededEntropy;
pub use executor::block_on;
pub use http::{HeldReply, Recorded, ScriptedHttp};
pub use key_value::MemoryKeyValue;
pub use ledger::MemoryLedger;
pub use signer::ScriptedSigner;
pub use stream::{StreamHandle, streamed_body};
pub use variables::MapVariables;
pub use verifier::ScriptedVerifier;

use std::future::Future;
use std::sync::Arc;

use crate::Context;

/// One fake of each capability. A test changes the parts it cares about and takes a [`Context`].
#[derive(Clone)]
pub struct Host {
    /// Answers outbound requests as scripted and records them.
    pub http: ScriptedHttp,
    /// Stands still until advanced.
    pub clock: ManualClock,
    /// The same bytes in every run.
    pub entropy: SeededEntropy,
    /// What the test has set.
    pub variables: MapVariables,
    /// Expires by `clock`.
    pub cache: MemoryKeyValue,
    /// Decides by `clock`.
    pub ledger: MemoryLedger,
    /// Keeps tasks until the test runs them, or waits for something that they do.
    pub background: QueuedBackground,
    /// Accepts every signature until told otherwise.
    pub signatures: ScriptedVerifier,
    /// Gives every message the same signature until told to fail.
    pub signer: ScriptedSigner,
}

impl Host {
    /// A host at 2026-01-01T00:00:00Z with no variables, empty stores and no scripted replies.
    pub fn new() -> Self {
        let clock = ManualClock::default();
        let (cache, ledger) = (MemoryKeyValue::new(clock.clone()), MemoryLedger::new(clock.clone()));
        Self {
            http: ScriptedHttp::default(),
            clock,
            entropy: SeededEntropy::default(),
            variables: MapVariables::default(),
            cache,
            ledger,
            background: QueuedBackground::default(),
            signatures: ScriptedVerifier::default(),
            signer: ScriptedSigner::default(),
        }
    }

    /// Sets a variable.
    #[must_use]
    pub fn variable(self, name: &str, value: &str) -> Self {
        self.variables.set(name, value);
        self
    }

    /// The context that functions are given. Fields may be replaced, for instance by a real verifier.
    pub fn context(&self) -> Context {
        Context {
            http: Arc::new(self.http.clone()),
            clock: Arc::new(self.clock.clone()),
            entropy: Arc::new(self.entropy.clone()),
            variables: Arc::new(self.variables.clone()),
            cache: Arc::new(self.cache.clone()),
            ledger: Arc::new(self.ledger.clone()),
            background: Arc::new(self.background.clone()),
            signatures: Arc::new(self.signatures.clone()),
            signer: Arc::new(self.signer.clone()),
        }
    }

    /// Runs `future` to its end. When it cannot go on by itself, waiting background tasks do as much as they can; when
    /// it only waits for time, the clock moves on to the next sleeper by itself; when it waits for something that can no
    /// longer come, the test fails.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        executor::run(future, |waker, is_woken| {
            self.background.poll(waker);
            is_woken() || self.clock.advance_to_next_sleeper()
        })
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Body, Elapsed, timeout};

    #[test]
    fn a_deadline_over_a_held_reply_passes_without_waiting_and_drops_the_request() {
        let host = Host::new();
        let held = host.http.hold();
        let (context, started) = (host.context(), host.clock.now());
        let send = context.http.send(::http::Request::get("https://peer.test/").body(Body::empty()).unwrap());
        let outcome = host.block_on(timeout(&*context.clock, Duration::from_secs(30), send));
        assert!(matches!(outcome, Err(Elapsed)));
        assert_eq!(host.clock.now().duration_since(started).as_secs(), 30);
        assert!(held.is_cancelled());
    }

    #[test]
    fn ids_are_the_same_in_every_run_and_differ_within_one() {
        let ids = || {
            let context = Host::new().context();
            [context.new_id(), context.new_id()]
        };
        assert_eq!(ids(), ids());
        assert_ne!(ids()[0], ids()[1]);
    }
}
