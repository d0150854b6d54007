//! Which providers there are, and the limits of a call.

use std::ops::RangeInclusive;
use std::time::Duration;

use platform::Configuration;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::cache;
use crate::catalog::Route;
use crate::providers::{Anthropic, Azure, Bedrock, Credential, Messages, OpenAi, Protocol, Provider, Together};

/// What the proxy is told by its variables.
#[derive(Debug)]
pub struct Config {
    pub(crate) providers: Vec<Provider>,
    pub(crate) max_body_bytes: usize,
    pub(crate) timeouts: Timeouts,
    /// Failures in a row after which a route is left alone; 0 for never.
    pub(crate) breaker_failures: u32,
    /// After which a try that has not answered gets one on another route beside it; nothing for never.
    pub(crate) hedge_after: Option<Duration>,
    pub(crate) cache: cache::Limits,
    /// Whether a route without a known price is used: its calls are in the accounts as such.
    pub(crate) allows_unknown_price: bool,
}

/// How long a provider may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// Until the head of a streamed answer.
    pub(crate) headers: Duration,
    /// From the head of a stream to its first text.
    pub(crate) first_token: Duration,
    /// Between two pieces of a stream.
    pub(crate) idle: Duration,
    /// For a whole stream.
    pub(crate) stream: Duration,
    /// For a whole answer in one piece. Providers send its head when all of it has been generated.
    pub(crate) answer: Duration,
}

const DEFAULT_MAX_BODY_BYTES: u64 = 4 * 1024 * 1024;
const BREAKER_FAILURES: u64 = 5;
const CACHE_TTL_SECONDS: u64 = 3_600;
const LONGEST_CACHE_TTL_SECONDS: u64 = 30 * 24 * 3_600;
const CACHED_BYTES: u64 = 256 * 1024;
const LARGEST_CACHED: u64 = 4 * 1024 * 1024;
const LARGEST_BODY: u64 = 64 * 1024 * 1024;
const LONGEST_TIMEOUT_MS: u64 = 3_600_000;

impl Config {
    /// Reads the variables.
    ///
    /// Providers, at least one: `TOGETHER_API_KEY` (`TOGETHER_BASE_URL`), `OPENAI_API_KEY` (`OPENAI_BASE_URL`),
    /// `AZURE_OPENAI_ENDPOINT` with `AZURE_OPENAI_API_KEY` or `AZURE_OPENAI_AD_TOKEN` (`AZURE_OPENAI_API_VERSION`),
    /// `ANTHROPIC_API_KEY` (`ANTHROPIC_BASE_URL`), `OLLAMA_URL`, `LLM_SIMULATOR_URL` (`LLM_SIMULATOR_API_KEY`), and
    /// Bedrock: `AWS_BEARER_TOKEN_BEDROCK`, or `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` (`AWS_SESSION_TOKEN`),
    /// with `AWS_BEDROCK_REGION` or `AWS_REGION` (`BEDROCK_BASE_URL`). Limits: `LLM_MAX_BODY_BYTES`,
    /// `LLM_HEADERS_TIMEOUT_MS`, `LLM_FIRST_TOKEN_TIMEOUT_MS`, `LLM_IDLE_TIMEOUT_MS`, `LLM_STREAM_TIMEOUT_MS`,
    /// `LLM_ANSWER_TIMEOUT_MS`. `LLM_BREAKER_FAILURES` (5) failures in a row, and a route is left alone for a while; 0
    /// for never. `LLM_HEDGE_AFTER_MS` (0) without an answer from a route, and the next one is asked beside it; 0 for
    /// never. `LLM_UNKNOWN_PRICE` (`allow`): whether routes without a known price are used, or `deny`. The cache of
    /// answers: `LLM_CACHE_TTL_SECONDS` (3600), `LLM_CACHE_MAX_BYTES` (262144) of an answer, 0 for no cache.
    pub async fn read(configuration: &mut Configuration<'_>) -> Option<Self> {
        let providers = providers(configuration).await;
        let max_body_bytes = number(configuration, "LLM_MAX_BODY_BYTES", DEFAULT_MAX_BODY_BYTES, LARGEST_BODY).await;
        let timeouts = timeouts(configuration).await;
        let breaker_failures = whole_number(configuration, "LLM_BREAKER_FAILURES", BREAKER_FAILURES, 0..=1_000).await;
        let hedge_after = whole_number(configuration, "LLM_HEDGE_AFTER_MS", 0, 0..=LONGEST_TIMEOUT_MS).await;
        let cache = cache_limits(configuration).await;
        let allows_unknown_price = unknown_price(configuration).await;
        if providers.is_empty() {
            let rule = "or OPENAI_API_KEY, AZURE_OPENAI_ENDPOINT, ANTHROPIC_API_KEY, AWS_BEARER_TOKEN_BEDROCK, \
                AWS_ACCESS_KEY_ID, OLLAMA_URL, LLM_SIMULATOR_URL must be set";
            return configuration.fault("TOGETHER_API_KEY", rule);
        }
        Some(Self {
            providers,
            max_body_bytes: usize::try_from(max_body_bytes?).ok()?,
            timeouts: timeouts?,
            breaker_failures: u32::try_from(breaker_failures?).ok()?,
            hedge_after: hedge_after.map(Duration::from_millis).filter(|after| !after.is_zero()),
            cache: cache?,
            allows_unknown_price: allows_unknown_price?,
        })
    }

    /// The provider of `route`, if it is configured here and the route may be used.
    pub(crate) fn provider_of(&self, route: &Route) -> Option<&Provider> {
        self.provider(&route.provider).filter(|_| self.allows_unknown_price || route.price.is_some())
    }

    /// The provider that the catalog calls `name`, if it is configured here.
    pub(crate) fn provider(&self, name: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.name == name)
    }
}

impl Timeouts {
    /// Until when a call may be tried again.
    pub(crate) fn tries(&self) -> Duration {
        self.stream.max(self.answer)
    }
}

async fn cache_limits(read: &mut Configuration<'_>) -> Option<cache::Limits> {
    let ttl = whole_number(read, "LLM_CACHE_TTL_SECONDS", CACHE_TTL_SECONDS, 60..=LONGEST_CACHE_TTL_SECONDS).await;
    let largest = whole_number(read, "LLM_CACHE_MAX_BYTES", CACHED_BYTES, 0..=LARGEST_CACHED).await;
    Some(cache::Limits { ttl: Duration::from_secs(ttl?), largest: usize::try_from(largest?).ok()? })
}

async fn providers(read: &mut Configuration<'_>) -> Vec<Provider> {
    let mut providers = Vec::new();
    let together = keyed(read, "TOGETHER_API_KEY", "TOGETHER_BASE_URL", "https://api.together.xyz/v1").await;
    providers.extend(together.map(|protocol| provider("together", Together(protocol))));
    let openai = keyed(read, "OPENAI_API_KEY", "OPENAI_BASE_URL", "https://api.openai.com/v1").await;
    providers.extend(openai.map(|protocol| provider("openai", protocol.with_completion_tokens())));
    providers.extend(azure(read).await.map(|protocol| provider("azure", protocol)));
    providers.extend(anthropic(read).await);
    if let Some(base) = below(read, "OLLAMA_URL").await {
        providers.extend(OpenAi::at(&base, None).map(|protocol| provider("ollama", protocol)));
    }
    if let Some(base) = below(read, "LLM_SIMULATOR_URL").await {
        let key = api_key(read, "LLM_SIMULATOR_API_KEY").await;
        providers.extend(simulator(&base, key));
    }
    providers.extend(Bedrock::read(read).await.map(|protocol| provider("bedrock", protocol)));
    providers
}

fn provider(name: &'static str, protocol: impl Protocol + 'static) -> Provider {
    Provider { name, protocols: vec![Box::new(protocol)] }
}

/// The base URL below an address that is set.
async fn below(read: &mut Configuration<'_>, name: &str) -> Option<Url> {
    Some(below_v1(read.optional_url(name).await?))
}

fn below_v1(mut base: Url) -> Url {
    base.set_path(&format!("{}/v1", base.path().trim_end_matches('/')));
    base
}

/// It speaks both.
fn simulator(base: &Url, key: Option<SecretString>) -> Option<Provider> {
    let (openai, messages) = (OpenAi::at(base, key.clone())?, Messages::at(base, key)?);
    Some(Provider { name: "simulator", protocols: vec![Box::new(openai), Box::new(messages)] })
}

/// A provider that is there when its key is set.
async fn keyed(read: &mut Configuration<'_>, key: &str, base: &str, default_base: &str) -> Option<OpenAi> {
    let (key, base) = (api_key(read, key).await, read.optional_url(base).await);
    let base = base.or_else(|| Url::parse(default_base).ok())?;
    OpenAi::at(&base, Some(key?))
}

/// Anthropic is there when its key is set.
async fn anthropic(read: &mut Configuration<'_>) -> Option<Provider> {
    let (key, base) = (api_key(read, "ANTHROPIC_API_KEY").await, read.optional_url("ANTHROPIC_BASE_URL").await);
    let base = base.or_else(|| Url::parse("https://api.anthropic.com").ok())?;
    let messages = Messages::at(&below_v1(base), Some(key?))?;
    Some(Provider { name: "anthropic", protocols: vec![Box::new(Anthropic(messages.clone())), Box::new(messages)] })
}

/// Azure OpenAI is there when its endpoint is set; then so must be one of the credentials.
async fn azure(read: &mut Configuration<'_>) -> Option<Azure> {
    let endpoint = read.optional_url("AZURE_OPENAI_ENDPOINT").await;
    let version = read.optional("AZURE_OPENAI_API_VERSION").await;
    let key = api_key(read, "AZURE_OPENAI_API_KEY").await.map(Credential::Key);
    let token = api_key(read, "AZURE_OPENAI_AD_TOKEN").await.map(Credential::Token);
    match (endpoint, key, token) {
        (None, None, None) => None,
        (None, ..) => read.fault("AZURE_OPENAI_ENDPOINT", "must be set beside the credential for it"),
        (Some(_), None, None) => read.fault("AZURE_OPENAI_API_KEY", "or AZURE_OPENAI_AD_TOKEN must be set"),
        (Some(_), Some(_), Some(_)) => read.fault("AZURE_OPENAI_AD_TOKEN", "must not be set beside the key"),
        (Some(endpoint), key, token) => Azure::at(&endpoint, version, key.or(token)?),
    }
}

/// What fits into a header.
pub(crate) async fn api_key(read: &mut Configuration<'_>, name: &str) -> Option<SecretString> {
    let key = read.optional_secret(name).await?;
    if key.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(key);
    }
    read.fault(name, "must be visible ASCII without spaces")
}

/// What to do where a price is not known.
async fn unknown_price(read: &mut Configuration<'_>) -> Option<bool> {
    match read.optional("LLM_UNKNOWN_PRICE").await.as_deref() {
        None | Some("allow") => Some(true),
        Some("deny") => Some(false),
        Some(_) => read.fault("LLM_UNKNOWN_PRICE", "must be allow or deny"),
    }
}

async fn timeouts(read: &mut Configuration<'_>) -> Option<Timeouts> {
    let mut values = [Duration::ZERO; 5];
    let variables = [
        ("LLM_HEADERS_TIMEOUT_MS", 30_000),
        ("LLM_FIRST_TOKEN_TIMEOUT_MS", 60_000),
        ("LLM_IDLE_TIMEOUT_MS", 60_000),
        ("LLM_STREAM_TIMEOUT_MS", 600_000),
        ("LLM_ANSWER_TIMEOUT_MS", 300_000),
    ];
    for (value, (name, default)) in values.iter_mut().zip(variables) {
        *value = Duration::from_millis(number(read, name, default, LONGEST_TIMEOUT_MS).await.unwrap_or(default));
    }
    let [headers, first_token, idle, stream, answer] = values;
    Some(Timeouts { headers, first_token, idle, stream, answer })
}

async fn number(read: &mut Configuration<'_>, name: &str, default: u64, most: u64) -> Option<u64> {
    whole_number(read, name, default, 1..=most).await
}

async fn whole_number(
    read: &mut Configuration<'_>,
    name: &str,
    default: u64,
    allowed: RangeInclusive<u64>,
) -> Option<u64> {
    let Some(text) = read.optional(name).await else { return Some(default) };
    match text.parse() {
        Ok(value) if allowed.contains(&value) => Some(value),
        _ => read.fault(name, &format!("must be a whole number from {} to {}", allowed.start(), allowed.end())),
    }
}

#[cfg(test)]
mod tests {
    use platform::ConfigurationError;
    use platform::fakes::{Host, block_on};

    use super::*;
    use crate::catalog::Route;
    use crate::endpoint::Endpoint;
    use crate::model_request::ModelRequest;

    fn load(variables: &[(&str, &str)]) -> Result<Config, ConfigurationError> {
        let host = Host::new();
        for (name, value) in variables {
            host.variables.set(name, value);
        }
        let mut read = Configuration::of(&host.variables);
        let config = block_on(Config::read(&mut read));
        read.finish(|| config)
    }

    #[test]
    fn each_provider_that_is_set_has_its_address_and_its_key() {
        let config = load(&[
            ("TOGETHER_API_KEY", "t-key"),
            ("OPENAI_API_KEY", "o-key"),
            ("OPENAI_BASE_URL", "https://gateway.test/openai/v1/"),
            ("AZURE_OPENAI_ENDPOINT", "https://resource.test/"),
            ("AZURE_OPENAI_AD_TOKEN", "a-token"),
            ("ANTHROPIC_API_KEY", "c-key"),
            ("OLLAMA_URL", "http://127.0.0.1:11434"),
            ("LLM_SIMULATOR_URL", "http://127.0.0.1:9000/"),
        ])
        .unwrap();
        let completion = bytes::Bytes::from_static(br#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#);
        let completion = ModelRequest::parse(Endpoint::ChatCompletions, completion).unwrap();
        let asked = |name: &str| {
            let protocol = config.provider(name).unwrap().protocol(Endpoint::ChatCompletions).unwrap();
            protocol.request(&completion, &Route::to(name, "m"), &Host::new().context()).unwrap()
        };
        for (name, uri, authorization) in [
            ("together", "https://api.together.xyz/v1/chat/completions", Some("Bearer t-key")),
            ("openai", "https://gateway.test/openai/v1/chat/completions", Some("Bearer o-key")),
            ("azure", "https://resource.test/openai/v1/chat/completions", Some("Bearer a-token")),
            ("anthropic", "https://api.anthropic.com/v1/messages", None),
            ("ollama", "http://127.0.0.1:11434/v1/chat/completions", None),
            ("simulator", "http://127.0.0.1:9000/v1/chat/completions", None),
        ] {
            let request = asked(name);
            assert_eq!(request.uri(), uri);
            let sent = request.headers().get("authorization").map(|value| value.to_str().unwrap());
            assert_eq!(sent, authorization, "{name}");
        }
        assert!(!format!("{config:?}").contains("o-key"));
    }

    #[test]
    fn every_fault_is_reported_by_name_and_no_value_is_shown() {
        let error = load(&[
            ("OPENAI_API_KEY", "two words"),
            ("LLM_MAX_BODY_BYTES", "0"),
            ("LLM_IDLE_TIMEOUT_MS", "soon"),
            ("LLM_HEDGE_AFTER_MS", "-1"),
            ("LLM_UNKNOWN_PRICE", "ignore"),
            ("OLLAMA_URL", "localhost"),
        ])
        .unwrap_err();
        let names: Vec<_> = error.faults.iter().filter_map(|fault| fault.split(' ').next()).collect();
        assert_eq!(
            names,
            [
                "OPENAI_API_KEY",
                "OLLAMA_URL",
                "LLM_MAX_BODY_BYTES",
                "LLM_IDLE_TIMEOUT_MS",
                "LLM_HEDGE_AFTER_MS",
                "LLM_UNKNOWN_PRICE",
                "TOGETHER_API_KEY"
            ]
        );
        assert!(!error.to_string().contains("two words"));
    }

    #[test]
    fn azure_needs_its_endpoint_and_one_credential() {
        const ENDPOINT: (&str, &str) = ("AZURE_OPENAI_ENDPOINT", "https://resource.test");
        const KEY: (&str, &str) = ("AZURE_OPENAI_API_KEY", "a-key");
        const TOKEN: (&str, &str) = ("AZURE_OPENAI_AD_TOKEN", "a-token");
        let other = ("OLLAMA_URL", "http://127.0.0.1:11434");
        for (variables, name) in [
            (&[other, ENDPOINT][..], "AZURE_OPENAI_API_KEY"),
            (&[other, KEY], "AZURE_OPENAI_ENDPOINT"),
            (&[other, ENDPOINT, KEY, TOKEN], "AZURE_OPENAI_AD_TOKEN"),
        ] {
            let faults = load(variables).unwrap_err().faults;
            assert!(matches!(&faults[..], [fault] if fault.starts_with(name)), "{faults:?}");
        }
        assert!(load(&[ENDPOINT, KEY]).unwrap().provider("azure").is_some());
    }

    #[test]
    fn without_a_provider_there_is_no_proxy() {
        assert!(load(&[]).is_err());
    }
}
