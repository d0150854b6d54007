use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use platform::StoreError;
use send_wrapper::SendWrapper;
use worker::kv::{KvError, KvStore};

/// The shortest time that Workers KV keeps a value.
const SHORTEST_TTL: u64 = 60;

/// A KV namespace. Without one, a cache that is always empty.
pub struct KeyValue(pub Option<KvStore>);

#[async_trait]
impl platform::KeyValue for KeyValue {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let Some(store) = &self.0 else { return Ok(None) };
        let value = SendWrapper::new(store.get(key).bytes()).await.map_err(unavailable)?;
        Ok(value.map(Bytes::from))
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), StoreError> {
        let Some(store) = &self.0 else { return Ok(()) };
        let seconds = ttl.as_secs().max(SHORTEST_TTL);
        let put = store.put_bytes(key, &value).map(|put| SendWrapper::new(put.expiration_ttl(seconds).execute()));
        put.map_err(unavailable)?.await.map_err(unavailable)
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let Some(store) = &self.0 else { return Ok(()) };
        SendWrapper::new(store.delete(key)).await.map_err(unavailable)
    }
}

#[allow(clippy::needless_pass_by_value)] // as `map_err` passes it
fn unavailable(error: KvError) -> StoreError {
    StoreError::Unavailable(format!("KV: {error}"))
}
