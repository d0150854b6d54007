use async_trait::async_trait;
use platform::StoreError;
use quota::{Decision, Take, account};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::executor::InvocationId;
use crate::host;
use crate::operation::{Operation, Outcome};

/// The ledger's Durable Objects, one per shard and account.
pub struct Ledger;

#[async_trait]
impl platform::Ledger for Ledger {
    async fn take(&self, shard: &str, takes: &[Take]) -> Result<Decision, StoreError> {
        ask(host::take, shard, takes).await
    }

    async fn apply(
        &self,
        account: &str,
        operations: &[account::Operation],
    ) -> Result<Vec<account::Outcome>, StoreError> {
        ask(host::apply, account, operations).await
    }
}

/// How an object is asked: by its name, in JSON.
type Ask = fn(InvocationId, u32, &str, &str);

async fn ask<T: DeserializeOwned>(ask: Ask, name: &str, question: &(impl Serialize + ?Sized)) -> Result<T, StoreError> {
    let question = serde_json::to_string(question).map_err(|error| StoreError::Refused(error.to_string()))?;
    let asked = Operation::begin(|invocation, operation| ask(invocation, operation, name, &question));
    match asked.await {
        Outcome::Text(answer) => serde_json::from_str(&answer)
            .map_err(|error| StoreError::Unavailable(format!("the ledger's answer: {error}"))),
        Outcome::Failed(reason) => Err(StoreError::Unavailable(format!("the ledger: {reason}"))),
        _ => Err(StoreError::Unavailable("the ledger gave no answer".into())),
    }
}
