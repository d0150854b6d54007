use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::FutureExt;
use platform::{BoxFuture, Timestamp};

use crate::host;
use crate::operation::Operation;

/// The host's time, which stands still between I/O.
pub struct Clock;

/// A timer of the host. Dropping it early clears it.
struct Sleep(Operation);

impl platform::Clock for Clock {
    fn now(&self) -> Timestamp {
        #[allow(clippy::cast_possible_truncation)] // milliseconds since the epoch fit
        Timestamp::from_millisecond(host::now() as i64).unwrap_or_default()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        // The host's timers take a signed 32-bit number: about 24 days, longer than any invocation lives.
        let milliseconds = i32::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        async move {
            Sleep(Operation::begin(|invocation, operation| host::sleep(invocation, operation, milliseconds))).await;
        }
        .boxed()
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.poll_unpin(context).map(drop)
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if self.0.is_pending() {
            host::cancel_sleep(self.0.invocation, self.0.id);
        }
    }
}
