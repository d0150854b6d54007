use http::{Method, StatusCode};
use platform::{Request, Response};
use problem::{Problem, kinds};
use serde::Deserialize;
use serde_json::{Value, json};
use supabase::{
    CREATE_ORGANIZATION, DELETE_ORGANIZATION, GET_ORGANIZATION, LEAVE_ORGANIZATION, LIST_ORGANIZATIONS,
    SWITCH_ORGANIZATION, TRANSFER_OWNERSHIP, UPDATE_ORGANIZATION,
};
use uuid::Uuid;

use crate::keys::{Nullable, given};
use crate::user::{User, id};
use crate::{answer, invitations, list, members, no_content, roles, sign_in, teams};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    name: String,
}

/// What is left out stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    name: Option<String>,
    /// Whether members need a second factor.
    requires_aal2: Option<bool>,
    /// For how many days prompts are kept; null for not at all.
    #[serde(default, deserialize_with = "given")]
    prompt_log_days: Option<Nullable<u16>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Successor {
    user_id: Uuid,
}

/// Answers a request to `/auth/orgs/<path…>`.
pub async fn handle(user: &User, path: &[&str], request: Request) -> Result<Response, Problem> {
    let [org, rest @ ..] = path else {
        return match *request.method() {
            Method::GET => list(user.call(LIST_ORGANIZATIONS, &json!({}), &[]).await?, "organizations"),
            Method::POST => create(user, request).await,
            _ => Err(kinds::NOT_FOUND.into()),
        };
    };
    let org = id(org)?;
    match (rest, request.method()) {
        ([], _) => one(user, org, request).await,
        (["switch"], &Method::POST) => switch(user, org).await,
        (["leave"], &Method::POST) => leave(user, org).await,
        (["transfer"], &Method::POST) => transfer(user, org, request).await,
        (["members", rest @ ..], _) => members::handle(user, org, rest, request).await,
        (["roles", rest @ ..], _) => roles::handle(user, org, rest, request).await,
        (["invitations", rest @ ..], _) => invitations::handle(user, org, rest, request).await,
        (["teams"], _) => teams::of_organization(user, org, request).await,
        _ => Err(kinds::NOT_FOUND.into()),
    }
}

async fn create(user: &User, request: Request) -> Result<Response, Problem> {
    let Name { name } = sign_in::read(request, user.context()).await?;
    let made: Value = user.call(CREATE_ORGANIZATION, &json!({"name": name}), &[("name", "/name")]).await?;
    answer(StatusCode::CREATED, &made)
}

async fn one(user: &User, org: Uuid, request: Request) -> Result<Response, Problem> {
    let payload = json!({"org_id": org});
    match *request.method() {
        Method::GET => {
            let found: Value = user.call(GET_ORGANIZATION, &payload, &[]).await?;
            answer(StatusCode::OK, &found)
        }
        Method::PATCH => {
            let Changes { name, requires_aal2, prompt_log_days } = sign_in::read(request, user.context()).await?;
            let mut payload = json!({"org_id": org, "name": name, "requires_aal2": requires_aal2});
            if let (Some(members), Some(days)) = (payload.as_object_mut(), prompt_log_days) {
                members.insert("prompt_log_days".into(), json!(days.0));
            }
            let places = &[("name", "/name"), ("prompt_log_days", "/prompt_log_days")];
            let changed: Value = user.call(UPDATE_ORGANIZATION, &payload, places).await?;
            answer(StatusCode::OK, &changed)
        }
        Method::DELETE => {
            let _: Value = user.call(DELETE_ORGANIZATION, &payload, &[]).await?;
            Ok(no_content())
        }
        _ => Err(kinds::NOT_FOUND.into()),
    }
}

/// Chooses the organization of the user's next access tokens; the present one stays as it is.
async fn switch(user: &User, org: Uuid) -> Result<Response, Problem> {
    let switched: Value = user.call(SWITCH_ORGANIZATION, &json!({"org_id": org}), &[]).await?;
    answer(StatusCode::OK, &switched)
}

async fn leave(user: &User, org: Uuid) -> Result<Response, Problem> {
    let _: Value = user.call(LEAVE_ORGANIZATION, &json!({"org_id": org}), &[]).await?;
    Ok(no_content())
}

async fn transfer(user: &User, org: Uuid, request: Request) -> Result<Response, Problem> {
    let Successor { user_id } = sign_in::read(request, user.context()).await?;
    let payload = json!({"org_id": org, "user_id": user_id});
    let transferred: Value = user.call(TRANSFER_OWNERSHIP, &payload, &[("user_id", "/user_id")]).await?;
    answer(StatusCode::OK, &transferred)
}
