//! `GET /v1/models`

use bytes::Bytes;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use platform::Context;
use problem::Problem;
use serde_json::json;

use crate::{Caller, LlmProxy};

/// The aliases that the caller can call, as OpenAI lists models.
pub(crate) async fn list(proxy: &LlmProxy, caller: &Caller, context: &Context) -> Result<platform::Response, Problem> {
    let models = proxy.catalog.models(context).await?;
    let rails = models.rails(&caller.rules, caller.payer.member.tier);
    let callable = models
        .values()
        .filter(|model| rails.allows_model(&model.alias))
        .filter(|model| model.routes.iter().any(|route| proxy.config.provider(&route.provider).is_some()));
    let data: Vec<_> = callable
        .map(
            |model| json!({"id": model.alias, "object": "model", "created": model.created, "owned_by": model.owned_by}),
        )
        .collect();
    Ok(json_response(json!({"object": "list", "data": data}).to_string().into()))
}

/// 200 with a JSON body that concerns only the caller.
pub(crate) fn json_response(body: Bytes) -> platform::Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
