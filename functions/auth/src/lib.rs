//! Sign-up, sign-in and sessions in front of Supabase Auth, the user's API keys, tokens in exchange for either, and
//! organizations: `/auth/*`. The edge's own public keys: `/.well-known/jwks.json`.

mod attempts;
mod audit_log;
mod events;
mod invitations;
mod jwks;
mod keys;
mod members;
mod orgs;
mod roles;
mod routes;
mod sessions;
mod sign_in;
mod teams;
mod token_exchange;
mod user;

use std::sync::Arc;
use std::time::Duration;

use audit::{Origin, Recorder};
use front_door::uncached_json as answer;
use front_door::{Function, segments};
use http::StatusCode;
use http::request::Parts;
use json_body::Limits;
use platform::{Body, Configuration, Context, Request, Response};
use problem::{Problem, kinds};
use secrecy::SecretString;
use serde_json::{Value, json};
use supabase::Supabase;
use token::{Authenticator, Caller, KeyMint, Refusal, Sent, SigningKeys};

use crate::user::User;

pub use crate::routes::{Access, ROUTES, Route};

/// What `/auth/*` accepts: nothing of it is large.
const LIMITS: Limits = Limits { bytes: 16 * 1024, time: Duration::from_secs(10) };

/// The function behind `/auth/*` and the key set.
pub struct Auth {
    /// Without it there are no API keys.
    key_mint: Option<KeyMint>,
    /// The edge's own, to be published.
    signing_keys: Option<SigningKeys>,
    supabase: Supabase,
    authenticator: Arc<Authenticator>,
    recorder: Arc<Recorder>,
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
        let segments = segments(&path);
        match Route::find(&segments, request.method())?.access {
            Access::Open => self.open(&segments, request, context).await,
            Access::Account => {
                let (origin, (head, _)) = (Origin::of(&request), request.into_parts());
                let caller = self.authenticate(Sent::of(&head), origin.clone(), context).await?;
                self.account(&segments, &head, origin, &caller, context).await
            }
            Access::Membership => self.membership(&segments, &self.user(&request, context).await?, request).await,
        }
    }
}

impl Auth {
    /// In front of `supabase`, for callers that `authenticator`, which `config` is of, knows.
    pub fn new(config: &token::Config, supabase: Supabase, authenticator: Arc<Authenticator>) -> Self {
        let recorder = Recorder::new(supabase.clone());
        let key_mint = config.project.as_ref().and_then(token::Project::key_mint);
        let signing_keys = config.edge.signing_keys.clone();
        Self { key_mint, signing_keys, supabase, authenticator, recorder }
    }

    /// Writes the audit events that a database which was away has left behind. For the scheduled trigger.
    pub async fn flush(&self, context: &Context) {
        self.recorder.write(context).await;
    }

    async fn open(&self, path: &[&str], request: Request, context: &Context) -> Result<Response, Problem> {
        match path {
            ["auth", "signup"] => sign_in::signup(self, request, context).await,
            ["auth", "login"] => sign_in::login(self, request, context).await,
            ["auth", "refresh"] if Sent::with(&request).has_session_cookie() => {
                let (origin, (head, _)) = (Origin::of(&request), request.into_parts());
                let caller = self.authenticate(Sent::of(&head), origin, context).await?;
                sessions::rotate(self, &head, &caller, context).await
            }
            ["auth", "refresh"] => sign_in::refresh(self, request, context).await,
            ["auth", "token"] => token_exchange::exchange(self, request, context).await,
            [".well-known", "jwks.json"] => Ok(jwks::publish(self.signing_keys.as_ref())),
            _ => Err(kinds::NOT_FOUND.into()),
        }
    }

    async fn account(
        &self,
        path: &[&str],
        head: &Parts,
        origin: Origin,
        caller: &Caller,
        context: &Context,
    ) -> Result<Response, Problem> {
        match path {
            ["auth", "session"] => answer(StatusCode::OK, &*caller.principal),
            ["auth", "logout"] => sessions::logout(self, head, origin, caller, context).await,
            ["auth", "csrf"] => sessions::csrf(self, head, caller),
            ["auth", "sessions"] => sessions::list(self, caller, context).await,
            ["auth", "sessions", session] => sessions::revoke(self, session, caller, context).await,
            _ => Err(kinds::NOT_FOUND.into()),
        }
    }

    async fn membership(&self, path: &[&str], user: &User, request: Request) -> Result<Response, Problem> {
        match path {
            ["auth", "keys", rest @ ..] => keys::handle(self.key_mint.as_ref(), user, rest, request).await,
            ["auth", "orgs", rest @ ..] => orgs::handle(user, rest, request).await,
            ["auth", "teams", rest @ ..] => teams::handle(user, rest, request).await,
            ["auth", "invitations", "accept"] => invitations::accept(user, request).await,
            ["auth", "audit", rest @ ..] => audit_log::handle(user, rest, request).await,
            _ => Err(kinds::NOT_FOUND.into()),
        }
    }

    /// Who sent this. A refusal is recorded.
    async fn authenticate(&self, sent: Sent<'_>, origin: Origin, context: &Context) -> Result<Caller, Refusal> {
        let caller = self.authenticator.authenticate(sent, context).await;
        caller.inspect_err(|refusal| self.recorder.record_refusal(refusal, sent.headers, origin, context))
    }

    /// Who sent `request`, if it is a user with an identity and their own access token.
    fn user<'a>(
        &'a self,
        request: &'a Request,
        context: &'a Context,
    ) -> impl Future<Output = Result<User, Problem>> + Send + use<'a> {
        let caller = self.authenticate(Sent::with(request), Origin::of(request), context);
        async move { User::of(&caller.await?, &self.supabase, context) }
    }
}

/// The user's own access token; what acts on the account itself is neither for API keys nor for what one is exchanged
/// for.
fn own_token(caller: &Caller) -> Result<SecretString, Problem> {
    caller.access_token().ok_or_else(|| {
        Problem::new(kinds::PERMISSION_DENIED).detail("This needs the user: sign in and use that access token.")
    })
}

/// `{"data": […]}` of an answer that has its list under `name`.
fn list(mut listed: Value, name: &str) -> Result<Response, Problem> {
    answer(StatusCode::OK, &json!({"data": listed.get_mut(name).map(Value::take)}))
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
