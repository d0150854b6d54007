use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

use platform::Timestamp;

/// At most `capacity` entries, each for its own time. A full map lets go of what has expired, else of the oldest entry.
pub(crate) struct ExpiringMap<K, V> {
    capacity: usize,
    inserted: u64,
    entries: HashMap<K, Entry<V>>,
}

struct Entry<V> {
    order: u64,
    since: Timestamp,
    until: Timestamp,
    value: V,
}

impl<K: Hash + Eq + Clone, V> ExpiringMap<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, inserted: 0, entries: HashMap::new() }
    }

    /// The value under `key` while its time runs. A clock that was set back before its beginning ends it too.
    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q, now: Timestamp) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).filter(|entry| entry.since <= now && now < entry.until).map(|entry| &entry.value)
    }

    pub(crate) fn insert(&mut self, key: K, value: V, now: Timestamp, until: Timestamp) {
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&key) {
            self.make_room(now);
        }
        self.inserted += 1;
        self.entries.insert(key, Entry { order: self.inserted, since: now, until, value });
    }

    pub(crate) fn remove(&mut self, key: &K) {
        self.entries.remove(key);
    }

    fn make_room(&mut self, now: Timestamp) {
        self.entries.retain(|_, entry| now < entry.until);
        if self.entries.len() >= self.capacity {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.order).map(|(key, _)| key.clone());
            oldest.map(|key| self.entries.remove(&key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_entry_lives_from_its_insertion_to_its_end() {
        let mut map = ExpiringMap::new(2);
        map.insert("a", 1, at(10), at(20));
        let seen = [9, 10, 19, 20].map(|second| map.get("a", at(second)).copied());
        assert_eq!(seen, [None, Some(1), Some(1), None]);
    }

    #[test]
    fn a_full_map_drops_the_expired_before_the_oldest() {
        let mut map = ExpiringMap::new(2);
        map.insert("old", 1, at(0), at(100));
        map.insert("expired", 2, at(1), at(5));
        map.insert("new", 3, at(6), at(100));
        assert_eq!((map.get("old", at(7)), map.get("new", at(7))), (Some(&1), Some(&3)));
        map.insert("newest", 4, at(8), at(100));
        assert_eq!(
            (map.get("old", at(9)), map.get("new", at(9)), map.get("newest", at(9))),
            (None, Some(&3), Some(&4))
        );
    }

    #[test]
    fn never_grows_beyond_its_capacity() {
        let mut map = ExpiringMap::new(16);
        for number in 0..1000 {
            map.insert(number, (), at(number), at(number + 500));
            assert!(map.entries.len() <= 16);
        }
    }
}
