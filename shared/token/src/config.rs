use std::net::IpAddr;

use platform::{Configuration, ConfigurationError, Variables};
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use crate::api_key::Environment;
use crate::{EdgeConfig, KeySet, Peppers, SessionConfig, SessionKey};

/// RFC 7518 section 3.2: "A key of the same size as the hash output […] or larger MUST be used".
const MIN_SECRET_BYTES: usize = 32;

/// Which tokens are accepted.
#[derive(Debug, Clone)]
pub struct Config {
    /// The exact `iss`.
    pub issuer: String,
    /// What `aud` must contain.
    pub audience: String,
    /// The issuer's public keys.
    pub jwks: Jwks,
    /// The legacy shared secret. HS256 is refused without it.
    pub hs256_secret: Option<SecretString>,
    /// The project that knows the users. Without it what a token says counts until it ends, and nothing else is accepted.
    pub project: Option<Project>,
    /// What the edge itself signs, and which services it believes.
    pub edge: EdgeConfig,
}

/// What is asked of the project's database: whose rights have changed, and what is known of keys and sessions.
#[derive(Debug, Clone)]
pub struct Project {
    /// The project.
    pub supabase: supabase::Config,
    /// The secrets under which API keys are digested. API keys are refused without them.
    pub peppers: Option<Peppers>,
    /// How cookie sessions are kept. Their cookies are refused without it.
    pub sessions: Option<SessionConfig>,
}

/// What making API keys takes.
#[derive(Debug, Clone)]
pub struct KeyMint {
    /// The secrets under which keys are digested.
    pub peppers: Peppers,
    /// What new keys say they are for.
    pub environment: Environment,
}

/// Where the issuer's public keys come from.
#[derive(Debug, Clone)]
pub enum Jwks {
    /// Fetched and renewed. `https`, or `http` on this machine.
    Url(Url),
    /// Given once and for all.
    Inline(KeySet),
}

impl Project {
    async fn read(configuration: &mut Configuration<'_>) -> Option<Self> {
        let supabase = supabase::Config::read(configuration).await;
        let peppers = read_peppers(configuration).await;
        let sessions = read_sessions(configuration).await;
        Some(Self { supabase: supabase?, peppers, sessions })
    }

    /// What new keys are made with. They say that they are for `test` when Supabase runs on this machine, else for `live`.
    pub fn key_mint(&self) -> Option<KeyMint> {
        let environment = if is_loopback(&self.supabase.url) { Environment::Test } else { Environment::Live };
        self.peppers.clone().map(|peppers| KeyMint { peppers, environment })
    }
}

impl Config {
    /// Reads `SUPABASE_URL`, from which issuer and key URL follow, and what may replace them: `SUPABASE_JWT_ISSUER`,
    /// `SUPABASE_JWT_AUDIENCE`, `SUPABASE_JWKS_URL`, `SUPABASE_JWKS`, `SUPABASE_JWT_SECRET` (legacy HS256). With
    /// `API_KEY_PEPPER` (see [`Peppers::parse`]) also the project's keys, with `SESSION_KEY` cookie sessions for pages of
    /// `ALLOWED_ORIGINS`. Then what [`EdgeConfig`] holds.
    pub async fn read(configuration: &mut Configuration<'_>) -> Option<Self> {
        let url = configuration.url("SUPABASE_URL").await;
        let issuer = configuration.optional("SUPABASE_JWT_ISSUER").await;
        let audience = configuration.optional("SUPABASE_JWT_AUDIENCE").await;
        let issuer = issuer.or_else(|| Some(format!("{}/auth/v1", url?.as_str().trim_end_matches('/'))));
        let jwks = read_jwks(configuration, issuer.as_deref()).await;
        let hs256_secret = read_secret(configuration).await;
        let audience = audience.unwrap_or_else(|| "authenticated".to_owned());
        let project = Project::read(configuration).await;
        let edge = EdgeConfig::read(configuration, issuer.as_deref(), &audience).await;
        Some(Self { issuer: issuer?, audience, jwks: jwks?, hs256_secret, project: Some(project?), edge: edge? })
    }

    /// Reads the configuration alone.
    pub async fn load(variables: &dyn Variables) -> Result<Self, ConfigurationError> {
        let mut configuration = Configuration::of(variables);
        let config = Self::read(&mut configuration).await;
        configuration.finish(|| config)
    }
}

async fn read_jwks(configuration: &mut Configuration<'_>, issuer: Option<&str>) -> Option<Jwks> {
    if let Some(document) = configuration.optional("SUPABASE_JWKS").await {
        return match KeySet::parse(document.as_bytes()) {
            Ok(keys) => Some(Jwks::Inline(keys)),
            Err(error) => configuration.fault("SUPABASE_JWKS", &error.to_string()),
        };
    }
    let (name, url) = match configuration.optional_url("SUPABASE_JWKS_URL").await {
        Some(url) => ("SUPABASE_JWKS_URL", url),
        None => ("SUPABASE_URL", Url::parse(&format!("{}/.well-known/jwks.json", issuer?)).ok()?),
    };
    if url.scheme() == "https" || is_loopback(&url) {
        Some(Jwks::Url(url))
    } else {
        configuration
            .fault(name, "must be https for the issuer's keys: whoever changes them on the way can sign in as anyone")
    }
}

async fn read_secret(configuration: &mut Configuration<'_>) -> Option<SecretString> {
    let secret = configuration.optional_secret("SUPABASE_JWT_SECRET").await?;
    if secret.expose_secret().len() < MIN_SECRET_BYTES {
        return configuration.fault("SUPABASE_JWT_SECRET", "must have at least 32 bytes");
    }
    Some(secret)
}

async fn read_peppers(configuration: &mut Configuration<'_>) -> Option<Peppers> {
    let text = configuration.optional_secret("API_KEY_PEPPER").await?;
    let peppers = Peppers::parse(text.expose_secret());
    peppers.or_else(|| {
        configuration.fault(
            "API_KEY_PEPPER",
            "must be at least 32 bytes in hexadecimal or base64, or up to three such as `2:<bytes>`, the current one first",
        )
    })
}

async fn read_sessions(configuration: &mut Configuration<'_>) -> Option<SessionConfig> {
    let key = configuration.optional_secret("SESSION_KEY").await?;
    let Some(key) = SessionKey::parse(key.expose_secret()) else {
        return configuration.fault("SESSION_KEY", "must be 32 bytes in hexadecimal or base64");
    };
    Some(SessionConfig { key, origins: configuration.origins("ALLOWED_ORIGINS").await? })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use platform::fakes::Host;

    use super::*;

    fn load(variables: &[(&str, &str)]) -> Result<Config, ConfigurationError> {
        let keys = Host::new()
            .variable("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_p")
            .variable("SUPABASE_SECRET_KEY", "sb_secret_s");
        let host = variables.iter().fold(keys, |host, (name, value)| host.variable(name, value));
        host.block_on(Config::load(&host.variables))
    }

    fn jwks_url(config: &Config) -> &str {
        match &config.jwks {
            Jwks::Url(url) => url.as_str(),
            Jwks::Inline(_) => panic!("inline"),
        }
    }

    #[test]
    fn issuer_and_key_url_follow_from_the_project_s_url() {
        for url in ["https://x.supabase.co", "https://x.supabase.co/"] {
            let config = load(&[("SUPABASE_URL", url)]).unwrap();
            assert_eq!((&*config.issuer, &*config.audience), ("https://x.supabase.co/auth/v1", "authenticated"));
            assert_eq!(jwks_url(&config), "https://x.supabase.co/auth/v1/.well-known/jwks.json");
            assert!(config.hs256_secret.is_none());
        }
    }

    #[test]
    fn each_part_can_be_replaced() {
        let config = load(&[
            ("SUPABASE_URL", "https://x.supabase.co"),
            ("SUPABASE_JWT_ISSUER", "https://issuer.test"),
            ("SUPABASE_JWT_AUDIENCE", "edge"),
            ("SUPABASE_JWKS_URL", "https://keys.test/set"),
        ])
        .unwrap();
        assert_eq!(
            (&*config.issuer, &*config.audience, jwks_url(&config)),
            ("https://issuer.test", "edge", "https://keys.test/set")
        );
        let inline = load(&[("SUPABASE_URL", "https://x.supabase.co"), ("SUPABASE_JWKS", "[]")]).unwrap();
        assert!(matches!(inline.jwks, Jwks::Inline(_)));
    }

    #[test]
    fn keys_come_over_http_from_this_machine_only() {
        for url in ["http://127.0.0.1:54321", "http://localhost:1", "http://[::1]:1"] {
            assert!(load(&[("SUPABASE_URL", url)]).is_ok(), "{url}");
        }
        for url in ["http://x.supabase.co", "http://127.0.0.1.evil.test", "http://10.0.0.1"] {
            assert!(load(&[("SUPABASE_URL", url)]).unwrap_err().to_string().contains("must be https"), "{url}");
        }
    }

    #[test]
    fn all_faults_are_reported_together_and_without_values() {
        let faults = load(&[("SUPABASE_JWKS", "secret-looking"), ("SUPABASE_JWT_SECRET", "short")]).unwrap_err().faults;
        let expected = [
            "SUPABASE_URL is not set",
            "SUPABASE_JWKS is not a JSON Web Key Set",
            "SUPABASE_JWT_SECRET must have at least 32 bytes",
        ];
        assert_eq!(faults, expected);
    }
}
