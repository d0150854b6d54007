use async_trait::async_trait;
use platform::StoreError;
use quota::account::{Operation, Outcome};
use quota::{Decision, Take};

use crate::host;
use crate::operation::{Operation, Outcome};

/// The ledger's Durable Objects, one per shard.
pub struct Ledger;

#[async_trait]
impl platform::Ledger for Ledger {
    async fn take(&self, shard: &str, takes: &[Take]) -> Result<Decision, StoreError> {
        let takes = serde_json::to_string(takes).map_err(|error| StoreError::Refused(error.to_string()))?;
        let asked = Operation::begin(|invocation, operation| host::take(invocation, operation, shard, &takes));
        match asked.await {
            Outcome::Text(decision) => serde_json::from_str(&decision)
                .map_err(|error| StoreError::Unavailable(format!("the ledger's answer: {error}"))),
            Outcome::Failed(reason) => Err(StoreError::Unavailable(format!("the ledger: {reason}"))),
            _ => Err(StoreError::Unavailable("the ledger gave no answer".into())),
        }
    }

    async fn apply(&self, _: &str, _: &[Operation]) -> Result<Vec<Outcome>, StoreError> {
        Err(StoreError::Refused("accounts come with the next change".into()))
    }
}
