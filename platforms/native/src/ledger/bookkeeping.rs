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

#[cfg(test)]
mod tests {
    use platform::fakes::Host;
    use platform::{Body, Response, SendError};
    use quota::account::{Amounts, Reserve};
    use serde_json::{Value, json};
    use std::sync::Mutex;
    use tempfile::TempDir;

    use super::*;

    /// A database that is away at first, and what it has been given.
    #[derive(Clone)]
    struct Database {
        host: Host,
        batches: Arc<Mutex<Vec<Vec<String>>>>,
        failures: Arc<Mutex<usize>>,
    }

    impl Database {
        fn away_for(failures: usize) -> Self {
            let host = Host::new()
                .variable("SUPABASE_URL", "https://x.supabase.co")
                .variable("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_x")
                .variable("SUPABASE_SECRET_KEY", "sb_secret_x");
            let database = Self { host, batches: Arc::default(), failures: Arc::new(Mutex::new(failures)) };
            let this = database.clone();
            database.host.http.handle(move |request| {
                let this = this.clone();
                async move { this.answer(request.into_body()).await }
            });
            database
        }

        async fn answer(&self, body: Body) -> Result<Response, SendError> {
            let body: Value = serde_json::from_slice(&body.read(1 << 20).await.unwrap()).unwrap();
            let mut failures = self.failures.lock().unwrap();
            if *failures > 0 {
                *failures -= 1;
                return Err(SendError::Unreachable("it is away".into()));
            }
            let events = body["payload"]["events"].as_array().unwrap();
            let ids = events.iter().map(|event| event["id"].as_str().unwrap().to_owned());
            self.batches.lock().unwrap().push(ids.collect());
            Ok(Response::new(Body::from("{}")))
        }

        fn ids(&self) -> Vec<String> {
            self.batches.lock().unwrap().concat()
        }

        fn accounts(&self, folder: &TempDir) -> Arc<Accounts> {
            Arc::new(Accounts::open(Arc::new(self.host.clock.clone()), folder.path()).unwrap())
        }

        async fn keep_books(&self, accounts: &Arc<Accounts>) -> Bookkeeping {
            let supabase = Supabase::new(supabase::Config::load(&self.host.variables).await.unwrap());
            Bookkeeping::start(Arc::clone(accounts), self.host.context(), Some(supabase))
        }

        /// Lets time pass, to whatever is to happen next, until `holds`.
        async fn until(&self, mut holds: impl FnMut() -> bool) {
            for _ in 0..10_000 {
                for _ in 0..20 {
                    yield_now().await;
                }
                if holds() {
                    return;
                }
                self.host.clock.advance_to_next_sleeper();
            }
            panic!("it did not happen");
        }
    }

    /// A call that begins and ends, and leaves a row.
    fn call(id: &str) -> [Operation; 2] {
        let record = Some(json!({"id": id}).to_string());
        [reserve(id), Operation::Settle { id: id.into(), actual: Amounts::ONE_REQUEST, record }]
    }

    fn reserve(id: &str) -> Operation {
        Operation::Reserve(Reserve {
            id: id.into(),
            subjects: Vec::new(),
            amounts: Amounts::ONE_REQUEST,
            expires_after: 600_000_000_000,
            record: Some(json!({"id": format!("{id} is lost")}).to_string()),
        })
    }

    fn expected(numbers: std::ops::Range<usize>) -> Vec<String> {
        numbers.map(|number| format!("call-{number}")).collect()
    }

    #[tokio::test]
    async fn rows_wait_for_the_database_and_then_come_once_each() {
        let (database, folder) = (Database::away_for(300), TempDir::new().unwrap());
        let accounts = database.accounts(&folder);
        let bookkeeping = database.keep_books(&accounts).await;
        let start = database.host.clock.now();
        for id in expected(0..450) {
            accounts.apply("org", &call(&id)).unwrap();
        }
        database.until(|| accounts.waiting() == 0).await;
        assert_eq!(database.ids(), expected(0..450));
        let sizes: Vec<_> = database.batches.lock().unwrap().iter().map(Vec::len).collect();
        assert_eq!(sizes, [200, 200, 50]);
        // Each try asks twice; the pauses grow to half a minute, less what is left to chance.
        let waited = database.host.clock.now().as_second() - start.as_second();
        assert!((150 * 15..150 * 30).contains(&waited), "{waited} s for 150 failures");
        accounts.apply("org", &call("call-450")).unwrap();
        assert_eq!(bookkeeping.finish(Instant::now() + Duration::from_secs(10)).await, 0);
        assert_eq!(database.ids(), expected(0..451));
    }

    #[tokio::test]
    async fn what_a_stop_leaves_is_delivered_after_the_next_start() {
        let (database, folder) = (Database::away_for(2), TempDir::new().unwrap());
        let accounts = database.accounts(&folder);
        let bookkeeping = database.keep_books(&accounts).await;
        for id in expected(0..3) {
            accounts.apply("org", &call(&id)).unwrap();
        }
        let finish = tokio::spawn(bookkeeping.finish(Instant::now() + Duration::from_secs(10)));
        database.until(|| finish.is_finished()).await;
        assert_eq!((finish.await.unwrap(), database.ids().len()), (3, 0));
        drop(accounts);
        let accounts = database.accounts(&folder);
        let bookkeeping = database.keep_books(&accounts).await;
        database.until(|| accounts.waiting() == 0).await;
        bookkeeping.finish(Instant::now() + Duration::from_secs(10)).await;
        drop(accounts);
        let accounts = database.accounts(&folder);
        assert_eq!((database.ids(), accounts.waiting()), (expected(0..3), 0));
    }

    #[tokio::test]
    async fn a_call_of_which_nothing_is_heard_ends_without_anybody_asking() {
        let (database, folder) = (Database::away_for(0), TempDir::new().unwrap());
        let accounts = database.accounts(&folder);
        accounts.apply("org-1", &[reserve("before")]).unwrap();
        drop(accounts);
        let accounts = database.accounts(&folder);
        let bookkeeping = database.keep_books(&accounts).await;
        database.until(|| database.host.clock.sleepers() > 0).await;
        accounts.apply("org-2", &[reserve("later")]).unwrap();
        database.until(|| database.ids().len() == 2).await;
        assert_eq!(database.ids(), ["before is lost", "later is lost"]);
        bookkeeping.finish(Instant::now() + Duration::from_secs(10)).await;
    }

    #[tokio::test]
    async fn what_is_due_before_everything_else_does_not_wait_for_it() {
        let database = Database::away_for(0);
        let accounts = Arc::new(Accounts::in_memory(Arc::new(database.host.clock.clone())));
        let bookkeeping = database.keep_books(&accounts).await;
        accounts.apply("org-1", &[reserve("long")]).unwrap();
        database.until(|| database.host.clock.sleepers() > 0).await;
        let Operation::Reserve(short) = reserve("short") else { panic!() };
        database.host.clock.advance_to_next_sleeper();
        let start = database.host.clock.now();
        let short = Operation::Reserve(Reserve { expires_after: 3_000_000_000, ..short });
        accounts.apply("org-2", &[short]).unwrap();
        database.until(|| !database.ids().is_empty()).await;
        assert_eq!(database.ids(), ["short is lost"]);
        let waited = database.host.clock.now().as_second() - start.as_second();
        assert!((3..6).contains(&waited), "{waited} s");
        bookkeeping.finish(Instant::now() + Duration::from_secs(10)).await;
    }
}
