use platform::BoxFuture;

use crate::executor;

/// Tasks beside the request that spawned them: its invocation lives until they are done (`waitUntil`).
pub struct Background;

impl platform::Background for Background {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        executor::spawn(task);
    }
}
