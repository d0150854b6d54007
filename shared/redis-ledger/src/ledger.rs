use std::sync::Arc;

use async_trait::async_trait;
use platform::{Context, StoreError};
use quota::account::{Operation, Outcome};
use quota::{Decision, MOST_COUNTERS, Take};
use supabase::Supabase;

use crate::answer::{self, Applied, Taken};
use crate::delivery::Delivery;
use crate::{Commands, Reply, operations, script};

/// The ledger in Redis. Rows for the accounts are brought to Postgres beside the requests.
pub struct RedisLedger<C> {
    pub(crate) redis: Arc<C>,
    context: Context,
    delivery: Arc<Delivery<C>>,
}

/// An account that nobody touches is looked after beside every so many changes of others: a component has no schedule.
const CHANGES_PER_LOOK: u32 = 50;
/// How many of them at a time.
const ACCOUNTS_PER_LOOK: &str = "100";

/// All accounts that have calls, by the second in which the first of these is due.
const ACCOUNTS: &str = "{qlp-ledger}:accounts";
/// Rows that the database does not have.
pub(crate) const ROWS: &str = "{qlp-ledger}:rows";

impl<C: Commands + 'static> RedisLedger<C> {
    /// A ledger behind `redis`, whose rows `supabase` gets.
    pub fn new(redis: C, context: Context, supabase: Supabase) -> Self {
        let redis = Arc::new(redis);
        let delivery = Arc::new(Delivery { redis: Arc::clone(&redis), context: context.clone(), supabase });
        Self { redis, context, delivery }
    }

    pub(crate) async fn take_at(
        &self,
        now: Option<u64>,
        most: usize,
        shard: &str,
        takes: &[Take],
    ) -> Result<Decision, StoreError> {
        let keys = [format!("{{qlp-ledger}}:shard:{shard}"), format!("{{qlp-ledger}}:idle:{shard}")];
        let mut arguments = vec![operations::takes(takes), most.to_string()];
        arguments.extend(now.map(|now| now.to_string()));
        let reply = script::SHARD.run(&*self.redis, &texts(&keys), &texts(&arguments)).await?;
        answer::read::<Taken>(&reply)?.decision(takes)
    }

    pub(crate) async fn apply_at(
        &self,
        now: Option<u64>,
        account: &str,
        operations: &[Operation],
    ) -> Result<(Vec<Outcome>, u64), StoreError> {
        if operations.is_empty() {
            return Ok((Vec::new(), 0)); // in Lua an empty list and an empty object are the same
        }
        let mut arguments = vec![account.to_owned(), operations::list(operations)];
        arguments.extend(now.map(|now| now.to_string()));
        let (key, calls) = keys(account);
        let keys = [key.as_str(), &calls, ACCOUNTS, ROWS];
        let reply = match script::ACCOUNT.run(&*self.redis, &keys, &texts(&arguments)).await {
            // The connection may be one that an earlier Redis has left behind.
            Err(StoreError::Unavailable(_)) if !operations.iter().any(Operation::counts_again) => {
                script::ACCOUNT.run(&*self.redis, &keys, &texts(&arguments)).await
            }
            done => done,
        };
        let applied: Applied = answer::read(&reply?)?;
        let outcomes = applied.outcomes()?;
        if outcomes.len() == operations.len() { Ok((outcomes, applied.rows)) } else { Err(answer::unreadable()) }
    }

    /// Has calls of accounts that nobody touches charged when their time is over: now and then, beside the request.
    fn look_after_others(&self) {
        let mut random = [0; 4];
        self.context.entropy.fill(&mut random);
        if !u32::from_le_bytes(random).is_multiple_of(CHANGES_PER_LOOK) {
            return;
        }
        let this = self.clone();
        self.context.background.spawn(Box::pin(async move {
            if let Err(error) = this.expire_others().await {
                tracing::warn!(%error, "calls whose time is over were not looked for");
            }
        }));
    }

    /// Expires calls of the accounts in which one is due. What time it is for them Redis says.
    pub(crate) async fn expire_others(&self) -> Result<(), StoreError> {
        let now = self.context.clock.now().as_second().to_string();
        let wanted = [ACCOUNTS, "-inf", &now, "LIMIT", "0", ACCOUNTS_PER_LOOK];
        let mut waiting = 0;
        for account in self.redis.execute("ZRANGEBYSCORE", &wanted).await? {
            if let Reply::Text(account) = account {
                waiting = self.apply_at(None, &account, &[Operation::Expire]).await?.1;
            }
        }
        if waiting > 0 {
            self.delivery.run().await;
        }
        Ok(())
    }

    fn deliver(&self) {
        let delivery = Arc::clone(&self.delivery);
        self.context.background.spawn(Box::pin(async move { delivery.run().await }));
    }
}

impl<C> Clone for RedisLedger<C> {
    fn clone(&self) -> Self {
        let Self { redis, context, delivery } = self;
        Self { redis: Arc::clone(redis), context: context.clone(), delivery: Arc::clone(delivery) }
    }
}

#[async_trait]
impl<C: Commands + 'static> platform::Ledger for RedisLedger<C> {
    async fn take(&self, shard: &str, takes: &[Take]) -> Result<Decision, StoreError> {
        self.take_at(None, MOST_COUNTERS, shard, takes).await
    }

    async fn apply(&self, account: &str, operations: &[Operation]) -> Result<Vec<Outcome>, StoreError> {
        let (outcomes, waiting) = self.apply_at(None, account, operations).await?;
        if waiting > 0 {
            self.deliver();
        }
        self.look_after_others();
        Ok(outcomes)
    }
}

/// Where an account is, and its calls by when they are due.
pub(crate) fn keys(account: &str) -> (String, String) {
    (format!("{{qlp-ledger}}:account:{account}"), format!("{{qlp-ledger}}:calls:{account}"))
}

fn texts(strings: &[String]) -> Vec<&str> {
    strings.iter().map(String::as_str).collect()
}
