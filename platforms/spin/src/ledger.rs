use std::sync::OnceLock;

use async_trait::async_trait;
use platform::{Context, StoreError};
use quota::account::{Operation, Outcome};
use quota::{Decision, Take};
use serde_json::json;
use supabase::{Error, Identity, Supabase, TAKE_FROM_LIMITS};

/// The ledger in Postgres: Spin has nothing of its own that counts exactly across instances.
pub(crate) struct Ledger {
    context: Context,
    supabase: OnceLock<Supabase>,
}

impl Ledger {
    /// A ledger that reaches the database by `context`.
    pub(crate) fn new(context: Context) -> Self {
        Self { context, supabase: OnceLock::new() }
    }

    async fn supabase(&self) -> Result<&Supabase, StoreError> {
        if let Some(supabase) = self.supabase.get() {
            return Ok(supabase);
        }
        let config = supabase::Config::load(&*self.context.variables).await;
        let config = config.map_err(|error| StoreError::Refused(error.to_string()))?;
        Ok(self.supabase.get_or_init(|| Supabase::new(config)))
    }
}

#[async_trait]
impl platform::Ledger for Ledger {
    async fn take(&self, shard: &str, takes: &[Take]) -> Result<Decision, StoreError> {
        let payload = json!({"shard": shard, "takes": takes});
        let supabase = self.supabase().await?;
        // As the edge: whoever is counted must not count.
        supabase.rpc(&self.context, TAKE_FROM_LIMITS, &payload, Identity::Service).await.map_err(failed)
    }

    async fn apply(&self, _: &str, _: &[Operation]) -> Result<Vec<Outcome>, StoreError> {
        Err(StoreError::Refused("accounts come with the next change".into()))
    }
}

#[allow(clippy::needless_pass_by_value)] // as `map_err` passes it
fn failed(error: Error) -> StoreError {
    match error {
        Error::Unavailable { .. } | Error::Timeout | Error::Contention { .. } => {
            StoreError::Unavailable(error.to_string())
        }
        Error::Failed { status, .. } if status >= 500 => StoreError::Unavailable(error.to_string()),
        _ => StoreError::Refused(error.to_string()),
    }
}
