use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Runs `future` to its end on this thread. A future that waits for something nobody will do fails the test instead of
/// hanging it.
pub fn block_on<F: Future>(future: F) -> F::Output {
    run(future, |_, _| false)
}

/// Polls `future` while it is woken; otherwise `unblock` may make something happen and says whether it did. It is given
/// the future's waker, and can ask whether the future has been woken meanwhile.
pub(super) fn run<F: Future>(future: F, mut unblock: impl FnMut(&Waker, &dyn Fn() -> bool) -> bool) -> F::Output {
    let woken = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut future = pin!(future);
    loop {
        while woken.0.swap(false, Ordering::AcqRel) {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return output;
            }
        }
        let is_woken = || woken.0.load(Ordering::Acquire);
        assert!(unblock(&waker, &is_woken), "the future waits for something that never comes");
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "waits for something that never comes")]
    fn a_future_that_can_never_end_fails_the_test() {
        block_on(std::future::pending::<()>());
    }
}
