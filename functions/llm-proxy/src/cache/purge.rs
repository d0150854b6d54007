//! `DELETE /v1/cache`

use http::Response;
use platform::{Body, Context};
use problem::Problem;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use supabase::{Identity, PURGE_LLM_CACHE};
use uuid::Uuid;

use crate::LlmProxy;

#[derive(Deserialize)]
struct Purged {
    generation: u64,
}

/// Makes all cached answers of the caller's organization, or of a user who acts in none, worthless. As the user: the
/// database knows who may.
pub(crate) async fn purge(
    proxy: &LlmProxy,
    tenant: Uuid,
    token: &SecretString,
    context: &Context,
) -> Result<platform::Response, Problem> {
    let purged: Purged = proxy.supabase.rpc(context, PURGE_LLM_CACHE, &json!({}), Identity::User(token)).await?;
    proxy.cache.purged(tenant, purged.generation, context);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = http::StatusCode::NO_CONTENT;
    Ok(response)
}
