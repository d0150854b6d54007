use std::sync::Arc;
use std::time::Duration;

use platform::{Context, StoreError};
use supabase::Supabase;

use crate::ledger::ROWS;
use crate::{Commands, Reply, answer, script};

/// Brings rows for the accounts to Postgres. They are removed once it has them; what it is sent twice changes nothing.
pub(crate) struct Delivery<C> {
    pub(crate) redis: Arc<C>,
    pub(crate) context: Context,
    pub(crate) supabase: Supabase,
}

/// There while somebody delivers, or waits to try again: others need not.
const TURN: &str = "{qlp-ledger}:delivery";
/// How long it is there if whoever has taken it is heard of no more.
const TURN_LASTS: &str = "20000";
/// What Postgres is sent at a time.
const BATCH: &str = "200";
/// The pause after a failure, and how many failures in a row leave the rest to the next call.
const PAUSE: Duration = Duration::from_secs(5);
const TRIES: u32 = 12;

impl<C: Commands> Delivery<C> {
    /// Delivers all there is, unless somebody else does.
    pub(crate) async fn run(&self) {
        if let Err(error) = self.deliver().await {
            tracing::warn!(error, "rows for the accounts were left to be delivered later");
        }
    }

    async fn deliver(&self) -> Result<(), String> {
        while self.take_turn().await.map_err(|error| error.to_string())? {
            while self.deliver_some_patiently().await? {}
            // From here on somebody else delivers what comes; what has come just before is looked for once more.
            self.redis.execute("DEL", &[TURN]).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Whether there is something to deliver and nobody else does.
    async fn take_turn(&self) -> Result<bool, StoreError> {
        if self.redis.execute("XLEN", &[ROWS]).await? == [Reply::Integer(0)] {
            return Ok(false);
        }
        let taken = self.redis.execute("SET", &[TURN, "taken", "NX", "PX", TURN_LASTS]).await?;
        Ok(taken == [Reply::Text("OK".into())])
    }

    /// Whether there was anything.
    async fn deliver_some_patiently(&self) -> Result<bool, String> {
        let mut failures = 0;
        loop {
            match self.deliver_some().await {
                Err(error) if failures < TRIES => {
                    tracing::warn!(error, "rows for the accounts could not be delivered");
                    failures += 1;
                    self.context.clock.sleep(PAUSE).await;
                }
                done => return done,
            }
        }
    }

    async fn deliver_some(&self) -> Result<bool, String> {
        let failed = |error: StoreError| error.to_string();
        self.redis.execute("SET", &[TURN, "taken", "PX", TURN_LASTS]).await.map_err(failed)?;
        let reply = script::ROWS.run(&*self.redis, &[ROWS], &[BATCH]).await.map_err(failed)?;
        let (ids, rows) = read(&reply).map_err(failed)?;
        if rows.is_empty() {
            return Ok(false);
        }
        self.supabase.record_usage(&self.context, &rows).await.map_err(|error| error.to_string())?;
        // If they cannot be removed they are delivered again, which changes nothing.
        self.redis.execute("XDEL", &[&[ROWS], &*ids].concat()).await.map_err(failed)?;
        Ok(true)
    }
}

/// Ids and rows, which alternate.
fn read(reply: &[Reply]) -> Result<(Vec<&str>, Vec<String>), StoreError> {
    let (mut ids, mut rows) = (Vec::new(), Vec::new());
    for pair in reply.chunks(2) {
        let [Reply::Text(id), Reply::Text(row)] = pair else { return Err(answer::unreadable()) };
        ids.push(id.as_str());
        rows.push(row.clone());
    }
    Ok((ids, rows))
}
