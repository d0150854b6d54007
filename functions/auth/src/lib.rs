//! Sign-up, sign-in and sessions in front of Supabase Auth, the user's API keys, and tokens in exchange for either:
//! `/auth/*`. The edge's own public keys: `/.well-known/jwks.json`.

mod attempts;
mod jwks;
mod keys;
mod sign_in;
mod token_exchange;

use std::sync::Arc;
use std::time::Duration;

use front_door::{Function, segments};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use json_body::Limits;
use platform::{Body, Configuration, Context, Request, Response};
use problem::{Problem, kinds};
use secrecy::SecretString;
use serde::Serialize;
use supabase::{LogoutScope, Supabase};
use token::{ApiKeyConfig, Authenticator, Caller, SigningKeys};

/// What `/auth/*` accepts: nothing of it is large.
const LIMITS: Limits = Limits { bytes: 16 * 1024, time: Duration::from_secs(10) };

/// The function behind `/auth/*` and the key set.
pub struct Auth {
    /// Without it there are no API keys.
    api_keys: Option<ApiKeyConfig>,
    /// The edge's own, to be published.
    signing_keys: Option<SigningKeys>,
    supabase: Supabase,
    authenticator: Arc<Authenticator>,
}

impl Function for Auth {
    async fn read(read: &mut Configuration<'_>) -> Option<Self> {
        let token = token::Config::read(read).await;
        let supabase = supabase::Config::read(read).await;
        let (token, supabase) = (token?, Supabase::new(supabase?));
        Some(Self::new(&token.clone(), supabase, Arc::new(Authenticator::new(token))))
    }

    async fn answer(&self, request: Request, context: &Context) -> Result<Response, Problem> {
        let path = request.uri().path().to_owned();
        match (segments(&path).as_slice(), request.method()) {
            (["auth", "signup"], &Method::POST) => sign_in::signup(&self.supabase, request, context).await,
            (["auth", "login"], &Method::POST) => sign_in::login(&self.supabase, request, context).await,
            (["auth", "refresh"], &Method::POST) => sign_in::refresh(&self.supabase, request, context).await,
            (["auth", "logout"], &Method::POST) => {
                let caller = self.authenticator.authenticate(request.headers(), context).await?;
                self.logout(&caller, context).await
            }
            (["auth", "token"], &Method::POST) => token_exchange::exchange(&self.authenticator, request, context).await,
            ([".well-known", "jwks.json"], &Method::GET) => Ok(jwks::publish(self.signing_keys.as_ref())),
            (["auth", "session"], &Method::GET) => {
                let caller = self.authenticator.authenticate(request.headers(), context).await?;
                answer(StatusCode::OK, &*caller.principal)
            }
            (["auth", "keys", rest @ ..], _) => {
                let caller = self.authenticator.authenticate(request.headers(), context).await?;
                keys::handle(self.api_keys.as_ref(), &self.supabase, rest, request, &caller, context).await
            }
            (["auth", "signup" | "login" | "refresh" | "logout" | "token"], _) => {
                Err(Problem::method_not_allowed("POST"))
            }
            (["auth", "session"] | [".well-known", "jwks.json"], _) => Err(Problem::method_not_allowed("GET, HEAD")),
            _ => Err(kinds::NOT_FOUND.into()),
        }
    }
}

impl Auth {
    /// In front of `supabase`, for callers that `authenticator`, which `config` is of, knows.
    pub fn new(config: &token::Config, supabase: Supabase, authenticator: Arc<Authenticator>) -> Self {
        let signing_keys = config.edge.signing_keys.clone();
        Self { api_keys: config.api_keys.clone(), signing_keys, supabase, authenticator }
    }

    /// Ends the session of the caller's own token. Its access token remains valid until it expires.
    async fn logout(&self, caller: &Caller, context: &Context) -> Result<Response, Problem> {
        let token = own_token(caller)?;
        self.supabase.auth().logout(context, &token, LogoutScope::Local).await?;
        Ok(no_content())
    }
}

/// The user's own access token; what acts on the account itself is neither for API keys nor for what one is exchanged
/// for.
fn own_token(caller: &Caller) -> Result<SecretString, Problem> {
    caller.access_token().ok_or_else(|| {
        Problem::new(kinds::PERMISSION_DENIED).detail("This needs the user: sign in and use that access token.")
    })
}

/// A JSON answer that no cache keeps: it names a person or holds a credential.
fn answer(status: StatusCode, body: &impl Serialize) -> Result<Response, Problem> {
    let text = serde_json::to_string(body).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written");
        Problem::new(kinds::INTERNAL)
    })?;
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_send<T: Send>(value: T) -> T {
        value
    }

    #[test]
    fn handling_a_request_can_move_between_threads() {
        fn handling<'a>(auth: &'a Auth, context: &'a Context) {
            drop(assert_send(auth.answer(Request::default(), context)));
        }
        let _ = handling;
    }
}
