use std::io;
use std::path::Path;
use std::sync::Arc;

use platform::{Context, Variables};
use supabase::Supabase;

use crate::background::TrackedBackground;
use crate::clock::{SteadyClock, SystemClock};
use crate::entropy::OsEntropy;
use crate::http_client::HyperClient;
use crate::key_value::MemoryKeyValue;
use crate::ledger::{Bookkeeping, MutexLedger};
use crate::variables::ProcessEnvironment;
use crate::verifier::Verifier;

/// One of each capability, living as long as the process.
pub struct Host {
    /// What functions are given.
    pub context: Context,
    pub(crate) background: TrackedBackground,
    ledger: Arc<MutexLedger>,
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
        let background = TrackedBackground::default();
        let ledger = Arc::new(MutexLedger::in_memory(Arc::new(SteadyClock::default())));
        let context = Context {
            http: Arc::new(HyperClient::new()?),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy::new()?),
            variables,
            cache: Arc::new(MemoryKeyValue::default()),
            ledger: ledger.clone(),
            background: Arc::new(background.clone()),
            signatures: Arc::new(Verifier),
            signer: Arc::new(signature::PureRustSigner),
        };
        Ok(Self { context, background, ledger })
    }

    /// Keeps the ledger's accounts in `folder` from now on, with what is there already.
    ///
    /// Fails if another process has it open, or if something in it is damaged.
    pub fn open_ledger(&mut self, folder: &Path) -> io::Result<()> {
        self.ledger = Arc::new(MutexLedger::open(Arc::new(SteadyClock::default()), folder)?);
        self.context.ledger = self.ledger.clone();
        Ok(())
    }

    /// Starts what the ledger does without being asked, on the present runtime. Its rows go to the project that the
    /// variables name; without one they stay.
    pub async fn keep_books(&self) -> Bookkeeping {
        let config = supabase::Config::load(&*self.context.variables).await;
        self.ledger.keep_books(&self.context, config.ok().map(Supabase::new))
    }

    /// The same host for another runtime: everything shared but outbound connections, which belong to their runtime.
    pub fn with_own_connections(&self) -> io::Result<Self> {
        let context = Context { http: Arc::new(HyperClient::new()?), ..self.context.clone() };
        Ok(Self { context, background: self.background.clone(), ledger: self.ledger.clone() })
    }
}
