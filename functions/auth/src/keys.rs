use http::{Method, StatusCode};
use platform::{Context, Request, Response, Timestamp};
use problem::{Problem, kinds};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use supabase::{CREATE_KEY, Identity, LIST_KEYS, REVOKE_KEY, Supabase};
use token::api_key::{self, ApiKey, PEPPER_VERSION};
use token::{ApiKeyConfig, Caller, SCOPES};
use uuid::Uuid;

use crate::{answer, no_content, own_token, sign_in};

/// The longest name of a key, in characters.
const MAX_NAME: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    name: String,
    scopes: Vec<String>,
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
pub async fn handle(
    config: Option<&ApiKeyConfig>,
    supabase: &Supabase,
    path: &[&str],
    request: Request,
    caller: &Caller,
    context: &Context,
) -> Result<Response, Problem> {
    let user = &own_token(caller)?;
    match (path, request.method()) {
        ([], &Method::GET) => list(supabase, user, context).await,
        ([], &Method::POST) => create(config, supabase, request, user, context).await,
        ([id], &Method::DELETE) => revoke(supabase, id, user, context).await,
        ([], _) => Err(Problem::method_not_allowed("GET, HEAD, POST")),
        ([_], _) => Err(Problem::method_not_allowed("DELETE")),
        _ => Err(kinds::NOT_FOUND.into()),
    }
}

async fn list(supabase: &Supabase, user: &SecretString, context: &Context) -> Result<Response, Problem> {
    let mut listed: Value = supabase.rpc(context, LIST_KEYS, &json!({}), Identity::User(user)).await?;
    answer(StatusCode::OK, &json!({"data": listed.get_mut("keys").map(Value::take)}))
}

/// Makes a key and shows it this once; from then on only its digest is known.
async fn create(
    config: Option<&ApiKeyConfig>,
    supabase: &Supabase,
    request: Request,
    user: &SecretString,
    context: &Context,
) -> Result<Response, Problem> {
    let config = config.ok_or(kinds::MISCONFIGURED)?;
    let wish: NewKey = sign_in::read(request, context).await?;
    check(&wish)?;
    let secret = api_key::generate(config.environment(), &*context.entropy);
    let key = ApiKey::parse(secret.expose_secret()).ok_or(kinds::INTERNAL)?;
    let row = json!({
        "name": wish.name,
        "scopes": wish.scopes,
        "expires_at": wish.expires_at.map(|expiry| expiry.0),
        "digest": api_key::hex(&config.pepper.digest(&key)),
        "pepper_version": PEPPER_VERSION,
        "prefix": key.display_prefix(),
    });
    let mut created: Value = supabase.rpc(context, CREATE_KEY, &row, Identity::User(user)).await?;
    if let Some(members) = created.as_object_mut() {
        members.insert("key".into(), secret.expose_secret().into());
    }
    answer(StatusCode::CREATED, &created)
}

async fn revoke(supabase: &Supabase, id: &str, user: &SecretString, context: &Context) -> Result<Response, Problem> {
    // What is no id names no key.
    let id: Uuid = id.parse().map_err(|_| Problem::new(kinds::NOT_FOUND))?;
    let _: Value = supabase.rpc(context, REVOKE_KEY, &json!({"id": id}), Identity::User(user)).await?;
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
        check(&NewKey { name: name.into(), scopes, expires_at: None }).map_err(|problem| problem.openai_body())
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
}
