use async_trait::async_trait;
use platform::{StoreError, Variables};

/// The environment of the process.
pub(crate) struct ProcessEnvironment;

#[async_trait]
impl Variables for ProcessEnvironment {
    async fn get(&self, name: &str) -> Result<Option<String>, StoreError> {
        match std::env::var(name) {
            Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err(StoreError::Refused(format!("{name} is not UTF-8"))),
        }
    }
}
