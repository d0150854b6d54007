use std::cell::Cell;
use std::time::{Duration, SystemTime};

use platform::{BoxFuture, Timestamp};

use crate::sleep::sleep;

/// The host's clock, and its timers, which are monotonic. It stands still while a request's tasks are polled: each look
/// at it is a call of the host.
pub(crate) struct Clock;

thread_local! {
    static NOW: Cell<Option<Timestamp>> = const { Cell::new(None) };
}

/// The time goes on.
pub(crate) fn go_on() {
    NOW.set(None);
}

impl platform::Clock for Clock {
    fn now(&self) -> Timestamp {
        let now = NOW.get().unwrap_or_else(|| SystemTime::now().into());
        NOW.set(Some(now));
        now
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(sleep(duration))
    }
}

#[cfg(test)]
mod tests {
    use platform::Clock as _;

    use super::*;

    #[test]
    fn the_clock_stands_still_until_it_goes_on() {
        let begun = Clock.now();
        let wall = Timestamp::from(SystemTime::now());
        while Timestamp::from(SystemTime::now()) == wall {
            std::hint::spin_loop();
        }
        assert_eq!(Clock.now(), begun);
        go_on();
        assert!(Clock.now() > begun);
    }
}
