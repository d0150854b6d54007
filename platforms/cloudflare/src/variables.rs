use std::collections::HashMap;

use async_trait::async_trait;
use platform::StoreError;

/// The Worker's text bindings: variables and secrets, read once per instance.
pub struct Variables(HashMap<String, String>);

impl Variables {
    /// From a JSON object of strings.
    pub fn from_json(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap_or_default())
    }
}

#[async_trait]
impl platform::Variables for Variables {
    async fn get(&self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(self.0.get(name).filter(|value| !value.is_empty()).cloned())
    }
}
