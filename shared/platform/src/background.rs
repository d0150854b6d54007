use std::any::Any;

use futures_channel::oneshot;

use crate::BoxFuture;

/// Is given to whoever waits for it when it is dropped.
pub type Signal = Box<dyn Any + Send>;

/// Work that goes on after the response has been returned.
///
/// The host keeps the instance alive for it as long as it can (Cloudflare: at most 30 s after the response or the
/// client's disconnect). It is best effort: what must not be lost is written before the answer or repaired by cron.
pub trait Background: Send + Sync {
    /// Starts `task` beside the request that spawned it.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// A signal from another request, and what waits for it in this one. Within a request any channel does, but not every
    /// host lets the tasks of one request wake those of another.
    fn signal(&self) -> (Signal, BoxFuture<'static, ()>) {
        let (signal, given) = oneshot::channel::<()>();
        let wait = async {
            let _ = given.await; // nothing is ever sent
        };
        (Box::new(signal), Box::pin(wait))
    }
}
