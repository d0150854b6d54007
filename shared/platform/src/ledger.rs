use async_trait::async_trait;
use quota::{Decision, Take};

use crate::StoreError;

/// Limits that hold across all instances: the only atomic thing in the port.
///
/// What is decided is one pure function, [`quota::State::take`]; a host only gives it a state that one caller at a time
/// changes: a Durable Object on Cloudflare, a mutex natively.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Takes from every policy in `takes`, or from none. `shard` names the state: one organization, account or address.
    async fn take(&self, shard: &str, takes: &[Take]) -> Result<Decision, StoreError>;
}
