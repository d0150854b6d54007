use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{KeyValue, StoreError, Timestamp, fakes::ManualClock};

/// A cache in memory whose entries expire by a [`ManualClock`].
#[derive(Clone, Default)]
pub struct MemoryKeyValue {
    clock: ManualClock,
    entries: Arc<Mutex<HashMap<String, (Bytes, Timestamp)>>>,
    failure: Arc<Mutex<Option<StoreError>>>,
}

impl MemoryKeyValue {
    /// An empty cache that expires by `clock`.
    pub fn new(clock: ManualClock) -> Self {
        Self { clock, ..Self::default() }
    }

    /// From now on every call fails with `error`; `None` heals the store.
    pub fn fail_with(&self, error: impl Into<Option<StoreError>>) {
        *self.failure.lock().unwrap() = error.into();
    }

    /// The keys that have not expired, sorted.
    pub fn keys(&self) -> Vec<String> {
        let now = self.clock.now();
        let entries = self.entries.lock().unwrap();
        let mut keys: Vec<_> =
            entries.iter().filter(|(_, (_, until))| *until > now).map(|(key, _)| key.clone()).collect();
        keys.sort_unstable();
        keys
    }

    fn check(&self) -> Result<(), StoreError> {
        self.failure.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl KeyValue for MemoryKeyValue {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.check()?;
        let entry = self.entries.lock().unwrap().get(key).cloned();
        Ok(entry.filter(|(_, until)| *until > self.clock.now()).map(|(value, _)| value))
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), StoreError> {
        self.check()?;
        let until = self.clock.now().saturating_add(ttl);
        self.entries.lock().unwrap().insert(key.to_owned(), (value, until));
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.check()?;
        self.entries.lock().unwrap().remove(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::block_on;

    #[test]
    fn forgets_when_the_time_to_live_is_over() {
        let clock = ManualClock::default();
        let cache = MemoryKeyValue::new(clock.clone());
        block_on(cache.set("key", Bytes::from_static(b"value"), Duration::from_mins(1))).unwrap();
        clock.advance(Duration::from_secs(59));
        assert_eq!(block_on(cache.get("key")).unwrap().as_deref(), Some(&b"value"[..]));
        clock.advance(Duration::from_secs(1));
        assert_eq!(block_on(cache.get("key")), Ok(None));
        assert!(cache.keys().is_empty());
    }

    #[test]
    fn fails_as_told_until_it_is_healed() {
        let cache = MemoryKeyValue::default();
        let error = StoreError::Unavailable("down".into());
        cache.fail_with(error.clone());
        assert_eq!(block_on(cache.get("key")), Err(error));
        cache.fail_with(None);
        assert_eq!(block_on(cache.get("key")), Ok(None));
    }
}
