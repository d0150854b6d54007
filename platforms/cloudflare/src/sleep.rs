//! The sleeps of each invocation, on as few timers of the host as possible.
//!
//! Nearly every sleep is a deadline that does not pass, and a timer of the host costs more than what it guards. So a sleep
//! that is over leaves the timer alone, and the next one uses it.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use wasm_bindgen::prelude::wasm_bindgen;

use crate::executor::{self, InvocationId};
use crate::{clock, host};

/// Completes at its time. It is polled in one invocation only.
pub struct Sleep {
    until: i64,
    /// Where it waits, since its first poll.
    place: Option<(InvocationId, u32)>,
}

#[derive(Default)]
struct Sleeps {
    /// By time, in milliseconds since the epoch, and number.
    waiting: BTreeMap<(i64, u32), Waker>,
    /// When the earliest of the host's timers rings, if one is known to be set.
    rings: Option<i64>,
}

thread_local! {
    static SLEEPS: RefCell<HashMap<InvocationId, Sleeps>> = RefCell::default();
}

impl Sleep {
    /// Completes at `until`, in milliseconds since the epoch.
    pub fn until(until: i64) -> Self {
        Self { until, place: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if clock::now() >= self.until {
            return Poll::Ready(());
        }
        // Outside of an invocation there is no host to wake it, as for any other operation.
        let Some(invocation) = executor::current() else { return Poll::Pending };
        let (_, number) = *self.place.get_or_insert_with(|| (invocation, executor::next_number()));
        with(|sleeps| {
            let sleeps = sleeps.entry(invocation).or_default();
            sleeps.waiting.insert((self.until, number), context.waker().clone());
            sleeps.arm(invocation);
        });
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some((invocation, number)) = self.place {
            with(|sleeps| sleeps.get_mut(&invocation)?.waiting.remove(&(self.until, number)));
        }
    }
}

impl Sleeps {
    /// Sets the host's timer to the first sleep, unless it rings before.
    fn arm(&mut self, invocation: InvocationId) {
        let Some(((until, _), _)) = self.waiting.first_key_value() else { return };
        if self.rings.is_none_or(|rings| *until < rings) {
            self.rings = Some(*until);
            // The host's timers take a signed 32-bit number: about 24 days, longer than any invocation lives.
            let milliseconds = i32::try_from(until - clock::now()).unwrap_or(i32::MAX);
            host::set_timer(invocation, milliseconds);
        }
    }
}

/// The timer of `invocation` rings.
#[wasm_bindgen]
pub fn ring(invocation: u32) {
    executor::enter(invocation, || {
        for waker in due(invocation) {
            waker.wake();
        }
    });
}

fn due(invocation: InvocationId) -> Vec<Waker> {
    with(|sleeps| {
        let Some(sleeps) = sleeps.get_mut(&invocation) else { return Vec::new() };
        sleeps.rings = None;
        let later = sleeps.waiting.split_off(&(clock::now() + 1, 0));
        let due = std::mem::replace(&mut sleeps.waiting, later);
        sleeps.arm(invocation);
        due.into_values().collect()
    })
}

/// No task of `invocation` is left; the host drops its timer.
pub fn forget(invocation: InvocationId) {
    with(|sleeps| sleeps.remove(&invocation));
}

fn with<T>(change: impl FnOnce(&mut HashMap<InvocationId, Sleeps>) -> T) -> T {
    SLEEPS.with_borrow_mut(change)
}
