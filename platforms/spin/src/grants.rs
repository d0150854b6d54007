use std::sync::Arc;

use platform::Context;

use crate::absent::Absent;
use crate::background::Background;
use crate::chained_verifier::ChainedVerifier;
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::http_client::HttpClient;
use crate::key_value::KeyValue;
use crate::ledger::Ledger;
use crate::variables::Variables;

/// What a component may ask of its host. Everyone has HTTP, variables, time, randomness and background work; the rest is
/// named, and what is not named is not linked.
pub struct Grants(Context);

impl Grants {
    pub(crate) fn new() -> Self {
        let absent = Arc::new(Absent);
        Self(Context {
            http: Arc::new(HttpClient),
            clock: Arc::new(Clock),
            entropy: Arc::new(Entropy),
            variables: Arc::new(Variables),
            cache: absent.clone(),
            ledger: absent.clone(),
            background: Arc::new(Background),
            signatures: absent.clone(),
            signer: absent,
        })
    }

    /// The default key-value store; `spin.toml` grants it too.
    #[must_use]
    pub fn cache(self) -> Self {
        Self(Context { cache: Arc::new(KeyValue::default()), ..self.0 })
    }

    /// Limits and accounts in Postgres, with the project's secret key, or in Redis; `spin.toml` allows the call.
    #[must_use]
    pub fn ledger(self) -> Self {
        Self(Context { ledger: Arc::new(Ledger::new(self.0.clone())), ..self.0 })
    }

    /// Verification of signatures by the component `signature`; `spin.toml` allows the call.
    #[must_use]
    pub fn signatures(self) -> Self {
        let verifier = ChainedVerifier { http: self.0.http.clone(), clock: self.0.clock.clone() };
        Self(Context { signatures: Arc::new(verifier), ..self.0 })
    }

    /// Making of signatures within the component.
    #[must_use]
    pub fn signer(self) -> Self {
        Self(Context { signer: Arc::new(signature::PureRustSigner), ..self.0 })
    }

    pub(crate) fn into_context(self) -> Context {
        self.0
    }
}
