use crate::BoxFuture;

/// Work that goes on after the response has been returned.
///
/// The host keeps the instance alive for it as long as it can (Cloudflare: at most 30 s after the response or the
/// client's disconnect). It is best effort: what must not be lost is written before the answer or repaired by cron.
pub trait Background: Send + Sync {
    /// Starts `task` beside the request that spawned it.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}
