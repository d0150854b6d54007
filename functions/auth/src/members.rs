use http::{Method, StatusCode};
use platform::{Request, Response};
use problem::{Problem, kinds};
use serde::Deserialize;
use serde_json::{Value, json};
use supabase::{ASSIGN_ROLE, CHANGE_MEMBER_ROLE, LIST_MEMBERS, REMOVE_MEMBER, UNASSIGN_ROLE};
use uuid::Uuid;

use crate::user::{User, id};
use crate::{answer, list, no_content, sign_in};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRole {
    role: String,
}

/// Answers a request to `/auth/orgs/{org}/members/<path…>`.
pub async fn handle(user: &User, org: Uuid, path: &[&str], request: Request) -> Result<Response, Problem> {
    match (path, request.method()) {
        ([], &Method::GET) => list(user.call(LIST_MEMBERS, &json!({"org_id": org}), &[]).await?, "members"),
        ([member], &Method::PATCH) => change(user, org, id(member)?, request).await,
        ([member], &Method::DELETE) => remove(user, org, id(member)?).await,
        ([member, "roles", role], &Method::PUT) => assign(user, org, id(member)?, id(role)?).await,
        ([member, "roles", role], &Method::DELETE) => unassign(user, org, id(member)?, id(role)?).await,
        _ => Err(kinds::NOT_FOUND.into()),
    }
}

/// Gives a member another built-in role.
async fn change(user: &User, org: Uuid, member: Uuid, request: Request) -> Result<Response, Problem> {
    let NewRole { role } = sign_in::read(request, user.context()).await?;
    let payload = json!({"org_id": org, "user_id": member, "role": role});
    let changed: Value = user.call(CHANGE_MEMBER_ROLE, &payload, &[("role", "/role")]).await?;
    answer(StatusCode::OK, &changed)
}

async fn remove(user: &User, org: Uuid, member: Uuid) -> Result<Response, Problem> {
    let _: Value = user.call(REMOVE_MEMBER, &json!({"org_id": org, "user_id": member}), &[]).await?;
    Ok(no_content())
}

/// Gives a member one more role besides that of the membership.
async fn assign(user: &User, org: Uuid, member: Uuid, role: Uuid) -> Result<Response, Problem> {
    let payload = json!({"org_id": org, "user_id": member, "role_id": role});
    let assigned: Value = user.call(ASSIGN_ROLE, &payload, &[]).await?;
    answer(StatusCode::OK, &assigned)
}

async fn unassign(user: &User, org: Uuid, member: Uuid, role: Uuid) -> Result<Response, Problem> {
    let payload = json!({"org_id": org, "user_id": member, "role_id": role});
    let _: Value = user.call(UNASSIGN_ROLE, &payload, &[]).await?;
    Ok(no_content())
}
