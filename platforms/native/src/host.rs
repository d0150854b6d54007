use std::io;
use std::sync::Arc;

use platform::{Context, Variables};

use crate::background::TrackedBackground;
use crate::clock::SystemClock;
use crate::entropy::OsEntropy;
use crate::http_client::HyperClient;
use crate::key_value::MemoryKeyValue;
use crate::ledger::MutexLedger;
use crate::variables::ProcessEnvironment;
use crate::verifier::Verifier;

/// One of each capability, living as long as the process.
pub struct Host {
    /// What functions are given.
    pub context: Context,
    pub(crate) background: TrackedBackground,
}

impl Host {
    /// The host with the process environment for variables.
    ///
    /// Fails if the operating system gives no random bytes or the TLS library cannot start.
    pub fn new() -> io::Result<Self> {
        Self::with_variables(Arc::new(ProcessEnvironment))
    }

    /// The host with other variables than the process's.
    pub fn with_variables(variables: Arc<dyn Variables>) -> io::Result<Self> {
        let (clock, background) = (Arc::new(SystemClock), TrackedBackground::default());
        let context = Context {
            http: Arc::new(HyperClient::new()?),
            clock: clock.clone(),
            entropy: Arc::new(OsEntropy::new()?),
            variables,
            cache: Arc::new(MemoryKeyValue::default()),
            ledger: Arc::new(MutexLedger::new(clock)),
            background: Arc::new(background.clone()),
            signatures: Arc::new(Verifier),
            signer: Arc::new(signature::PureRustSigner),
        };
        Ok(Self { context, background })
    }

    /// The same host for another runtime: everything shared but outbound connections, which belong to their runtime.
    pub fn with_own_connections(&self) -> io::Result<Self> {
        let context = Context { http: Arc::new(HyperClient::new()?), ..self.context.clone() };
        Ok(Self { context, background: self.background.clone() })
    }
}
