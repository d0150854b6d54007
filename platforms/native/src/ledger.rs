//! The ledger behind mutexes: exact within the process. Plain rates are forgotten with it; accounts are kept in a
//! journal if the host is given a folder.

mod accounts;
mod bookkeeping;
mod books;
mod entry;
mod journal;
mod rows;
mod shards;
mod upkeep;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use platform::{Clock, Context, Ledger, StoreError};
use quota::account::{Operation, Outcome};
use quota::{Decision, Take};
use supabase::Supabase;

pub use bookkeeping::Bookkeeping;

use accounts::Accounts;
use shards::Shards;
use upkeep::Upkeep;

/// The ledger of one process.
pub(crate) struct MutexLedger {
    clock: Arc<dyn Clock>,
    shards: Mutex<Shards>,
    accounts: Arc<Accounts>,
    _upkeep: Option<Upkeep>,
}

impl MutexLedger {
    /// A ledger that is forgotten with the process.
    pub(crate) fn in_memory(clock: Arc<dyn Clock>) -> Self {
        let accounts = Arc::new(Accounts::in_memory(clock.clone()));
        Self { clock, shards: Mutex::default(), accounts, _upkeep: None }
    }

    /// A ledger whose accounts are kept in `folder`.
    pub(crate) fn open(clock: Arc<dyn Clock>, folder: &Path) -> io::Result<Self> {
        let accounts = Arc::new(Accounts::open(clock.clone(), folder)?);
        let upkeep = Some(Upkeep::start(Arc::clone(&accounts))?);
        Ok(Self { clock, shards: Mutex::default(), accounts, _upkeep: upkeep })
    }

    /// Starts what the ledger does without being asked, on the present runtime.
    pub(crate) fn keep_books(&self, context: &Context, supabase: Option<Supabase>) -> Bookkeeping {
        Bookkeeping::start(Arc::clone(&self.accounts), context.clone(), supabase)
    }
}

#[async_trait]
impl Ledger for MutexLedger {
    async fn take(&self, shard: &str, takes: &[Take]) -> Result<Decision, StoreError> {
        let now = u64::try_from(self.clock.now().as_nanosecond()).unwrap_or(0);
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).take(now, shard, takes)
    }

    async fn apply(&self, account: &str, operations: &[Operation]) -> Result<Vec<Outcome>, StoreError> {
        self.accounts.apply(account, operations)
    }
}

#[cfg(test)]
mod tests;
