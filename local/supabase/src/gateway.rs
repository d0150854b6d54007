//! What stands in front of every hosted project: it checks the `apikey` header and decides as whom a request acts.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;
use subtle::ConstantTimeEq as _;

use crate::access_token::AccessToken;
use crate::answer::{self, Request, Response};
use crate::signing::Flaw;
use crate::state::State;
use crate::surface::Surface;

/// The project's two API keys.
pub(crate) struct ApiKeys {
    publishable: String,
    secret: String,
}

/// As whom a request acts.
#[derive(Debug)]
pub(crate) enum Caller {
    /// The publishable key alone.
    Anonymous,
    /// The secret key alone.
    Service,
    /// A user's access token beside either key.
    User(Arc<AccessToken>),
}

/// Why a request does not pass.
pub(crate) enum Refusal {
    /// Answered by the gateway itself.
    Key(Box<Response>),
    /// The key is right and the user's token is not; every service says so in its own words.
    Token(Flaw),
}

impl ApiKeys {
    pub(crate) fn new(state: &State) -> Self {
        Self { publishable: state.publishable_key.clone(), secret: state.secret_key.clone() }
    }
}

impl Caller {
    /// Decides by `apikey` and `Authorization`.
    pub(crate) fn of(request: &Request, surface: &Surface) -> Result<Self, Refusal> {
        let key = answer::header(request, "apikey").unwrap_or_default();
        let by_key = surface.api_keys.caller(key, answer::header(request, "user-agent")).map_err(Refusal::Key)?;
        match bearer(request) {
            None => Ok(by_key),
            // supabase-js sends its key in both headers: that is no token.
            Some(token) if token == key => Ok(by_key),
            Some(token) if token.starts_with("sb_") => Err(Refusal::Key(unknown_key())),
            Some(token) => {
                let verified = surface.access_tokens.verify(token, &surface.signing_keys, surface.now());
                verified.map(Self::User).map_err(Refusal::Token)
            }
        }
    }
}

impl ApiKeys {
    fn caller(&self, key: &str, user_agent: Option<&str>) -> Result<Caller, Box<Response>> {
        if key.is_empty() {
            return Err(refusal("No API key found in request", "No `apikey` request header or url param was found."));
        }
        let is = |known: &str| bool::from(known.as_bytes().ct_eq(key.as_bytes()));
        if is(&self.publishable) {
            return Ok(Caller::Anonymous);
        }
        if !is(&self.secret) {
            return Err(unknown_key());
        }
        if user_agent.is_some_and(|agent| agent.contains("Mozilla/")) {
            return Err(refusal(
                "Forbidden use of secret API key in browser",
                "Secret API keys can only be used in a protected environment and should never be used in a browser.",
            ));
        }
        Ok(Caller::Service)
    }
}

/// The token of `Authorization: Bearer …`.
pub(crate) fn bearer(request: &Request) -> Option<&str> {
    let (scheme, token) = answer::header(request, "authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn unknown_key() -> Box<Response> {
    refusal("Unregistered API key", "Double check the provided API key as it is not registered for this project.")
}

fn refusal(message: &str, hint: &str) -> Box<Response> {
    Box::new(answer::json(StatusCode::UNAUTHORIZED, &json!({ "message": message, "hint": hint })))
}
