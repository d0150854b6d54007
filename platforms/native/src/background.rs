use std::time::Duration;

use platform::{Background, BoxFuture};
use tokio_util::task::TaskTracker;

/// Background work as tokio tasks that a shutdown can wait for.
#[derive(Clone, Default)]
pub(crate) struct TrackedBackground(TaskTracker);

impl TrackedBackground {
    /// Waits until no task is left, for at most `patience`. `false` if some are cut off.
    pub(crate) async fn finish(&self, patience: Duration) -> bool {
        self.0.close();
        tokio::time::timeout(patience, self.0.wait()).await.is_ok()
    }
}

impl Background for TrackedBackground {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }
}
