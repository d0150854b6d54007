use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use platform::{Context, StoreError};
use quota::account::{Operation, Outcome};
use quota::{Decision, Take};
use redis_ledger::RedisLedger;
use supabase::Supabase;

use crate::postgres_ledger::PostgresLedger;
use crate::redis::Redis;

/// The ledger: Spin has nothing of its own that counts exactly across instances. It is in Redis where `REDIS_URL` names
/// one, else in Postgres.
pub(crate) struct Ledger {
    context: Context,
    place: OnceLock<Arc<dyn platform::Ledger>>,
}

impl Ledger {
    /// A ledger that finds its place by `context`, when it is first asked.
    pub(crate) fn new(context: Context) -> Self {
        Self { context, place: OnceLock::new() }
    }

    async fn place(&self) -> Result<&dyn platform::Ledger, StoreError> {
        if let Some(place) = self.place.get() {
            return Ok(&**place);
        }
        let context = self.context.clone();
        let config = supabase::Config::load(&*context.variables).await;
        let supabase = Supabase::new(config.map_err(|error| StoreError::Refused(error.to_string()))?);
        let place: Arc<dyn platform::Ledger> = match context.variables.get("REDIS_URL").await? {
            Some(url) => Arc::new(RedisLedger::new(Redis::new(url.into()), context, supabase)),
            None => Arc::new(PostgresLedger { context, supabase }),
        };
        Ok(&**self.place.get_or_init(|| place))
    }
}

#[async_trait]
impl platform::Ledger for Ledger {
    async fn take(&self, shard: &str, takes: &[Take]) -> Result<Decision, StoreError> {
        self.place().await?.take(shard, takes).await
    }

    async fn apply(&self, account: &str, operations: &[Operation]) -> Result<Vec<Outcome>, StoreError> {
        self.place().await?.apply(account, operations).await
    }
}
