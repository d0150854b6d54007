use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{self, Poll, Waker};

use async_trait::async_trait;
use quota::account::{Account, Operation, Outcome};
use quota::{Decision, State, Take};

use crate::{Ledger, StoreError, fakes::ManualClock};

/// A ledger in memory that decides by a [`ManualClock`].
#[derive(Clone, Default)]
pub struct MemoryLedger {
    clock: ManualClock,
    shards: Arc<Mutex<HashMap<String, State>>>,
    accounts: Arc<Mutex<HashMap<String, Account>>>,
    applied: Arc<Mutex<Vec<Applied>>>,
    ended: Arc<Mutex<Vec<String>>>,
    gate: Arc<Mutex<Gate>>,
    failure: Arc<Mutex<Option<StoreError>>>,
}

/// An account, and the operations of one call.
type Applied = (String, Vec<Operation>);

/// Whether accounts are held back, and who waits for them.
#[derive(Default)]
struct Gate {
    is_closed: bool,
    waiting: Vec<Waker>,
}

impl MemoryLedger {
    /// An untouched ledger that decides by `clock`.
    pub fn new(clock: ManualClock) -> Self {
        Self { clock, ..Self::default() }
    }

    /// The rows of calls that have ended, in their order.
    pub fn ended(&self) -> Vec<String> {
        self.ended.lock().unwrap().clone()
    }

    /// What was asked of the accounts, in its order: the account, and the operations of one call.
    pub fn applied(&self) -> Vec<(String, Vec<Operation>)> {
        self.applied.lock().unwrap().clone()
    }

    /// From now on operations on accounts wait; they are done when they are let through.
    pub fn hold(&self) {
        self.gate.lock().unwrap().is_closed = true;
    }

    /// Lets held operations through.
    pub fn let_through(&self) {
        let mut gate = self.gate.lock().unwrap();
        gate.is_closed = false;
        gate.waiting.drain(..).for_each(Waker::wake);
    }

    fn poll_gate(&self, context: &mut task::Context<'_>) -> Poll<()> {
        let mut gate = self.gate.lock().unwrap();
        if gate.is_closed {
            gate.waiting.push(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.now().as_nanosecond()).unwrap_or(0)
    }

    fn fail(&self) -> Result<(), StoreError> {
        self.failure.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    /// From now on every call fails with `error`; `None` heals the ledger.
    pub fn fail_with(&self, error: impl Into<Option<StoreError>>) {
        *self.failure.lock().unwrap() = error.into();
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn take(&self, shard: &str, takes: &[Take]) -> Result<Decision, StoreError> {
        self.fail()?;
        Ok(self.shards.lock().unwrap().entry(shard.to_owned()).or_default().take(self.now(), takes))
    }

    async fn apply(&self, account: &str, operations: &[Operation]) -> Result<Vec<Outcome>, StoreError> {
        self.applied.lock().unwrap().push((account.to_owned(), operations.to_vec()));
        poll_fn(|context| self.poll_gate(context)).await;
        self.fail()?;
        let mut accounts = self.accounts.lock().unwrap();
        let account = accounts.entry(account.to_owned()).or_default();
        let outcomes = operations.iter().map(|operation| account.apply(self.now(), operation)).collect();
        self.ended.lock().unwrap().extend(account.changes().ended.into_values());
        account.drop_fleeting_changes();
        Ok(outcomes)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fakes::block_on;

    #[test]
    fn what_was_taken_comes_back_with_time_and_shards_are_apart() {
        let clock = ManualClock::default();
        let ledger = MemoryLedger::new(clock.clone());
        let policy = quota::Policy { name: "test".into(), limit: 1, window_seconds: 60 };
        let takes = [Take { subject: "user".into(), policy, quantity: 1 }];
        let allowed = |shard| block_on(ledger.take(shard, &takes)).unwrap().allowed;
        assert!(allowed("one") && !allowed("one") && allowed("two"));
        clock.advance(Duration::from_mins(1));
        assert!(allowed("one"));
    }
}
