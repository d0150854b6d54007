use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use platform::{Clock, Ledger, StoreError};
use quota::account::{Account, Operation, Outcome};
use quota::{Decision, State, Take};

/// The ledger behind a mutex: exact within the process, forgotten with it.
pub(crate) struct MutexLedger {
    clock: Arc<dyn Clock>,
    shards: Mutex<Shards>,
    accounts: Mutex<HashMap<String, Account>>,
}

struct Shards {
    states: HashMap<String, State>,
    /// Idle shards are swept out when there are this many; it then becomes twice what is left.
    sweep_at: usize,
}

const FIRST_SWEEP: usize = 1024;
const MAX_SHARDS: usize = 1_000_000;

impl MutexLedger {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            shards: Mutex::new(Shards { states: HashMap::new(), sweep_at: FIRST_SWEEP }),
            accounts: Mutex::default(),
        }
    }
}

impl Shards {
    fn take(&mut self, now: u64, shard: &str, takes: &[Take]) -> Result<Decision, StoreError> {
        if let Some(state) = self.states.get_mut(shard) {
            return Ok(state.take(now, takes));
        }
        self.make_room(now)?;
        Ok(self.states.entry(shard.to_owned()).or_default().take(now, takes))
    }

    fn make_room(&mut self, now: u64) -> Result<(), StoreError> {
        if self.states.len() >= self.sweep_at {
            self.states.retain(|_, state| !state.is_idle(now));
            self.sweep_at = (self.states.len() * 2).clamp(FIRST_SWEEP, MAX_SHARDS);
        }
        if self.states.len() >= MAX_SHARDS {
            return Err(StoreError::Unavailable(format!("more than {MAX_SHARDS} limits are in use")));
        }
        Ok(())
    }
}

#[async_trait]
impl Ledger for MutexLedger {
    async fn take(&self, shard: &str, takes: &[Take]) -> Result<Decision, StoreError> {
        let now = u64::try_from(self.clock.now().as_nanosecond()).unwrap_or(0);
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).take(now, shard, takes)
    }

    async fn apply(&self, account: &str, operations: &[Operation]) -> Result<Vec<Outcome>, StoreError> {
        let now = u64::try_from(self.clock.now().as_nanosecond()).unwrap_or(0);
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let account = accounts.entry(account.to_owned()).or_default();
        Ok(operations.iter().map(|operation| account.apply(now, operation)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_that_are_full_again_are_swept_out() {
        let mut shards = Shards { states: HashMap::new(), sweep_at: FIRST_SWEEP };
        let policy = quota::Policy { name: "test".into(), limit: 10, window_seconds: 1 };
        let takes = [Take { subject: "user".into(), policy, quantity: 1 }];
        for second in 0..10_000u64 {
            shards.take(second * 1_000_000_000, &format!("shard-{second}"), &takes).unwrap();
        }
        assert!(shards.states.len() <= FIRST_SWEEP);
    }
}
