use async_trait::async_trait;

use crate::StoreError;

/// Configuration and secrets, by name (`SUPABASE_URL`). Hosts that know only lower-case names map them.
#[async_trait]
pub trait Variables: Send + Sync {
    /// The value of `name`; an unset or empty variable is `None`.
    async fn get(&self, name: &str) -> Result<Option<String>, StoreError>;
}
