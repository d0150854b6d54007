use platform::{BoxFuture, Signal};
use spin_sdk::wasip3::wit_stream;

use crate::task;

/// Tasks beside the request that spawned them. The host lets them run on after the response, for as long as it keeps the
/// instance.
pub(crate) struct Background;

impl platform::Background for Background {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        task::spawn(task);
    }

    /// The SDK wakes no task from another one, so the host does it: a stream of the host tells its reader when its writer is
    /// dropped.
    fn signal(&self) -> (Signal, BoxFuture<'static, ()>) {
        let (signal, mut given) = wit_stream::new::<u8>();
        let wait = async move {
            given.next().await;
        };
        (Box::new(signal), Box::pin(wait))
    }
}
