//! `/auth/v1`, as Supabase Auth answers it: sign-up, tokens, users and signing keys.

mod discovery;
mod failure;
mod grant;
mod session;
mod sign_up;
mod user;

use std::sync::Arc;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{GenericClient, Row};

use crate::access_token::AccessToken;
use crate::answer::{self, Request, Response};
use crate::gateway::{Caller, Refusal};
use crate::signing::Flaw;
use crate::surface::Surface;

use failure::Failure;

pub(crate) use session::has_token_hook;

/// Answers `/auth/v1/<path>`.
pub(crate) async fn handle(request: &Request, path: &[&str], surface: &Arc<Surface>) -> Response {
    if let [".well-known", document] = path {
        return discovery::document(document, surface);
    }
    let token = match Caller::of(request, surface) {
        Err(Refusal::Key(response)) => return *response,
        Err(Refusal::Token(flaw)) => Err(flaw),
        Ok(Caller::User(token)) => Ok(Some(token)),
        Ok(_) => Ok(None),
    };
    match answer(request, path, token, surface).await {
        Ok(response) => response,
        Err(failure) => failure.into_response(answer::header(request, failure::API_VERSION)),
    }
}

async fn answer(
    request: &Request,
    path: &[&str],
    token: Result<Option<Arc<AccessToken>>, Flaw>,
    surface: &Surface,
) -> Result<Response, Failure> {
    let ok = |body: Value| Ok(answer::json(StatusCode::OK, &body));
    match (request.method(), path) {
        (&Method::POST, ["signup"]) => ok(sign_up::sign_up(request, surface).await?),
        (&Method::POST, ["token"]) => ok(grant::token(request, surface).await?),
        (&Method::GET, ["user"]) => ok(user::current(&*required(token)?, surface).await?),
        (&Method::POST, ["logout"]) => {
            session::end(request, &*required(token)?, surface).await?;
            Ok(answer::empty(StatusCode::NO_CONTENT))
        }
        (&Method::GET, ["health"]) => ok(json!({
            "version": "local", "name": "GoTrue", "description": "GoTrue is a user registration and authentication API",
        })),
        (&Method::GET, ["settings"]) => ok(discovery::settings()),
        (_, ["signup" | "token" | "user" | "logout" | "health" | "settings"]) => Err(Failure::method_not_allowed()),
        _ => Err(Failure::not_found()),
    }
}

/// The caller's token, where an endpoint is for users only.
fn required(token: Result<Option<Arc<AccessToken>>, Flaw>) -> Result<Arc<AccessToken>, Failure> {
    token.map_err(Failure::token)?.ok_or_else(Failure::no_token)
}

/// The body of a request, as JSON.
fn body<T: for<'de> Deserialize<'de>>(request: &Request) -> Result<T, Failure> {
    serde_json::from_slice(request.body()).map_err(|error| Failure::bad_json(&error))
}

/// What the session is remembered by: the caller's program.
fn user_agent(request: &Request) -> Option<&str> {
    answer::header(request, "user-agent")
}

/// The value of a parameter of the query string.
fn parameter(request: &Request, name: &str) -> Option<String> {
    answer::query(request).into_iter().find(|(found, _)| found == name).map(|(_, value)| value)
}

/// Runs a statement whose parameters are all text: one round trip, whoever asks.
async fn query(
    client: &(impl GenericClient + Sync),
    sql: &str,
    values: &[&str],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let parameters: Vec<_> = values.iter().map(|value| (value as &(dyn ToSql + Sync), Type::TEXT)).collect();
    client.query_typed(sql, &parameters).await
}
