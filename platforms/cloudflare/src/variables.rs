use std::collections::HashMap;

use async_trait::async_trait;
use platform::StoreError;
use telemetry::Level;

/// The Worker's text bindings: variables and secrets, read once per instance.
pub struct Variables(HashMap<String, String>);

impl Variables {
    /// From a JSON object of strings.
    pub fn from_json(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap_or_default())
    }

    /// `LOG_LEVEL`; `info` if it is unset or no level.
    pub fn log_level(&self) -> Level {
        self.0.get("LOG_LEVEL").and_then(|level| level.parse().ok()).unwrap_or(Level::INFO)
    }
}

#[async_trait]
impl platform::Variables for Variables {
    async fn get(&self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(self.0.get(name).filter(|value| !value.is_empty()).cloned())
    }
}
