use std::collections::HashMap;

use platform::StoreError;
use quota::{Decision, State, Take};

/// The plain rates, by shard: in memory, forgotten with the process.
pub(super) struct Shards {
    states: HashMap<String, State>,
    /// Idle shards are swept out when there are this many; it then becomes twice what is left.
    sweep_at: usize,
}

const FIRST_SWEEP: usize = 1024;
const MAX_SHARDS: usize = 1_000_000;

impl Default for Shards {
    fn default() -> Self {
        Self { states: HashMap::new(), sweep_at: FIRST_SWEEP }
    }
}

impl Shards {
    pub(super) fn take(&mut self, now: u64, shard: &str, takes: &[Take]) -> Result<Decision, StoreError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_that_are_full_again_are_swept_out() {
        let mut shards = Shards::default();
        let policy = quota::Policy { name: "test".into(), limit: 10, window_seconds: 1 };
        let takes = [Take { subject: "user".into(), policy, quantity: 1 }];
        for second in 0..10_000u64 {
            shards.take(second * 1_000_000_000, &format!("shard-{second}"), &takes).unwrap();
        }
        assert!(shards.states.len() <= FIRST_SWEEP);
    }
}
