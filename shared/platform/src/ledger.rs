use async_trait::async_trait;
use quota::account::{Operation, Outcome};
use quota::{Decision, Take};

use crate::StoreError;

/// Limits that hold across all instances: the only atomic thing in the port.
///
/// What is decided is pure, [`quota::State::take`] and [`quota::account::Account::apply`]; a host only gives it a state
/// that one caller at a time changes: a Durable Object on Cloudflare, a mutex natively, a locked row in Postgres on Spin.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Takes from every policy in `takes`, or from none. `shard` names the state, in which [`quota::shard`] puts
    /// many subjects.
    async fn take(&self, shard: &str, takes: &[Take]) -> Result<Decision, StoreError>;

    /// Applies `operations` to an account, in their order, each by itself; there is one outcome for each. What they
    /// change for good is kept when this returns, and rows for the accounts reach the database sooner or later.
    async fn apply(&self, account: &str, operations: &[Operation]) -> Result<Vec<Outcome>, StoreError>;
}
