use std::cell::Cell;
use std::time::Duration;

use futures_util::future::FutureExt;
use platform::{BoxFuture, Timestamp};

use crate::host;
use crate::sleep::Sleep;

/// The host's time, which stands still between I/O: it is asked once per entry from JavaScript.
pub struct Clock;

thread_local! {
    static NOW: Cell<Option<i64>> = const { Cell::new(None) };
}

impl platform::Clock for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(now()).unwrap_or_default()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let milliseconds = i64::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(i64::MAX);
        async move { Sleep::until(now().saturating_add(milliseconds)).await }.boxed()
    }
}

/// Milliseconds since the epoch.
pub fn now() -> i64 {
    NOW.get().unwrap_or_else(|| {
        #[allow(clippy::cast_possible_truncation)] // milliseconds since the epoch fit
        let now = host::now() as i64;
        NOW.set(Some(now));
        now
    })
}

/// Time may have moved on: an entry from JavaScript begins.
pub fn ask_again() {
    NOW.set(None);
}
