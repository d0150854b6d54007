use std::collections::HashMap;

use http::HeaderValue;
use platform::{Configuration, ConfigurationError, Variables};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Where a Supabase project is, and the keys to it.
#[derive(Debug, Clone)]
pub struct Config {
    /// The project's URL, with or without a slash at its end.
    pub url: Url,
    /// The key that browsers may have: `sb_publishable_…`, or a legacy `anon` JWT.
    pub publishable_key: SecretString,
    /// The key that bypasses row level security: `sb_secret_…`, or a legacy `service_role` JWT. `None` where nothing is
    /// done as the edge itself.
    pub secret_key: Option<SecretString>,
}

impl Config {
    /// Reads `SUPABASE_URL`, `SUPABASE_PUBLISHABLE_KEY` and `SUPABASE_SECRET_KEY`. The plural forms
    /// `SUPABASE_PUBLISHABLE_KEYS` and `SUPABASE_SECRET_KEYS`, JSON objects `{name: key}`, win over the singular ones; the
    /// key is the one named `default`, or the only one.
    pub async fn read(configuration: &mut Configuration<'_>) -> Option<Self> {
        let url = read_url(configuration).await;
        let publishable_key = read_key(configuration, "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_PUBLISHABLE_KEYS").await;
        let secret_key = read_key(configuration, "SUPABASE_SECRET_KEY", "SUPABASE_SECRET_KEYS").await;
        Some(Self { url: url?, publishable_key: publishable_key?, secret_key: Some(secret_key?) })
    }

    /// Reads the same without the secret key, for a function that never calls as the edge itself.
    pub async fn read_public(configuration: &mut Configuration<'_>) -> Option<Self> {
        let url = read_url(configuration).await;
        let publishable_key = read_key(configuration, "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_PUBLISHABLE_KEYS").await;
        Some(Self { url: url?, publishable_key: publishable_key?, secret_key: None })
    }

    /// Reads the configuration alone.
    pub async fn load(variables: &dyn Variables) -> Result<Self, ConfigurationError> {
        let mut configuration = Configuration::of(variables);
        let config = Self::read(&mut configuration).await;
        configuration.finish(|| config)
    }
}

async fn read_url(configuration: &mut Configuration<'_>) -> Option<Url> {
    let url = configuration.url("SUPABASE_URL").await?;
    let bare =
        url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    if bare {
        return Some(url);
    }
    configuration.fault("SUPABASE_URL", "must have no user, query or fragment")
}

async fn read_key(configuration: &mut Configuration<'_>, one: &str, many: &str) -> Option<SecretString> {
    let (name, key) = match configuration.optional(many).await {
        Some(keys) => (many, default_key(&keys)),
        None => (one, Some(configuration.secret(one).await?)),
    };
    match key {
        Some(key) if is_key(key.expose_secret()) => Some(key),
        Some(_) => configuration.fault(name, "must be a Supabase key: `sb_…` or a legacy JWT"),
        None => configuration.fault(name, r#"must be a JSON object {"default": "<key>"}"#),
    }
}

fn default_key(keys: &str) -> Option<SecretString> {
    let mut keys: HashMap<String, String> = serde_json::from_str(keys).ok()?;
    let key = if keys.len() == 1 { keys.into_values().next() } else { keys.remove("default") };
    key.map(SecretString::from)
}

fn is_key(key: &str) -> bool {
    (key.starts_with("sb_") || key.starts_with("eyJ"))
        && !key.contains([' ', '\t'])
        && HeaderValue::from_str(key).is_ok()
}

#[cfg(test)]
mod tests {
    use platform::fakes::Host;

    use super::*;

    const URL: (&str, &str) = ("SUPABASE_URL", "https://x.supabase.co");

    fn load(variables: &[(&str, &str)]) -> Result<Config, ConfigurationError> {
        let host = variables.iter().fold(Host::new(), |host, (name, value)| host.variable(name, value));
        host.block_on(Config::load(&host.variables))
    }

    fn keys(variables: &[(&str, &str)]) -> (String, String) {
        let config = load(&[&[URL], variables].concat()).unwrap();
        (config.publishable_key.expose_secret().to_owned(), config.secret_key.unwrap().expose_secret().to_owned())
    }

    #[test]
    fn reads_single_keys_of_both_kinds() {
        let read = keys(&[("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_a"), ("SUPABASE_SECRET_KEY", "eyJb.c.d")]);
        assert_eq!(read, ("sb_publishable_a".into(), "eyJb.c.d".into()));
    }

    #[test]
    fn named_keys_win_and_the_default_one_is_used() {
        let read = keys(&[
            ("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_no"),
            ("SUPABASE_PUBLISHABLE_KEYS", r#"{"web":"sb_publishable_web","default":"sb_publishable_a"}"#),
            ("SUPABASE_SECRET_KEYS", r#"{"edge":"sb_secret_edge"}"#),
        ]);
        assert_eq!(read, ("sb_publishable_a".into(), "sb_secret_edge".into()));
    }

    #[test]
    fn all_faults_are_reported_together_and_without_values() {
        let faults = load(&[
            ("SUPABASE_URL", "https://user:hunter2@x.test?y"),
            ("SUPABASE_PUBLISHABLE_KEY", "hunter2"),
            ("SUPABASE_SECRET_KEYS", "hunter2"),
        ])
        .unwrap_err()
        .faults;
        assert_eq!(
            faults,
            [
                "SUPABASE_URL must have no user, query or fragment",
                "SUPABASE_PUBLISHABLE_KEY must be a Supabase key: `sb_…` or a legacy JWT",
                r#"SUPABASE_SECRET_KEYS must be a JSON object {"default": "<key>"}"#,
            ]
        );
        assert_eq!(load(&[]).unwrap_err().faults.len(), 3);
    }

    #[test]
    fn debug_output_has_no_keys() {
        let config = load(&[URL, ("SUPABASE_PUBLISHABLE_KEY", "sb_x1"), ("SUPABASE_SECRET_KEY", "sb_x2")]).unwrap();
        assert!(!format!("{config:?}").contains("sb_x"));
    }
}
