use platform::{Background, BoxFuture};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

/// Background work as tokio tasks that a shutdown can wait for.
#[derive(Clone, Default)]
pub(crate) struct TrackedBackground(TaskTracker);

impl TrackedBackground {
    /// Waits until no task is left, but not beyond `deadline`. `false` if some are cut off.
    pub(crate) async fn finish(&self, deadline: Instant) -> bool {
        self.0.close();
        timeout_at(deadline, self.0.wait()).await.is_ok()
    }
}

impl Background for TrackedBackground {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }
}
