use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::{StoreError, Variables};

/// Variables in a map.
#[derive(Clone, Default)]
pub struct MapVariables(Arc<Mutex<HashMap<String, String>>>);

impl MapVariables {
    /// Sets `name`.
    pub fn set(&self, name: &str, value: &str) {
        self.0.lock().unwrap().insert(name.to_owned(), value.to_owned());
    }
}

#[async_trait]
impl Variables for MapVariables {
    async fn get(&self, name: &str) -> Result<Option<String>, StoreError> {
        let value = self.0.lock().unwrap().get(name).cloned();
        Ok(value.filter(|value| !value.is_empty()))
    }
}
