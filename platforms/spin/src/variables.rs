use async_trait::async_trait;
use platform::StoreError;
use spin_sdk::variables::{self, Error};
use telemetry::Level;

/// The component's variables. Spin knows only lower-case names.
pub(crate) struct Variables;

impl Variables {
    /// `LOG_LEVEL`; `info` if it is unset or no level.
    pub(crate) async fn log_level(&self) -> Level {
        let level = platform::Variables::get(self, "LOG_LEVEL").await.ok().flatten();
        level.and_then(|level| level.parse().ok()).unwrap_or(Level::INFO)
    }
}

#[async_trait]
impl platform::Variables for Variables {
    async fn get(&self, name: &str) -> Result<Option<String>, StoreError> {
        match variables::get(name.to_ascii_lowercase()).await {
            Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
            Err(Error::Undefined(_)) => Ok(None),
            Err(Error::InvalidName(_)) => Err(StoreError::Refused("it cannot be the name of a Spin variable".into())),
            Err(Error::Provider(reason) | Error::Other(reason)) => Err(StoreError::Unavailable(reason)),
        }
    }
}
