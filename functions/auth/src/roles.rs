use http::{Method, StatusCode};
use platform::{Request, Response};
use problem::{Problem, kinds};
use serde::Deserialize;
use serde_json::{Value, json};
use supabase::{CREATE_ROLE, DELETE_ROLE, LIST_ROLES};
use uuid::Uuid;

use crate::user::{User, id};
use crate::{answer, list, no_content, sign_in};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRole {
    name: String,
    /// Each is `resource:action`, and one that the user has.
    permissions: Vec<String>,
}

/// Answers a request to `/auth/orgs/{org}/roles/<path…>`.
pub async fn handle(user: &User, org: Uuid, path: &[&str], request: Request) -> Result<Response, Problem> {
    match (path, request.method()) {
        ([], &Method::GET) => list(user.call(LIST_ROLES, &json!({"org_id": org}), &[]).await?, "roles"),
        ([], &Method::POST) => create(user, org, request).await,
        ([role], &Method::DELETE) => {
            let _: Value = user.call(DELETE_ROLE, &json!({"org_id": org, "id": id(role)?}), &[]).await?;
            Ok(no_content())
        }
        _ => Err(kinds::NOT_FOUND.into()),
    }
}

async fn create(user: &User, org: Uuid, request: Request) -> Result<Response, Problem> {
    let NewRole { name, permissions } = sign_in::read(request, user.context()).await?;
    let payload = json!({"org_id": org, "name": name, "permissions": permissions});
    let places = &[("name", "/name"), ("permissions", "/permissions")];
    let made: Value = user.call(CREATE_ROLE, &payload, places).await?;
    answer(StatusCode::CREATED, &made)
}
