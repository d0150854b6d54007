use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

/// A cache that instances share: eventually consistent, may forget at any time, never the truth.
///
/// Keys are at most 512 bytes, values at most 25 MiB (the narrowest host's limits).
#[async_trait]
pub trait KeyValue: Send + Sync {
    /// The value under `key`, unless it is missing or has expired.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError>;

    /// Keeps `value` under `key` for `ttl` (hosts round up to their minimum: 60 s on Cloudflare).
    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), StoreError>;

    /// Forgets `key`; a missing key is no error.
    async fn delete(&self, key: &str) -> Result<(), StoreError>;
}

/// A store of the host did not do what it was asked. The text is for the log, not for callers.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The store cannot be reached at present.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The store does not accept this request.
    #[error("the store refused: {0}")]
    Refused(String),
}

impl StoreError {
    /// Whether the same call may succeed later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
