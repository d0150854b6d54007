use http::{Method, StatusCode};
use platform::{Request, Response, Timestamp};
use problem::{Problem, kinds};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Value, json};
use supabase::{CREATE_KEY, LIST_KEYS, REVOKE_KEY, ROTATE_KEY, Rpc};
use token::api_key::{self, ApiKey};
use token::{KeyMint, Network, SCOPES};
use uuid::Uuid;

use crate::user::{Places, User, id};
use crate::{answer, list, no_content, sign_in};

/// The longest name of a key, in characters.
const MAX_NAME: usize = 100;
/// The most networks that a key can be bound to.
const MAX_NETWORKS: usize = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    name: String,
    scopes: Vec<String>,
    expires_at: Option<Expiry>,
    /// From where the key may be used; from everywhere if there is none.
    #[serde(default)]
    allowed_cidrs: Vec<Network>,
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
    });
    let places = &[("expires_at", "/expires_at"), ("allowed_cidrs", "/allowed_cidrs")];
    make(mint, user, CREATE_KEY, wish, places).await
}

/// Makes a successor with the same name, scopes and networks; the old key works until the overlap has passed.
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
    let invalid = |pointer: &str, detail: String| Err(Problem::new(kinds::INVALID_REQUEST).at(pointer, detail));
    if !(1..=MAX_NAME).contains(&wish.name.chars().count()) {
        return invalid("/name", format!("must have 1 to {MAX_NAME} characters"));
    }
    if wish.scopes.is_empty() {
        return invalid("/scopes", format!("must name at least one of {}", SCOPES.join(", ")));
    }
    if wish.allowed_cidrs.len() > MAX_NETWORKS {
        return invalid("/allowed_cidrs", format!("must name at most {MAX_NETWORKS} networks"));
    }
    match wish.scopes.iter().position(|scope| !SCOPES.contains(&scope.as_str())) {
        Some(index) => invalid(&format!("/scopes/{index}"), format!("must be one of {}", SCOPES.join(", "))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, scopes: &[&str]) -> Result<(), String> {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        check(&NewKey { name: name.into(), scopes, expires_at: None, allowed_cidrs: vec![] })
            .map_err(|problem| problem.openai_body())
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
}
