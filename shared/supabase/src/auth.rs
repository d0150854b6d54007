use bytes::Bytes;
use http::Method;
use platform::Context;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::client::{Answer, Call, json, read};
use crate::{AuthError, Error, Identity, Session, SignUp, Supabase};

/// A project's Auth (`/auth/v1`). No call is ever retried: a refresh token works once.
#[derive(Debug, Clone, Copy)]
pub struct Auth<'a>(pub(crate) &'a Supabase);

/// Which of the user's sessions end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogoutScope {
    /// All.
    Global,
    /// This one.
    Local,
    /// All but this one.
    Others,
}

#[derive(Serialize)]
struct PasswordGrant<'a> {
    email: &'a str,
    password: &'a str,
    /// Becomes the user's own `user_metadata`.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Map<String, Value>>,
}

#[derive(Serialize)]
struct RefreshGrant<'a> {
    refresh_token: &'a str,
}

impl Auth<'_> {
    /// Makes an account. `data` becomes `user_metadata`.
    pub async fn signup(
        &self,
        context: &Context,
        email: &str,
        password: &SecretString,
        data: Option<&Map<String, Value>>,
    ) -> Result<SignUp, AuthError> {
        let body = json(&PasswordGrant { email, password: password.expose_secret(), data })?;
        let answer = self.post(context, "/auth/v1/signup", body).await?;
        let value: Value = read(&answer)?;
        if value.get("access_token").is_none() {
            return Ok(SignUp::ConfirmationPending { user: value });
        }
        Ok(SignUp::Session(Box::new(read(&answer)?)))
    }

    /// Signs in.
    pub async fn sign_in_with_password(
        &self,
        context: &Context,
        email: &str,
        password: &SecretString,
    ) -> Result<Session, AuthError> {
        let body = json(&PasswordGrant { email, password: password.expose_secret(), data: None })?;
        let answer = self.post(context, "/auth/v1/token?grant_type=password", body).await?;
        Ok(read(&answer)?)
    }

    /// Exchanges a refresh token for the next session.
    pub async fn refresh(&self, context: &Context, refresh_token: &SecretString) -> Result<Session, AuthError> {
        let body = json(&RefreshGrant { refresh_token: refresh_token.expose_secret() })?;
        let answer = self.post(context, "/auth/v1/token?grant_type=refresh_token", body).await;
        let answer = answer.map_err(|error| match error {
            AuthError::InvalidCredentials => AuthError::RefreshRefused { code: "invalid_grant".into() },
            AuthError::TokenRefused { code } => AuthError::RefreshRefused { code },
            other => other,
        })?;
        Ok(read(&answer)?)
    }

    /// The user as Auth knows them now, which also proves that the session has not been ended.
    pub async fn user(&self, context: &Context, access_token: &SecretString) -> Result<Value, AuthError> {
        let answer =
            self.call(context, Method::GET, "/auth/v1/user", Bytes::new(), Identity::User(access_token)).await?;
        Ok(read(&answer)?)
    }

    /// Ends sessions. Access tokens remain valid until their `exp`.
    pub async fn logout(
        &self,
        context: &Context,
        access_token: &SecretString,
        scope: LogoutScope,
    ) -> Result<(), AuthError> {
        let path = match scope {
            LogoutScope::Global => "/auth/v1/logout?scope=global",
            LogoutScope::Local => "/auth/v1/logout?scope=local",
            LogoutScope::Others => "/auth/v1/logout?scope=others",
        };
        self.call(context, Method::POST, path, Bytes::new(), Identity::User(access_token)).await.map(drop)
    }

    async fn post(&self, context: &Context, path: &str, body: Bytes) -> Result<Bytes, AuthError> {
        self.call(context, Method::POST, path, body, Identity::Anonymous).await
    }

    async fn call(
        &self,
        context: &Context,
        method: Method,
        path: &str,
        body: Bytes,
        identity: Identity<'_>,
    ) -> Result<Bytes, AuthError> {
        let call = Call { method, path: path.to_owned(), profile: None, body, identity };
        let answer = self.0.send(context, &call).await?;
        if answer.status.is_success() { Ok(answer.body) } else { Err(refusal(&answer, &identity)) }
    }
}

fn refusal(answer: &Answer, identity: &Identity<'_>) -> AuthError {
    let otherwise = Error::of_answer(answer.status, &answer.headers, &answer.body, identity);
    match (AuthError::of_answer(answer, otherwise), identity) {
        (AuthError::Upstream(Error::CredentialRefused { code }), Identity::User(_)) => AuthError::TokenRefused { code },
        (error, _) => error,
    }
}
