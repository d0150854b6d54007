//! Starts work beside the code that runs.
//!
//! The SDK's executor takes new tasks over only after the task that spawned them has been polled, and looks at them only
//! when it has another reason to go round: with several tasks under way, a new one may lie there until some event of the
//! request arrives, which may be the very answer that waits for it. So every task asks for another round when it has
//! spawned something.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::poll_fn;
use spin_sdk::wasip3::wit_bindgen;

static SPAWNED: AtomicBool = AtomicBool::new(false);

/// Runs `future` beside the present request, also after its response has been returned.
pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) {
    SPAWNED.store(true, Ordering::Relaxed);
    wit_bindgen::spawn(attentive(future));
}

/// `future`, and what it spawns is begun at once.
pub(crate) async fn attentive<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let polled = future.as_mut().poll(context);
        if SPAWNED.swap(false, Ordering::Relaxed) {
            context.waker().wake_by_ref();
        }
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Context, Poll, Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Rounds(AtomicUsize);

    impl Wake for Rounds {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_that_has_spawned_something_asks_for_one_more_round_and_others_do_not() {
        let rounds = Arc::new(Rounds::default());
        let waker = Waker::from(rounds.clone());
        let mut context = Context::from_waker(&waker);
        let mut spawns = [true, false].into_iter();
        let mut task = pin!(attentive(poll_fn(|_| {
            // What `spawn` leaves behind; the executor itself is the host's.
            SPAWNED.store(spawns.next().unwrap_or(false), Ordering::Relaxed);
            Poll::<()>::Pending
        })));
        for expected in [1, 1, 1] {
            assert!(task.as_mut().poll(&mut context).is_pending());
            assert_eq!(rounds.0.load(Ordering::Relaxed), expected);
        }
    }
}
