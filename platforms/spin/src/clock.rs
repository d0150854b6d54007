use std::time::{Duration, SystemTime};

use platform::{BoxFuture, Timestamp};

use crate::sleep::sleep;

/// The host's clock, and its timers, which are monotonic.
pub(crate) struct Clock;

impl platform::Clock for Clock {
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(sleep(duration))
    }
}
