use http::{Method, StatusCode};
use platform::{Request, Response, Timestamp};
use problem::{Problem, kinds};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use supabase::{CREATE_KEY, LIST_KEYS, REVOKE_KEY, ROTATE_KEY, Rpc, UPDATE_KEY};
use token::api_key::{self, ApiKey};
use token::{CacheMode, KeyMint, LLM_ENDPOINTS, Network, SCOPES};
use uuid::Uuid;

use crate::user::{Places, User, id};
use crate::{answer, list, no_content, sign_in};

/// The longest name of a key, in characters.
const MAX_NAME: usize = 100;
/// The most networks that a key can be bound to.
const MAX_NETWORKS: usize = 20;
/// The most models that a key can be limited to, and how long their names may be, each and together, in bytes: a token
/// that is exchanged for the key carries them.
const MAX_MODELS: usize = 50;
const MAX_MODEL: usize = 100;
const MAX_MODELS_BYTES: usize = 2000;
/// The most tokens that a longest answer can have.
const MAX_OUTPUT_TOKENS: u64 = i32::MAX as u64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    name: String,
    scopes: Vec<String>,
    expires_at: Option<Expiry>,
    /// From where the key may be used; from everywhere if there is none.
    #[serde(default)]
    allowed_cidrs: Vec<Network>,
    #[serde(default)]
    allowed_models: Vec<String>,
    #[serde(default)]
    allowed_endpoints: Vec<String>,
    max_output_tokens: Option<u64>,
    #[serde(default)]
    cache: CacheMode,
}

/// What is left out stays, and null or an empty list takes a rule away.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    name: Option<String>,
    allowed_models: Option<Vec<String>>,
    allowed_endpoints: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    max_output_tokens: Option<Nullable<u64>>,
    cache: Option<CacheMode>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// How long the old key goes on working.
    overlap_seconds: Option<u64>,
    expires_at: Option<Expiry>,
}

/// A point in time, RFC 3339.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Expiry(Timestamp);

impl TryFrom<String> for Expiry {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self).map_err(|_| "a time such as 2027-01-31T00:00:00Z was expected")
    }
}

/// Answers a request to `/auth/keys/<path…>`. Only the user's own access token manages keys: a stolen key makes no others.
pub async fn handle(mint: Option<&KeyMint>, user: &User, path: &[&str], request: Request) -> Result<Response, Problem> {
    match (path, request.method()) {
        ([], &Method::GET) => list(user.call(LIST_KEYS, &json!({}), &[]).await?, "keys"),
        ([], &Method::POST) => create(mint, user, request).await,
        ([key], &Method::PATCH) => update(user, id(key)?, request).await,
        ([key], &Method::DELETE) => revoke(user, id(key)?).await,
        ([key, "rotate"], &Method::POST) => rotate(mint, user, id(key)?, request).await,
        _ => Err(kinds::NOT_FOUND.into()),
    }
}

async fn create(mint: Option<&KeyMint>, user: &User, request: Request) -> Result<Response, Problem> {
    let mint = mint.ok_or(kinds::MISCONFIGURED)?;
    let wish: NewKey = sign_in::read(request, user.context()).await?;
    check(&wish)?;
    let wish = json!({
        "name": wish.name,
        "scopes": wish.scopes,
        "expires_at": wish.expires_at.map(|expiry| expiry.0),
        "allowed_cidrs": wish.allowed_cidrs,
        "allowed_models": wish.allowed_models,
        "allowed_endpoints": wish.allowed_endpoints,
        "max_output_tokens": wish.max_output_tokens,
        "cache": wish.cache,
    });
    let places = &[("expires_at", "/expires_at"), ("allowed_cidrs", "/allowed_cidrs")];
    make(mint, user, CREATE_KEY, wish, places).await
}

async fn update(user: &User, key: Uuid, request: Request) -> Result<Response, Problem> {
    let changes: Changes = sign_in::read(request, user.context()).await?;
    let present: Value = user.call(UPDATE_KEY, &changes.payload(key)?, &[]).await?;
    answer(StatusCode::OK, &present)
}

impl Changes {
    /// The arguments of the database function: only what changes.
    fn payload(self, key: Uuid) -> Result<Value, Problem> {
        if let Some(name) = &self.name {
            check_name(name)?;
        }
        let none = Vec::new();
        let (models, endpoints) = (self.allowed_models.as_ref(), self.allowed_endpoints.as_ref());
        check_rules(
            models.unwrap_or(&none),
            endpoints.unwrap_or(&none),
            self.max_output_tokens.and_then(|most| most.0),
        )?;
        let members = [
            ("name", self.name.map(Value::from)),
            ("allowed_models", self.allowed_models.map(Value::from)),
            ("allowed_endpoints", self.allowed_endpoints.map(Value::from)),
            ("max_output_tokens", self.max_output_tokens.map(|most| most.0.into())),
            ("cache", self.cache.map(|mode| json!(mode))),
        ];
        let given = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let mut payload = serde_json::Map::new(); // to collect would bring a sort of its own
        payload.extend(given);
        if payload.is_empty() {
            let detail = "Name at least one of name, allowed_models, allowed_endpoints, max_output_tokens and cache.";
            return Err(Problem::new(kinds::INVALID_REQUEST).at("", detail));
        }
        payload.insert("id".into(), json!(key));
        Ok(Value::Object(payload))
    }
}

/// A value, or null: not the same as a member that is left out.
#[derive(Clone, Copy, Deserialize)]
#[serde(transparent)]
pub struct Nullable<T>(pub Option<T>);

/// A member that is there, be it null.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Makes a successor with the same name, scopes, networks and rules; the old key works until the overlap has passed.
async fn rotate(mint: Option<&KeyMint>, user: &User, old: Uuid, request: Request) -> Result<Response, Problem> {
    let mint = mint.ok_or(kinds::MISCONFIGURED)?;
    let wish: Rotation = sign_in::read(request, user.context()).await?;
    let wish = json!({
        "id": old,
        "overlap_seconds": wish.overlap_seconds,
        "expires_at": wish.expires_at.map(|expiry| expiry.0),
    });
    let places = &[("overlap_seconds", "/overlap_seconds"), ("expires_at", "/expires_at")];
    make(mint, user, ROTATE_KEY, wish, places).await
}

/// Makes a key and shows it this once; from then on only its digest is known.
async fn make(
    mint: &KeyMint,
    user: &User,
    function: Rpc,
    mut wish: Value,
    places: Places,
) -> Result<Response, Problem> {
    let secret = api_key::generate(mint.environment, &*user.context().entropy);
    let key = ApiKey::parse(secret.expose_secret()).ok_or(kinds::INTERNAL)?;
    let stored = mint.peppers.digest(&key);
    if let Some(members) = wish.as_object_mut() {
        members.insert("digest".into(), api_key::hex(&stored.digest).into());
        members.insert("pepper_version".into(), stored.pepper_version.into());
        members.insert("prefix".into(), key.display_prefix().into());
    }
    let mut made: Value = user.call(function, &wish, places).await?;
    if let Some(members) = made.as_object_mut() {
        members.insert("key".into(), secret.expose_secret().into());
    }
    answer(StatusCode::CREATED, &made)
}

async fn revoke(user: &User, key: Uuid) -> Result<Response, Problem> {
    let _: Value = user.call(REVOKE_KEY, &json!({"id": key}), &[]).await?;
    Ok(no_content())
}

fn check(wish: &NewKey) -> Result<(), Problem> {
    check_name(&wish.name)?;
    if wish.scopes.is_empty() {
        return Err(invalid("/scopes", format!("must name at least one of {}", SCOPES.join(", "))));
    }
    if wish.allowed_cidrs.len() > MAX_NETWORKS {
        return Err(invalid("/allowed_cidrs", format!("must name at most {MAX_NETWORKS} networks")));
    }
    check_words(&wish.scopes, SCOPES, "/scopes")?;
    check_rules(&wish.allowed_models, &wish.allowed_endpoints, wish.max_output_tokens)
}

fn check_name(name: &str) -> Result<(), Problem> {
    if (1..=MAX_NAME).contains(&name.chars().count()) {
        return Ok(());
    }
    Err(invalid("/name", format!("must have 1 to {MAX_NAME} characters")))
}

/// Checks what a key may ask of a language model.
fn check_rules(models: &[String], endpoints: &[String], most: Option<u64>) -> Result<(), Problem> {
    let bytes: usize = models.iter().map(|model| model.len() + 1).sum();
    if models.len() > MAX_MODELS || bytes > MAX_MODELS_BYTES {
        let rule = format!("must name at most {MAX_MODELS} models, in {MAX_MODELS_BYTES} bytes");
        return Err(invalid("/allowed_models", rule));
    }
    let is_name = |model: &String| (1..=MAX_MODEL).contains(&model.len()) && !model.contains(char::is_control);
    if let Some(index) = models.iter().position(|model| !is_name(model)) {
        return Err(invalid(&format!("/allowed_models/{index}"), format!("must have 1 to {MAX_MODEL} bytes")));
    }
    check_words(endpoints, LLM_ENDPOINTS, "/allowed_endpoints")?;
    if most.is_some_and(|most| !(1..=MAX_OUTPUT_TOKENS).contains(&most)) {
        return Err(invalid("/max_output_tokens", format!("must be a number from 1 to {MAX_OUTPUT_TOKENS}")));
    }
    Ok(())
}

fn check_words(words: &[String], known: &[&str], pointer: &str) -> Result<(), Problem> {
    match words.iter().position(|word| !known.contains(&word.as_str())) {
        Some(index) => Err(invalid(&format!("{pointer}/{index}"), format!("must be one of {}", known.join(", ")))),
        None => Ok(()),
    }
}

fn invalid(pointer: &str, detail: String) -> Problem {
    Problem::new(kinds::INVALID_REQUEST).at(pointer, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, scopes: &[&str]) -> Result<(), String> {
        let wish = json!({"name": name, "scopes": scopes});
        check(&serde_json::from_value(wish).unwrap()).map_err(|problem| problem.openai_body())
    }

    #[test]
    fn an_expiry_is_a_time() {
        let expiry = |text: &str| serde_json::from_value::<Expiry>(json!(text)).map(|expiry| expiry.0.to_string());
        assert_eq!(expiry("2027-01-31T01:00:00+01:00").unwrap(), "2027-01-31T00:00:00Z");
        assert!(expiry("soon").unwrap_err().to_string().starts_with("a time such as 2027-01-31T00:00:00Z"));
    }

    #[test]
    fn a_key_needs_a_name_and_known_scopes() {
        assert_eq!(checked("ci", &["llm", "usage:read"]), Ok(()));
        assert!(checked("", &["llm"]).unwrap_err().contains(r#""param":"name""#));
        assert!(checked("ci", &[]).unwrap_err().contains(r#""param":"scopes""#));
        assert!(checked("ci", &["llm", "admin"]).unwrap_err().contains(r#""param":"scopes[1]""#));
    }

    #[test]
    fn a_key_is_bound_to_networks_and_not_to_too_many() {
        let wish = |networks: Value| {
            let text = json!({"name": "ci", "scopes": ["llm"], "allowed_cidrs": networks}).to_string();
            json_body::parse::<NewKey>(text.as_bytes())
                .and_then(|wish| check(&wish))
                .map_err(|problem| problem.openai_body())
        };
        assert_eq!(wish(json!(["192.0.2.0/24", "2001:db8::/32"])), Ok(()));
        assert_eq!(wish(json!(vec!["192.0.2.0/24"; 20])), Ok(()));
        assert!(wish(json!(vec!["192.0.2.0/24"; 21])).unwrap_err().contains(r#""param":"allowed_cidrs""#));
        for network in ["192.0.2.1/24", "192.0.2.0", "everywhere"] {
            let refused = wish(json!(["192.0.2.0/24", network])).unwrap_err();
            assert!(refused.contains(r#""param":"allowed_cidrs[1]""#), "{refused}");
        }
    }

    fn changes(wish: &Value) -> Result<Value, String> {
        let changes = json_body::parse::<Changes>(wish.to_string().as_bytes());
        let payload = changes.and_then(|changes| changes.payload(Uuid::nil()));
        payload.map_err(|problem| problem.openai_body())
    }

    #[test]
    fn the_rules_of_a_key_are_checked_with_their_places() {
        let allowed = json!({"allowed_models": ["m"], "allowed_endpoints": ["/v1/embeddings"], "max_output_tokens": 1});
        assert!(changes(&allowed).is_ok());
        for (wish, param) in [
            (json!({}), ""),
            (json!({"name": ""}), "name"),
            (json!({"scopes": ["llm"]}), "scopes"),
            (json!({"allowed_models": ["m", ""]}), "allowed_models[1]"),
            (json!({"allowed_models": ["a\nb"]}), "allowed_models[0]"),
            (json!({"allowed_models": ["m".repeat(101)]}), "allowed_models[0]"),
            (json!({"allowed_models": vec!["m"; 51]}), "allowed_models"),
            (json!({"allowed_models": vec!["m".repeat(99); 21]}), "allowed_models"),
            (json!({"allowed_endpoints": ["/v1/models"]}), "allowed_endpoints[0]"),
            (json!({"max_output_tokens": 0}), "max_output_tokens"),
            (json!({"max_output_tokens": 2_147_483_648_u64}), "max_output_tokens"),
            (json!({"cache": "always"}), "cache"),
        ] {
            let refused = changes(&wish).unwrap_err();
            assert!(refused.contains(&format!(r#""param":"{param}""#)), "{wish}: {refused}");
        }
    }

    #[test]
    fn only_what_changes_is_sent_and_null_takes_a_limit_away() {
        let id = Uuid::nil();
        assert_eq!(changes(&json!({"max_output_tokens": null})), Ok(json!({"id": id, "max_output_tokens": null})));
        assert_eq!(changes(&json!({"allowed_models": []})), Ok(json!({"id": id, "allowed_models": []})));
        assert_eq!(changes(&json!({"cache": "read-write"})), Ok(json!({"id": id, "cache": "read-write"})));
    }
}
