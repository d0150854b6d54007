use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use platform::{Context, Timestamp};

/// Whether the ledger is worth asking, as one instance sees it.
///
/// After a few failures in a row it is left alone for a moment, in which everybody is answered at once as its absence
/// demands; then one request tries, and the others follow when it succeeds. So a ledger that comes back is not met by
/// all at the same time.
#[derive(Default)]
pub struct Availability {
    failing: Mutex<Failing>,
    failures: AtomicU64,
}

#[derive(Default)]
struct Failing {
    in_a_row: u32,
    /// Until then nobody asks.
    until: Option<Timestamp>,
}

const TOLERATED: u32 = 3;
const SHORTEST_PAUSE_MS: u64 = 100;
/// The pause doubles with each failure, up to 32 times.
const MOST_DOUBLINGS: u32 = 5;

impl Availability {
    /// Whether this request may ask. Who may, and does, reports how it went.
    pub(crate) fn may_ask(&self, context: &Context) -> bool {
        let now = context.clock.now();
        let mut failing = self.failing();
        match failing.until {
            Some(until) if now < until => false,
            // This one tries; the next may when it has not come back after a pause.
            Some(_) => {
                failing.until = Some(now.saturating_add(pause(failing.in_a_row, context)));
                true
            }
            None => true,
        }
    }

    pub(crate) fn succeeded(&self) {
        let mut failing = self.failing();
        if failing.in_a_row > 0 {
            tracing::info!(failures = failing.in_a_row, "the ledger answers again");
            *failing = Failing::default();
        }
    }

    pub(crate) fn failed(&self, context: &Context) {
        let mut failing = self.failing();
        failing.in_a_row = failing.in_a_row.saturating_add(1);
        if failing.in_a_row >= TOLERATED {
            failing.until = Some(context.clock.now().saturating_add(pause(failing.in_a_row, context)));
        }
    }

    /// Counts and logs a request that was decided without the ledger.
    pub(crate) fn decided_without(&self, allowed: bool, reason: &str) {
        let decisions = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::error!(allowed, reason, decisions, "a request was decided without the ledger");
    }

    fn failing(&self) -> MutexGuard<'_, Failing> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Longer with each failure, and by chance up to twice as long, so that instances do not try together.
fn pause(failures: u32, context: &Context) -> Duration {
    let doublings = failures.saturating_sub(TOLERATED).min(MOST_DOUBLINGS);
    let mut random = [0];
    context.entropy.fill(&mut random);
    let shortest = SHORTEST_PAUSE_MS << doublings;
    Duration::from_millis(shortest + shortest * u64::from(random[0]) / 255)
}
