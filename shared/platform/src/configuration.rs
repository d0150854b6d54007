use std::fmt;

use secrecy::SecretString;
use thiserror::Error;
use url::Url;

use crate::Variables;

/// Reads a function's typed configuration and collects every fault, so that all are reported together.
///
/// ```text
/// let mut read = Configuration::of(variables);
/// let (url, key) = (read.url("SUPABASE_URL").await, read.secret("SUPABASE_SECRET_KEY").await);
/// read.finish(move || Some(Config { url: url?, key: key? }))
/// ```
pub struct Configuration<'a> {
    variables: &'a dyn Variables,
    faults: Vec<String>,
}

/// What is missing or wrong in the configuration: variable names and rules, never values.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ConfigurationError {
    /// One sentence per fault.
    pub faults: Vec<String>,
}

impl fmt::Display for ConfigurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "configuration: {}", self.faults.join("; "))
    }
}

impl<'a> Configuration<'a> {
    /// A reader over `variables`.
    pub fn of(variables: &'a dyn Variables) -> Self {
        Self { variables, faults: Vec::new() }
    }

    /// The value of an optional variable.
    pub async fn optional(&mut self, name: &str) -> Option<String> {
        match self.variables.get(name).await {
            Ok(value) => value,
            Err(error) => self.fault(name, &error.to_string()),
        }
    }

    /// The value of a variable that must be set.
    pub async fn required(&mut self, name: &str) -> Option<String> {
        let value = self.optional(name).await;
        value.or_else(|| self.fault(name, "is not set"))
    }

    /// A secret that must be set.
    pub async fn secret(&mut self, name: &str) -> Option<SecretString> {
        self.required(name).await.map(SecretString::from)
    }

    /// A secret that may be absent.
    pub async fn optional_secret(&mut self, name: &str) -> Option<SecretString> {
        self.optional(name).await.map(SecretString::from)
    }

    /// An `http` or `https` URL that must be set.
    pub async fn url(&mut self, name: &str) -> Option<Url> {
        let value = self.required(name).await?;
        self.parse_url(name, &value)
    }

    /// An `http` or `https` URL that may be absent.
    pub async fn optional_url(&mut self, name: &str) -> Option<Url> {
        let value = self.optional(name).await?;
        self.parse_url(name, &value)
    }

    /// Web origins (RFC 6454) such as `https://app.example.com`, separated by commas; none if the variable is absent.
    pub async fn origins(&mut self, name: &str) -> Option<Vec<String>> {
        let listed = self.optional(name).await.unwrap_or_default();
        let mut origins = Vec::new();
        for origin in listed.split(',').map(str::trim).filter(|origin| !origin.is_empty()) {
            match Url::parse(origin) {
                Ok(url) if url.origin().ascii_serialization() == origin => origins.push(origin.to_owned()),
                _ => return self.fault(name, "must list origins such as https://app.example.com"),
            }
        }
        Some(origins)
    }

    /// Records that `name` breaks a rule.
    pub fn fault<T>(&mut self, name: &str, rule: &str) -> Option<T> {
        let fault = format!("{name} {rule}");
        if !self.faults.contains(&fault) {
            self.faults.push(fault); // two functions may need the same variable
        }
        None
    }

    /// The configuration that `build` makes, unless anything was wrong.
    pub fn finish<T>(self, build: impl FnOnce() -> Option<T>) -> Result<T, ConfigurationError> {
        let value = if self.faults.is_empty() { build() } else { None };
        value.ok_or(ConfigurationError { faults: self.faults })
    }

    fn parse_url(&mut self, name: &str, value: &str) -> Option<Url> {
        match Url::parse(value) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(url),
            _ => self.fault(name, "must be an http or https URL"),
        }
    }
}
