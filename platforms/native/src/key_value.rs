use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use platform::{KeyValue, StoreError};

/// A cache in the memory of the process. When it is full, what would expire first goes first.
pub(crate) struct MemoryKeyValue {
    entries: Mutex<Entries>,
}

struct Entries {
    values: HashMap<String, (Bytes, Instant)>,
    expiries: BTreeSet<(Instant, String)>,
    size: usize,
    capacity: usize,
}

/// In bytes, keys and bookkeeping included.
const CAPACITY: usize = 64 * 1024 * 1024;
/// The port's limits, the same as on the narrowest host.
const MAX_KEY: usize = 512;
const MAX_VALUE: usize = 25 * 1024 * 1024;
/// What one entry costs beside its value and its key, which is stored twice.
const OVERHEAD: usize = 200;
/// Longer lives are cut down to this: no clock arithmetic can overflow.
const MAX_TTL: Duration = Duration::from_hours(24 * 365);

impl Default for MemoryKeyValue {
    fn default() -> Self {
        Self { entries: Mutex::new(Entries::new(CAPACITY)) }
    }
}

impl MemoryKeyValue {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn new(capacity: usize) -> Self {
        Self { values: HashMap::new(), expiries: BTreeSet::new(), size: 0, capacity }
    }

    fn get(&self, key: &str, now: Instant) -> Option<Bytes> {
        self.values.get(key).filter(|(_, until)| *until > now).map(|(value, _)| value.clone())
    }

    fn set(&mut self, key: &str, value: Bytes, until: Instant) {
        self.remove(key);
        self.size += cost(key, &value);
        self.values.insert(key.to_owned(), (value, until));
        self.expiries.insert((until, key.to_owned()));
        while self.size > self.capacity {
            let Some((_, key)) = self.expiries.pop_first() else { break };
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &str) {
        if let Some((key, (value, until))) = self.values.remove_entry(key) {
            self.size -= cost(&key, &value);
            self.expiries.remove(&(until, key));
        }
    }

    fn drop_expired(&mut self, now: Instant) {
        while let Some((until, _)) = self.expiries.first()
            && *until <= now
        {
            let Some((_, key)) = self.expiries.pop_first() else { break };
            self.remove(&key);
        }
    }
}

fn cost(key: &str, value: &Bytes) -> usize {
    2 * key.len() + value.len() + OVERHEAD
}

#[async_trait]
impl KeyValue for MemoryKeyValue {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(self.entries().get(key, Instant::now()))
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), StoreError> {
        if key.len() > MAX_KEY || value.len() > MAX_VALUE {
            return Err(StoreError::Refused(format!("keys may have {MAX_KEY} bytes and values {MAX_VALUE}")));
        }
        let now = Instant::now();
        let mut entries = self.entries();
        entries.drop_expired(now);
        // A copy: the value may be a slice of a buffer far larger than itself.
        entries.set(key, Bytes::copy_from_slice(&value), now + ttl.min(MAX_TTL));
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.entries().remove(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_within_its_capacity_and_gives_up_what_expires_first() {
        let (now, value) = (Instant::now(), Bytes::from(vec![0; 1000]));
        let mut entries = Entries::new(10 * cost("key-00", &value));
        for number in 0..15 {
            entries.set(&format!("key-{number:02}"), value.clone(), now + Duration::from_secs(100 - number));
        }
        assert_eq!(entries.values.len(), 10);
        assert!(entries.get("key-00", now).is_some() && entries.get("key-04", now).is_some());
        assert!(entries.get("key-10", now).is_none(), "it would have expired before the older ones");
        assert_eq!(entries.expiries.len(), entries.values.len());
    }

    #[test]
    fn replacing_expiring_and_deleting_give_the_memory_back() {
        let now = Instant::now();
        let mut entries = Entries::new(10_000);
        entries.set("key", Bytes::from_static(b"one"), now + Duration::from_secs(1));
        entries.set("key", Bytes::from_static(b"other"), now + Duration::from_secs(2));
        entries.set("gone", Bytes::from_static(b"x"), now + Duration::from_secs(9));
        assert_eq!(entries.get("key", now).as_deref(), Some(&b"other"[..]));
        assert_eq!(entries.get("key", now + Duration::from_secs(2)), None);
        entries.drop_expired(now + Duration::from_secs(2));
        entries.remove("gone");
        assert_eq!((entries.size, entries.values.len(), entries.expiries.len()), (0, 0, 0));
    }
}
