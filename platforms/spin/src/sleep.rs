//! Sleeping, at the price of one timer of the host for a whole request.
//!
//! To take back a timer that has not run out is expensive: the host suspends the guest until the timer is gone. Nearly
//! every sleep here is a deadline that does not pass. So a sleep only notes until when, and the request's tasks keep a
//! timer that runs out before the earliest (`task.rs`) and is taken back once, at the request's end.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use spin_sdk::wasip3::clocks::monotonic_clock::{self, Mark};

/// Who sleeps in one request.
#[derive(Default)]
pub(crate) struct Sleepers(RefCell<Vec<Sleeper>>);

struct Sleeper {
    number: u64,
    deadline: Mark,
    waker: Waker,
}

thread_local! {
    /// Those of the request whose tasks are being polled.
    static CURRENT: RefCell<Rc<Sleepers>> = RefCell::default();
    /// How many there have been in the instance.
    static COUNTED: Cell<u64> = const { Cell::new(0) };
}

/// Completes after a while. To be polled within a request.
pub(crate) struct Sleep {
    duration: Duration,
    number: Option<u64>,
}

/// Completes after `duration`, counted from the first poll.
pub(crate) fn sleep(duration: Duration) -> Sleep {
    Sleep { duration, number: None }
}

/// The time of the host's timers when `duration` will have passed.
pub(crate) fn after(duration: Duration) -> Mark {
    monotonic_clock::now().saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(Mark::MAX))
}

impl Sleepers {
    /// Runs `poll`, in which those who fall asleep belong to these.
    pub(crate) fn within<T>(self: &Rc<Self>, poll: impl FnOnce() -> T) -> T {
        let outer = CURRENT.replace(Rc::clone(self));
        let polled = poll();
        CURRENT.set(outer);
        polled
    }

    /// When the first is to be woken.
    pub(crate) fn earliest(&self) -> Option<Mark> {
        self.0.borrow().iter().map(|sleeper| sleeper.deadline).min()
    }

    /// Waits until `at` by a timer of the host, then wakes those whose deadline has passed.
    pub(crate) async fn wake_at(&self, at: Mark) {
        monotonic_clock::wait_until(at).await;
        self.wake(at);
    }

    fn wake(&self, now: Mark) {
        let (due, rest): (Vec<_>, Vec<_>) = self.0.take().into_iter().partition(|sleeper| sleeper.deadline <= now);
        self.0.replace(rest);
        for sleeper in due {
            sleeper.waker.wake();
        }
    }

    fn add(&self, deadline: Mark, waker: &Waker) -> u64 {
        let number = COUNTED.get() + 1;
        COUNTED.set(number);
        self.0.borrow_mut().push(Sleeper { number, deadline, waker: waker.clone() });
        number
    }

    /// Whether `number` still sleeps; then `waker` wakes it.
    fn still_sleeps(&self, number: u64, waker: &Waker) -> bool {
        let mut sleepers = self.0.borrow_mut();
        let sleeper = sleepers.iter_mut().find(|sleeper| sleeper.number == number);
        sleeper.map(|sleeper| sleeper.waker.clone_from(waker)).is_some()
    }

    fn forget(&self, number: u64) {
        self.0.borrow_mut().retain(|sleeper| sleeper.number != number);
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let sleeps = CURRENT.with_borrow(|sleepers| match self.number {
            Some(number) => sleepers.still_sleeps(number, context.waker()),
            None if self.duration.is_zero() => false,
            None => {
                self.number = Some(sleepers.add(after(self.duration), context.waker()));
                true
            }
        });
        if sleeps { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Sleep {
    /// When all of a request is dropped, its sleepers go with it.
    fn drop(&mut self) {
        if let Some(number) = self.number {
            CURRENT.with_borrow(|sleepers| sleepers.forget(number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(sleepers: &Sleepers, deadline: Mark) -> Sleep {
        let number = sleepers.add(deadline, Waker::noop());
        Sleep { duration: Duration::from_secs(1), number: Some(number) }
    }

    fn poll(sleep: &mut Sleep) -> Poll<()> {
        Pin::new(sleep).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn whoever_has_slept_long_enough_is_woken_and_no_other() {
        let sleepers = Rc::new(Sleepers::default());
        sleepers.within(|| {
            let mut sleeps = [30, 10, 20].map(|deadline| sleeper(&sleepers, deadline));
            assert_eq!(sleepers.earliest(), Some(10));
            sleepers.wake(20);
            assert_eq!(sleeps.each_mut().map(poll), [Poll::Pending, Poll::Ready(()), Poll::Ready(())]);
            assert_eq!(sleepers.earliest(), Some(30));
        });
    }

    #[test]
    fn one_that_is_dropped_is_forgotten() {
        let sleepers = Rc::new(Sleepers::default());
        sleepers.within(|| {
            let (one, mut other) = (sleeper(&sleepers, 10), sleeper(&sleepers, 20));
            drop(one);
            assert_eq!((sleepers.earliest(), poll(&mut other)), (Some(20), Poll::Pending));
        });
    }
}
