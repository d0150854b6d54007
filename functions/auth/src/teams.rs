use http::{Method, StatusCode};
use platform::{Request, Response};
use problem::{Problem, kinds};
use serde::Deserialize;
use serde_json::{Value, json};
use supabase::{ADD_TEAM_MEMBER, CREATE_TEAM, DELETE_TEAM, LIST_TEAMS, REMOVE_TEAM_MEMBER, RENAME_TEAM};
use uuid::Uuid;

use crate::user::{Places, User, id};
use crate::{answer, list, no_content, sign_in};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    name: String,
}

const PLACES: Places = &[("name", "/name")];

/// Answers a request to `/auth/orgs/{org}/teams`.
pub async fn of_organization(user: &User, org: Uuid, request: Request) -> Result<Response, Problem> {
    match *request.method() {
        Method::GET => list(user.call(LIST_TEAMS, &json!({"org_id": org}), &[]).await?, "teams"),
        Method::POST => {
            let Name { name } = sign_in::read(request, user.context()).await?;
            let made: Value = user.call(CREATE_TEAM, &json!({"org_id": org, "name": name}), PLACES).await?;
            answer(StatusCode::CREATED, &made)
        }
        _ => Err(kinds::NOT_FOUND.into()),
    }
}

/// Answers a request to `/auth/teams/<path…>`.
pub async fn handle(user: &User, path: &[&str], request: Request) -> Result<Response, Problem> {
    match (path, request.method()) {
        ([team], &Method::PATCH) => rename(user, id(team)?, request).await,
        ([team], &Method::DELETE) => {
            let _: Value = user.call(DELETE_TEAM, &json!({"id": id(team)?}), &[]).await?;
            Ok(no_content())
        }
        ([team, "members", member], &Method::PUT) => {
            let payload = json!({"id": id(team)?, "user_id": id(member)?});
            let added: Value = user.call(ADD_TEAM_MEMBER, &payload, &[]).await?;
            answer(StatusCode::OK, &added)
        }
        ([team, "members", member], &Method::DELETE) => {
            let payload = json!({"id": id(team)?, "user_id": id(member)?});
            let _: Value = user.call(REMOVE_TEAM_MEMBER, &payload, &[]).await?;
            Ok(no_content())
        }
        _ => Err(kinds::NOT_FOUND.into()),
    }
}

async fn rename(user: &User, team: Uuid, request: Request) -> Result<Response, Problem> {
    let Name { name } = sign_in::read(request, user.context()).await?;
    let renamed: Value = user.call(RENAME_TEAM, &json!({"id": team, "name": name}), PLACES).await?;
    answer(StatusCode::OK, &renamed)
}
