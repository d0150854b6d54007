use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf as _, Bytes};
use platform::{Clock as _, StoreError, Timestamp};
use spin_sdk::key_value::{Error, Store};

use crate::clock::Clock;

/// Spin's default key-value store as a cache. It knows no expiry, so that stands in front of each value.
#[derive(Default)]
pub(crate) struct KeyValue(OnceLock<Store>);

/// Milliseconds since the epoch, big-endian.
const EXPIRY_BYTES: usize = 8;

impl KeyValue {
    async fn store(&self) -> Result<&Store, StoreError> {
        if let Some(store) = self.0.get() {
            return Ok(store);
        }
        let opened = Store::open_default().await.map_err(failed)?;
        Ok(self.0.get_or_init(|| opened))
    }
}

#[async_trait]
impl platform::KeyValue for KeyValue {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let store = self.store().await?;
        let Some(entry) = store.get(key).await.map_err(failed)? else { return Ok(None) };
        let value = fresh(entry.into(), Clock.now());
        if value.is_none() {
            // Nobody else would ever remove it. A value that another instance has set just now may go with it: it is a cache.
            store.delete(key).await.map_err(failed)?;
        }
        Ok(value)
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), StoreError> {
        self.store().await?.set(key, entry(&value, ttl, Clock.now())).await.map_err(failed)
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.store().await?.delete(key).await.map_err(failed)
    }
}

fn entry(value: &[u8], ttl: Duration, now: Timestamp) -> Vec<u8> {
    let expiry = now.saturating_add(ttl).as_millisecond();
    [&expiry.to_be_bytes(), value].concat()
}

/// The value of an entry that has not expired. What has no expiry was not written here and counts as expired.
fn fresh(mut entry: Bytes, now: Timestamp) -> Option<Bytes> {
    let expiry = (entry.len() >= EXPIRY_BYTES).then(|| entry.get_i64())?;
    (now.as_millisecond() < expiry).then_some(entry)
}

fn failed(error: Error) -> StoreError {
    match error {
        Error::AccessDenied => StoreError::Refused("the manifest grants no key-value store".into()),
        Error::NoSuchStore => StoreError::Refused("there is no such key-value store".into()),
        Error::StoreTableFull => StoreError::Unavailable("too many open stores".into()),
        Error::Other(reason) => StoreError::Unavailable(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_fresh_until_its_time_has_passed() {
        let begin = Timestamp::from_second(1_800_000_000).unwrap();
        let at = |milliseconds| begin + Duration::from_millis(milliseconds);
        let kept = Bytes::from(entry(b"value", Duration::from_secs(2), begin));
        assert_eq!(fresh(kept.clone(), at(1_999)).as_deref(), Some(&b"value"[..]));
        assert_eq!(fresh(kept, at(2_000)), None);
        assert_eq!(fresh(entry(b"", Duration::MAX, begin).into(), at(9_999)).as_deref(), Some(&b""[..]));
    }

    #[test]
    fn what_was_not_written_here_counts_as_expired() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        assert_eq!(fresh(Bytes::from_static(b"short"), now), None);
        assert_eq!(fresh(Bytes::new(), now), None);
    }
}
