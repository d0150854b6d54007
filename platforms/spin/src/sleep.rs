//! Sleeping, at the price of one timer of the host for a whole request.
//!
//! To take back a timer that has not run out is expensive: the host suspends the guest until the timer is gone. Nearly
//! every sleep here is a deadline that does not pass. So a sleep only notes until when, and the request's tasks keep a
//! timer that runs out before the earliest (`task.rs`) and is taken back once, at the request's end.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use spin_sdk::wasip3::clocks::monotonic_clock::{self, Mark};

/// A request with its tasks, which sleep and wake together.
pub(crate) type Group = u64;

thread_local! {
    static SLEEPERS: RefCell<Sleepers> = const { RefCell::new(Sleepers::new()) };
    /// Whose tasks are being polled.
    static CURRENT: Cell<Group> = const { Cell::new(0) };
}

/// Who sleeps until when, in all requests of the instance.
struct Sleepers {
    wakers: BTreeMap<Key, Waker>,
    counted: u64,
}

/// The number tells sleepers with the same deadline apart.
type Key = (Group, Mark, u64);

/// Completes after a while. To be polled within a request.
pub(crate) struct Sleep {
    duration: Duration,
    key: Option<Key>,
}

/// Completes after `duration`, counted from the first poll.
pub(crate) fn sleep(duration: Duration) -> Sleep {
    Sleep { duration, key: None }
}

/// A group that nobody else has.
pub(crate) fn new_group() -> Group {
    SLEEPERS.with_borrow_mut(Sleepers::count)
}

/// Runs `poll`, in which sleeps belong to `group`.
pub(crate) fn within<T>(group: Group, poll: impl FnOnce() -> T) -> T {
    let outer = CURRENT.replace(group);
    let polled = poll();
    CURRENT.set(outer);
    polled
}

/// When the first of `group` is to be woken.
pub(crate) fn earliest(group: Group) -> Option<Mark> {
    SLEEPERS.with_borrow(|sleepers| sleepers.earliest(group))
}

/// The time of the host's timers when `duration` will have passed.
pub(crate) fn after(duration: Duration) -> Mark {
    monotonic_clock::now().saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(Mark::MAX))
}

/// Waits until `at` by a timer of the host, then wakes those of `group` whose deadline has passed.
pub(crate) async fn wake_at(at: Mark, group: Group) {
    monotonic_clock::wait_until(at).await;
    SLEEPERS.with_borrow_mut(|sleepers| sleepers.take(group, at)).into_iter().for_each(Waker::wake);
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        SLEEPERS.with_borrow_mut(|sleepers| match self.key {
            Some(key) => match sleepers.wakers.get_mut(&key) {
                Some(waker) => {
                    waker.clone_from(context.waker());
                    Poll::Pending
                }
                None => Poll::Ready(()),
            },
            None if self.duration.is_zero() => Poll::Ready(()),
            None => {
                self.key = Some(sleepers.add(CURRENT.get(), after(self.duration), context.waker()));
                Poll::Pending
            }
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            SLEEPERS.with_borrow_mut(|sleepers| sleepers.wakers.remove(&key));
        }
    }
}

impl Sleepers {
    const fn new() -> Self {
        Self { wakers: BTreeMap::new(), counted: 0 }
    }

    fn count(&mut self) -> u64 {
        self.counted += 1;
        self.counted
    }

    fn add(&mut self, group: Group, deadline: Mark, waker: &Waker) -> Key {
        let key = (group, deadline, self.count());
        self.wakers.insert(key, waker.clone());
        key
    }

    fn earliest(&self, group: Group) -> Option<Mark> {
        let ((_, deadline, _), _) = self.wakers.range((group, 0, 0)..=(group, Mark::MAX, u64::MAX)).next()?;
        Some(*deadline)
    }

    /// Those of `group` whose deadline has passed at `now`.
    fn take(&mut self, group: Group, now: Mark) -> Vec<Waker> {
        let due: Vec<_> = self.wakers.range((group, 0, 0)..=(group, now, u64::MAX)).map(|(key, _)| *key).collect();
        due.iter().filter_map(|key| self.wakers.remove(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_a_group_are_woken_when_their_deadline_has_passed() {
        let mut sleepers = Sleepers::new();
        for (group, deadline) in [(1, 30), (1, 10), (1, 20), (2, 5)] {
            sleepers.add(group, deadline, Waker::noop());
        }
        assert_eq!([1, 2, 3].map(|group| sleepers.earliest(group)), [Some(10), Some(5), None]);
        assert_eq!(sleepers.take(1, 20).len(), 2);
        assert_eq!([1, 2].map(|group| sleepers.earliest(group)), [Some(30), Some(5)]);
    }

    #[test]
    fn sleepers_with_one_deadline_are_woken_together_and_one_that_is_dropped_is_forgotten() {
        let (one, other) = SLEEPERS
            .with_borrow_mut(|sleepers| (sleepers.add(7, 10, Waker::noop()), sleepers.add(7, 10, Waker::noop())));
        let sleep = |key| Sleep { duration: Duration::from_secs(1), key: Some(key) };
        let (mut one, other) = (sleep(one), sleep(other));
        drop(other);
        let mut poll = || Pin::new(&mut one).poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(poll(), Poll::Pending);
        assert_eq!(SLEEPERS.with_borrow_mut(|sleepers| sleepers.take(7, 10)).len(), 1);
        assert_eq!(poll(), Poll::Ready(()));
    }
}
