use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::{BoxFuture, Clock, Timestamp};

/// A clock that stands still until a test advances it. It starts at 2026-01-01T00:00:00Z.
#[derive(Clone)]
pub struct ManualClock(Arc<Mutex<Time>>);

struct Time {
    now: Timestamp,
    /// By deadline, then in the order in which they went to sleep.
    sleepers: BTreeMap<(Timestamp, u64), Option<Waker>>,
    next: u64,
}

struct Sleep {
    clock: ManualClock,
    key: (Timestamp, u64),
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Time { now, sleepers: BTreeMap::new(), next: 0 })))
    }

    /// What the clock shows.
    pub fn now(&self) -> Timestamp {
        self.time().now
    }

    /// Sets the clock, also backwards, and wakes nobody.
    pub fn set(&self, now: Timestamp) {
        self.time().now = now;
    }

    /// Moves time on by `duration` and wakes the sleepers whose time has come, in the order of their deadlines.
    pub fn advance(&self, duration: Duration) {
        let target = self.now() + duration;
        while self.wake_next_until(target) {}
        self.time().now = target;
    }

    /// Moves time on to the earliest deadline and wakes that sleeper. `false` if nobody sleeps.
    pub fn advance_to_next_sleeper(&self) -> bool {
        self.wake_next_until(Timestamp::MAX)
    }

    /// How many futures are asleep.
    pub fn sleepers(&self) -> usize {
        self.time().sleepers.len()
    }

    fn wake_next_until(&self, target: Timestamp) -> bool {
        let waker = {
            let mut time = self.time();
            match time.sleepers.first_key_value() {
                Some(((deadline, _), _)) if *deadline <= target => (),
                _ => return false,
            }
            let Some(((deadline, _), waker)) = time.sleepers.pop_first() else { return false };
            time.now = time.now.max(deadline);
            waker
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    fn time(&self) -> MutexGuard<'_, Time> {
        self.0.lock().unwrap()
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::at("2026-01-01T00:00:00Z".parse().unwrap())
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Self::now(self)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut time = self.time();
        // A sleep beyond the calendar is a sleep without end.
        let deadline = time.now.saturating_add(duration);
        let key = (deadline, time.next);
        time.next += 1;
        if deadline > time.now {
            time.sleepers.insert(key, None);
        }
        Box::pin(Sleep { clock: self.clone(), key })
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.clock.time().sleepers.get_mut(&self.key) {
            Some(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.clock.time().sleepers.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn advancing_ends_exactly_the_sleeps_that_are_due() {
        let clock = ManualClock::default();
        let (mut short, mut long) = (clock.sleep(Duration::from_secs(1)), clock.sleep(Duration::from_secs(2)));
        clock.advance(Duration::from_millis(999));
        assert_eq!((&mut short).now_or_never(), None);
        clock.advance(Duration::from_millis(1));
        assert_eq!(((&mut short).now_or_never(), (&mut long).now_or_never()), (Some(()), None));
        clock.advance(Duration::from_secs(9));
        assert_eq!(long.now_or_never(), Some(()));
    }

    #[test]
    fn the_earliest_deadline_is_woken_first_whatever_the_order_of_sleeping() {
        let clock = ManualClock::default();
        let started = clock.now();
        let _long = clock.sleep(Duration::from_secs(5));
        let short = clock.sleep(Duration::from_secs(3));
        assert!(clock.advance_to_next_sleeper());
        assert_eq!((short.now_or_never(), clock.now().duration_since(started).as_secs()), (Some(()), 3));
    }

    #[test]
    fn a_dropped_sleep_no_longer_counts() {
        let clock = ManualClock::default();
        drop(clock.sleep(Duration::from_secs(1)));
        assert_eq!(clock.sleepers(), 0);
        assert!(!clock.advance_to_next_sleeper());
    }

    #[test]
    fn no_time_at_all_is_no_wait() {
        assert_eq!(ManualClock::default().sleep(Duration::ZERO).now_or_never(), Some(()));
    }
}
