use async_trait::async_trait;
use platform::{Context, StoreError};
use quota::account::{Operation, Outcome};
use quota::{Decision, Take};
use serde::Deserialize;
use serde_json::{Value, json};
use supabase::{APPLY_TO_LEDGER, EXPIRE_LEDGER, Error, Identity, Rpc, Supabase, TAKE_FROM_LIMITS};

/// The ledger in Postgres.
pub(crate) struct PostgresLedger {
    pub(crate) context: Context,
    pub(crate) supabase: Supabase,
}

/// An account that nobody touches is looked after beside every so many changes of others: a component has no schedule.
const CHANGES_PER_LOOK: u32 = 50;

#[derive(Deserialize)]
struct Applied {
    outcomes: Vec<Outcome>,
}

impl PostgresLedger {
    /// Has calls of accounts that nobody touches charged when their time is over: now and then, beside the request.
    fn look_after_others(&self) {
        let (context, supabase) = (self.context.clone(), self.supabase.clone());
        if !is_chosen(&context) {
            return;
        }
        self.context.background.spawn(Box::pin(async move {
            let answer: Result<Value, _> = supabase.rpc(&context, EXPIRE_LEDGER, &json!({}), Identity::Service).await;
            if let Err(error) = answer {
                tracing::warn!(%error, "calls whose time is over were not looked for");
            }
        }));
    }
}

#[async_trait]
impl platform::Ledger for PostgresLedger {
    async fn take(&self, shard: &str, takes: &[Take]) -> Result<Decision, StoreError> {
        let payload = json!({"shard": shard, "takes": takes});
        // As the edge: whoever is counted must not count.
        self.supabase.rpc(&self.context, TAKE_FROM_LIMITS, &payload, Identity::Service).await.map_err(failed)
    }

    async fn apply(&self, account: &str, operations: &[Operation]) -> Result<Vec<Outcome>, StoreError> {
        let payload = json!({"account": account, "operations": operations});
        let function = Rpc { idempotent: !operations.iter().any(Operation::counts_again), ..APPLY_TO_LEDGER };
        // As the edge: whoever is counted must not count.
        let applied = self.supabase.rpc(&self.context, function, &payload, Identity::Service).await;
        let Applied { outcomes } = applied.map_err(failed)?;
        self.look_after_others();
        if outcomes.len() == operations.len() {
            Ok(outcomes)
        } else {
            Err(StoreError::Refused(format!("{} outcomes of {} operations", outcomes.len(), operations.len())))
        }
    }
}

fn is_chosen(context: &Context) -> bool {
    let mut bytes = [0; 4];
    context.entropy.fill(&mut bytes);
    u32::from_le_bytes(bytes).is_multiple_of(CHANGES_PER_LOOK)
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
