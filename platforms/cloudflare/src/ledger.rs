use async_trait::async_trait;
use limits::Gathering;
use platform::StoreError;
use quota::{Decision, Take, account};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::Clock;
use crate::executor::InvocationId;
use crate::host;
use crate::operation::{Operation, Outcome};

/// The ledger's Durable Objects, one per shard and account. Reservations gather: a hop costs more than what it decides.
#[derive(Default)]
pub struct Ledger {
    reservations: Gathering,
}

/// Whatever is asked is a hop of its own.
struct Objects;

#[async_trait]
impl platform::Ledger for Ledger {
    async fn take(&self, shard: &str, takes: &[Take]) -> Result<Decision, StoreError> {
        Objects.take(shard, takes).await
    }

    async fn apply(
        &self,
        account: &str,
        operations: &[account::Operation],
    ) -> Result<Vec<account::Outcome>, StoreError> {
        let [account::Operation::Reserve(reserve)] = operations else {
            return Objects.apply(account, operations).await;
        };
        let outcome = self.reservations.reserve(&Objects, &Clock, account, reserve.clone()).await?;
        Ok(Vec::from([outcome]))
    }
}

#[async_trait]
impl platform::Ledger for Objects {
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
