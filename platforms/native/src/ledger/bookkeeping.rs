use std::sync::Arc;
use std::time::Duration;

use platform::{Context, timeout};
use quota::account::Operation;
use supabase::Supabase;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::accounts::Accounts;

/// What the ledger does without being asked: ends calls of which nothing more is heard, and brings the rows for the
/// accounts to the database.
pub struct Bookkeeping {
    accounts: Arc<Accounts>,
    stop: CancellationToken,
    expiry: JoinHandle<()>,
    delivery: Option<JoinHandle<()>>,
}

/// What the database is sent at a time.
const ROWS: usize = 200;
const BYTES: usize = 512 * 1024;
/// How long a row waits for others to go with it.
const GATHER: Duration = Duration::from_millis(20);
/// The first pause after a failure, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The shortest time between two looks at what is due: whatever falls due meanwhile is done together.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Bookkeeping {
    /// Starts on the present runtime. Without a `supabase`, rows stay where they are.
    pub(super) fn start(accounts: Arc<Accounts>, context: Context, supabase: Option<Supabase>) -> Self {
        let stop = CancellationToken::new();
        let expiry = tokio::spawn(expire(Arc::clone(&accounts), context.clone()));
        let deliver = |supabase| tokio::spawn(deliver(Arc::clone(&accounts), context, supabase, stop.clone()));
        let delivery = supabase.map(deliver);
        Self { accounts, stop, expiry, delivery }
    }

    /// Delivers what there still is, until the first failure or `deadline`. How many rows are left.
    pub async fn finish(self, deadline: Instant) -> usize {
        self.stop.cancel();
        self.expiry.abort();
        let _ = self.expiry.await;
        if let Some(mut delivery) = self.delivery
            && timeout_at(deadline, &mut delivery).await.is_err()
        {
            delivery.abort();
            let _ = delivery.await;
        }
        self.accounts.waiting()
    }
}

async fn expire(accounts: Arc<Accounts>, context: Context) {
    loop {
        while let Some((due, name)) = accounts.first_due()
            && due <= accounts.now()
        {
            if let Err(error) = accounts.apply(&name, &[Operation::Expire]) {
                tracing::error!(%error, "calls whose time is over could not be ended");
                break;
            }
            yield_now().await;
        }
        context.clock.sleep(LOOK_EVERY).await;
        match accounts.first_due() {
            None => accounts.due_came.notified().await,
            Some((due, _)) => {
                let wait = Duration::from_nanos(due.saturating_sub(accounts.now()));
                // What is due earlier than that ends the wait.
                let _ = timeout(&*context.clock, wait, accounts.due_came.notified()).await;
            }
        }
    }
}

async fn deliver(accounts: Arc<Accounts>, context: Context, supabase: Supabase, stop: CancellationToken) {
    let mut pause = PAUSE;
    loop {
        if accounts.waiting() == 0 {
            if stop.run_until_cancelled(accounts.row_came.notified()).await.is_none() && accounts.waiting() == 0 {
                return;
            }
            stop.run_until_cancelled(context.clock.sleep(GATHER)).await;
        }
        match deliver_some(&accounts, &context, &supabase).await {
            Ok(()) => pause = PAUSE,
            Err(error) => {
                tracing::warn!(error, waiting = accounts.waiting(), "rows for the accounts could not be delivered");
                if stop.run_until_cancelled(context.clock.sleep(with_jitter(pause, &context))).await.is_none() {
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

async fn deliver_some(accounts: &Accounts, context: &Context, supabase: &Supabase) -> Result<(), String> {
    let (last, rows) = accounts.undelivered(ROWS, BYTES).map_err(|error| error.to_string())?;
    supabase.record_usage(context, &rows).await.map_err(|error| error.to_string())?;
    // If that cannot be written, they are delivered again after a restart, which changes nothing.
    accounts.deliver(last).map_err(|error| error.to_string())
}

/// Between half of `pause` and all of it.
fn with_jitter(pause: Duration, context: &Context) -> Duration {
    let mut random = [0];
    context.entropy.fill(&mut random);
    pause / 2 + pause * u32::from(random[0]) / 510
}
