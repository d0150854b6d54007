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
