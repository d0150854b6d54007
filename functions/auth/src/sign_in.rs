use audit::Origin;
use http::StatusCode;
use platform::{ClientAddress, Context, Request, Response};
use problem::{Problem, kinds};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use supabase::{AuthError, SignUp};

use crate::sessions::Wish;
use crate::{Auth, LIMITS, answer, attempts, events};

/// The longest e-mail address, in characters (RFC 3696, erratum 1690 says 254; some systems allow more).
const MAX_ADDRESS: usize = 320;
/// The longest password or refresh token, in bytes.
const MAX_SECRET: usize = 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAccount {
    email: String,
    password: Password,
    /// Becomes the user's own `user_metadata`.
    data: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    email: String,
    password: Password,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshToken {
    refresh_token: Password,
}

/// A secret in a request's body.
#[derive(Deserialize)]
#[serde(from = "String")]
struct Password(SecretString);

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(SecretString::from(text))
    }
}

/// `POST /auth/signup`: a session (with `?session=cookie` as a cookie), or 202 when an e-mail must be confirmed first.
pub async fn signup(auth: &Auth, request: Request, context: &Context) -> Result<Response, Problem> {
    let origin = Origin::of(&request);
    let address = origin.address.map(ClientAddress);
    let wish = Wish::of(auth, &request)?;
    let account: NewAccount = read(request, context).await?;
    check_address(&account.email)?;
    check_secret("/password", &account.password)?;
    attempts::count(context, &account.email, address).await?;
    let supabase = auth.supabase.auth();
    let outcome = supabase.signup(context, &account.email, &account.password.0, account.data.as_ref()).await;
    events::signed_up(&auth.recorder, origin, &account.email, &outcome, context);
    match outcome.map_err(|error| refused("signup", error))? {
        SignUp::Session(session) => wish.grant(&session, context).await,
        SignUp::ConfirmationPending { user } => answer(StatusCode::ACCEPTED, &json!({"user": user})),
    }
}

/// `POST /auth/login`: a session in Supabase's token shape, with `?session=cookie` as a cookie.
pub async fn login(auth: &Auth, request: Request, context: &Context) -> Result<Response, Problem> {
    let origin = Origin::of(&request);
    let address = origin.address.map(ClientAddress);
    let wish = Wish::of(auth, &request)?;
    let credentials: Credentials = read(request, context).await?;
    check_address(&credentials.email)?;
    check_secret("/password", &credentials.password)?;
    attempts::count(context, &credentials.email, address).await?;
    let supabase = auth.supabase.auth();
    let session = supabase.sign_in_with_password(context, &credentials.email, &credentials.password.0).await;
    events::signed_in(&auth.recorder, origin, &credentials.email, &session, context);
    wish.grant(&session.map_err(|error| refused("login", error))?, context).await
}

/// `POST /auth/refresh`: the next session.
pub async fn refresh(auth: &Auth, request: Request, context: &Context) -> Result<Response, Problem> {
    let token: RefreshToken = read(request, context).await?;
    check_secret("/refresh_token", &token.refresh_token)?;
    let session = auth.supabase.auth().refresh(context, &token.refresh_token.0).await;
    answer(StatusCode::OK, &session.map_err(|error| refused("refresh", error))?)
}

/// The request's body as a `T`.
pub async fn read<T: DeserializeOwned>(request: Request, context: &Context) -> Result<T, Problem> {
    let (parts, body) = request.into_parts();
    json_body::parse(&json_body::read(&parts.headers, body, LIMITS, &*context.clock).await?)
}

/// Whether an address may exist is for Supabase Auth to say; what can be none is refused here.
fn check_address(email: &str) -> Result<(), Problem> {
    let plausible = email.contains('@') && !email.chars().any(|c| c.is_control() || c.is_whitespace());
    if plausible && email.chars().count() <= MAX_ADDRESS {
        return Ok(());
    }
    let rule = format!("must be an e-mail address of at most {MAX_ADDRESS} characters");
    Err(Problem::new(kinds::INVALID_REQUEST).at("/email", rule))
}

/// A NUL character cannot be stored in Postgres, so no secret has one.
fn check_secret(pointer: &str, secret: &Password) -> Result<(), Problem> {
    let text = secret.0.expose_secret();
    if !text.is_empty() && !text.contains('\0') && text.len() <= MAX_SECRET {
        return Ok(());
    }
    let rule = format!("must have 1 to {MAX_SECRET} bytes and no NUL character");
    Err(Problem::new(kinds::INVALID_REQUEST).at(pointer, rule))
}

/// Notes the refusal, with its cause when it is ours or Supabase's.
fn refused(action: &'static str, error: AuthError) -> Problem {
    match &error {
        AuthError::Upstream(cause) => tracing::error!(action, %cause, "Supabase Auth gave no usable answer"),
        refusal => tracing::info!(action, reason = %refusal, "sign-in was refused"),
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_no_address_is_refused() {
        for email in ["a@example.com", "ü@exämple.com", "a+b@c"] {
            assert!(check_address(email).is_ok(), "{email}");
        }
        for email in ["", "a", "a @b.c", "a\u{0}@b.c", "a@b.c\n", &format!("{}@b.c", "x".repeat(320))] {
            assert!(check_address(email).is_err(), "{email:?}");
        }
    }

    #[test]
    fn a_secret_has_no_nul_character_and_an_end() {
        let check = |text: &str| check_secret("/password", &Password::from(text.to_owned()));
        assert!(check("correct horse").is_ok());
        for secret in ["", "a\u{0}b", &"x".repeat(1025)] {
            assert!(check(secret).is_err());
        }
    }
}
