use platform::{Configuration, ConfigurationError, Variables};
use secrecy::ExposeSecret;
use token::api_key::{Environment, Pepper};
use url::Host;

/// How API keys are made.
pub struct Config {
    /// The secret under which keys are stored; without it there are no API keys.
    pub pepper: Option<Pepper>,
    /// What keys say they are for: `test` when Supabase runs on this machine, `live` otherwise.
    pub environment: Environment,
}

impl Config {
    /// Reads `API_KEY_PEPPER` and `SUPABASE_URL`.
    pub async fn read(configuration: &mut Configuration<'_>) -> Option<Self> {
        let pepper = match configuration.optional_secret("API_KEY_PEPPER").await {
            Some(text) => match Pepper::parse(text.expose_secret()) {
                Some(pepper) => Some(pepper),
                None => {
                    return configuration.fault("API_KEY_PEPPER", "must be at least 32 bytes in hexadecimal or base64");
                }
            },
            None => None,
        };
        let url = configuration.optional_url("SUPABASE_URL").await;
        let local = url.is_some_and(|url| match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        });
        Some(Self { pepper, environment: if local { Environment::Test } else { Environment::Live } })
    }

    /// Reads the configuration alone.
    pub async fn load(variables: &dyn Variables) -> Result<Self, ConfigurationError> {
        let mut configuration = Configuration::of(variables);
        let config = Self::read(&mut configuration).await;
        configuration.finish(|| config)
    }
}
