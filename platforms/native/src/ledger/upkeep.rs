use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::accounts::Accounts;

/// A thread that looks after the journal, for the disk may take its time. It ends when this is dropped, and syncs once
/// more.
pub(super) struct Upkeep {
    thread: Option<JoinHandle<()>>,
    stop: Option<Sender<()>>,
}

const SYNC_EVERY: Duration = Duration::from_secs(1);
/// After a failure, which is most likely a full disk.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(10);

impl Upkeep {
    pub(super) fn start(accounts: Arc<Accounts>) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = thread::Builder::new().name("ledger".into()).spawn(move || run(&accounts, &stopped))?;
        Ok(Self { thread: Some(thread), stop: Some(stop) })
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.stop = None;
        // A panic of the thread has been reported by itself.
        self.thread.take().map(JoinHandle::join);
    }
}

fn run(accounts: &Accounts, stopped: &Receiver<()>) {
    while stopped.recv_timeout(maintain(accounts)) == Err(RecvTimeoutError::Timeout) {}
    maintain(accounts);
}

/// How long to wait until the next time.
fn maintain(accounts: &Accounts) -> Duration {
    match accounts.maintain() {
        Ok(()) => SYNC_EVERY,
        Err(error) => {
            tracing::error!(%error, "the ledger's journal could not be written anew");
            TRY_AGAIN_AFTER
        }
    }
}
