use std::time::{Duration, Instant, SystemTime};

use platform::{BoxFuture, Clock, Timestamp};

/// The machine's clock and tokio's timer.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The time by which the ledger decides: the machine's clock at the start, and from then on only what has passed since.
/// When somebody sets the machine's clock while the process runs, that grants nothing and locks nobody out; days and
/// months begin by the new time only after a restart.
pub(crate) struct SteadyClock {
    at_start: SystemTime,
    start: Instant,
}

impl Default for SteadyClock {
    fn default() -> Self {
        Self { at_start: SystemTime::now(), start: Instant::now() }
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        (self.at_start + self.start.elapsed()).into()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}
