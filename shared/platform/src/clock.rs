use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use thiserror::Error;

use crate::{BoxFuture, Timestamp};

/// Time, as the host tells it. On Workers it stands still between I/O.
pub trait Clock: Send + Sync {
    /// The present time.
    fn now(&self) -> Timestamp;

    /// Completes after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// A deadline passed before the work was done; the work was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the deadline passed")]
pub struct Elapsed;

/// Runs `future` for at most `duration`, then drops it.
pub async fn timeout<F: Future>(clock: &dyn Clock, duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    match select(pin!(future), clock.sleep(duration)).await {
        Either::Left((output, _)) => Ok(output),
        Either::Right(_) => Err(Elapsed),
    }
}
