use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Key-value stores in memory. A label names the same store for every component, and it is empty at the start.
#[derive(Debug, Default)]
pub(crate) struct Stores(BTreeMap<String, Open>);

/// A store that a guest has opened.
#[derive(Debug, Clone, Default)]
pub struct Open(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl Stores {
    /// The store with this label, which is made if there is none yet.
    pub(crate) fn get(&mut self, label: &str) -> Open {
        self.0.entry(label.to_owned()).or_default().clone()
    }
}

impl Open {
    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.with(|entries| entries.get(key).cloned())
    }

    pub(crate) fn set(&self, key: String, value: Vec<u8>) {
        self.with(|entries| entries.insert(key, value));
    }

    pub(crate) fn delete(&self, key: &str) {
        self.with(|entries| entries.remove(key));
    }

    pub(crate) fn exists(&self, key: &str) -> bool {
        self.with(|entries| entries.contains_key(key))
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.with(|entries| entries.keys().cloned().collect())
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> T) -> T {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
