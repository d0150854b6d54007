use http::StatusCode;
use platform::{ClientAddress, Context, Request, Response};
use problem::Problem;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use supabase::{AuthError, SignUp, Supabase};

use crate::{LIMITS, answer, attempts};

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

/// `POST /auth/signup`: a session, or 202 when an e-mail must be confirmed first.
pub async fn signup(supabase: &Supabase, request: Request, context: &Context) -> Result<Response, Problem> {
    let address = request.extensions().get::<ClientAddress>().copied();
    let account: NewAccount = read(request, context).await?;
    attempts::count(context, &account.email, address).await?;
    let outcome = supabase.auth().signup(context, &account.email, &account.password.0, account.data.as_ref()).await;
    match outcome.map_err(|error| refused("signup", error))? {
        SignUp::Session(session) => answer(StatusCode::OK, &session),
        SignUp::ConfirmationPending { user } => answer(StatusCode::ACCEPTED, &json!({"user": user})),
    }
}

/// `POST /auth/login`: a session in Supabase's token shape.
pub async fn login(supabase: &Supabase, request: Request, context: &Context) -> Result<Response, Problem> {
    let address = request.extensions().get::<ClientAddress>().copied();
    let credentials: Credentials = read(request, context).await?;
    attempts::count(context, &credentials.email, address).await?;
    let session = supabase.auth().sign_in_with_password(context, &credentials.email, &credentials.password.0).await;
    answer(StatusCode::OK, &session.map_err(|error| refused("login", error))?)
}

/// `POST /auth/refresh`: the next session.
pub async fn refresh(supabase: &Supabase, request: Request, context: &Context) -> Result<Response, Problem> {
    let token: RefreshToken = read(request, context).await?;
    let session = supabase.auth().refresh(context, &token.refresh_token.0).await;
    answer(StatusCode::OK, &session.map_err(|error| refused("refresh", error))?)
}

/// The request's body as a `T`.
pub async fn read<T: DeserializeOwned>(request: Request, context: &Context) -> Result<T, Problem> {
    let (parts, body) = request.into_parts();
    json_body::parse(&json_body::read(&parts.headers, body, LIMITS, &*context.clock).await?)
}

/// Notes the refusal, with its cause when it is ours or Supabase's.
fn refused(action: &'static str, error: AuthError) -> Problem {
    match &error {
        AuthError::Upstream(cause) => tracing::error!(action, %cause, "Supabase Auth gave no usable answer"),
        refusal => tracing::info!(action, reason = %refusal, "sign-in was refused"),
    }
    error.into()
}
