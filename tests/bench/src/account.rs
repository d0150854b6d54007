//! The stack's user, and as many access tokens of theirs as are needed.

use std::collections::HashSet;

use bytes::Bytes;
use http::{HeaderValue, Method, Uri, header};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{Call, Client};
use crate::target::{Kind, Target};

/// Sessions whose tokens are refreshed in turn.
const SESSIONS: usize = 100;

/// A user who can sign in.
pub struct Account {
    /// Supabase, called with the key that browsers may hold.
    supabase: Target,
    user: User,
}

/// The user in `.local/stack.json`.
#[derive(Deserialize)]
pub struct User {
    email: String,
    password: String,
    pub access_token: String,
    api_key: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    access_token: String,
    refresh_token: String,
}

impl Account {
    /// The user of the project at `url`.
    pub fn new(url: &str, publishable_key: &str, user: User) -> Result<Self, String> {
        let mut supabase = Target::new("supabase", Kind::Reference, url, "none", None)?;
        supabase.headers.remove(header::AUTHORIZATION);
        let key = HeaderValue::try_from(publishable_key).map_err(|_| "the publishable key is not a header value")?;
        supabase.headers.insert("apikey", key);
        Ok(Self { supabase, user })
    }

    /// The API key, as it is sent.
    pub fn api_key(&self) -> Result<HeaderValue, String> {
        bearer(self.user.api_key.as_deref().ok_or("the stack has no API key")?)
    }

    /// `count` different access tokens, as they are sent. Tokens of a session differ in the second of their making, so
    /// there are many sessions.
    pub async fn distinct_tokens(&self, count: usize) -> Result<Vec<HeaderValue>, String> {
        let mut client = Client::connect(&self.supabase).await?;
        let password = json!({ "email": self.user.email, "password": self.user.password });
        let (mut sessions, mut seen, mut tokens) = (Vec::new(), HashSet::new(), Vec::new());
        for _ in 0..SESSIONS {
            sessions.push(self.grant(&mut client, "password", &password).await?);
        }
        while tokens.len() < count {
            for session in &mut sessions {
                let refresh = json!({ "refresh_token": session.refresh_token });
                *session = self.grant(&mut client, "refresh_token", &refresh).await?;
                if seen.insert(session.access_token.clone()) {
                    tokens.push(bearer(&session.access_token)?);
                }
            }
        }
        tokens.truncate(count);
        Ok(tokens)
    }

    async fn grant(&self, client: &mut Client, kind: &str, body: &Value) -> Result<Tokens, String> {
        let uri: Uri = format!("/auth/v1/token?grant_type={kind}").parse().map_err(|_| "no URI")?;
        let call = Call { method: Method::POST, uri, body: Bytes::from(body.to_string()) };
        let response = client.open(&self.supabase, &call).await?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        serde_json::from_slice(&body).map_err(|_| format!("a token by {kind}: Supabase answered {status}"))
    }
}

fn bearer(token: &str) -> Result<HeaderValue, String> {
    HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| "the credential is not a header value".to_owned())
}
