use std::time::{Duration, SystemTime};

use platform::{BoxFuture, Timestamp};
use spin_sdk::time;

/// The host's clock, and its timers, which are monotonic.
pub(crate) struct Clock;

impl platform::Clock for Clock {
    fn now(&self) -> Timestamp {
        // Not `Timestamp::now()`, which carries the texts of all errors of its crate into every component.
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (seconds, nanoseconds) = (since_epoch.as_secs().cast_signed(), since_epoch.subsec_nanos().cast_signed());
        Timestamp::new(seconds, nanoseconds).unwrap_or_default()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(time::sleep(duration))
    }
}
