use platform::BoxFuture;

use crate::task;

/// Tasks beside the request that spawned them. The host lets them run on after the response, for as long as it keeps the
/// instance.
pub(crate) struct Background;

impl platform::Background for Background {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        task::spawn(task);
    }
}
