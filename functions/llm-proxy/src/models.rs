//! `GET /v1/models`, `GET /v1/models/{id}`

use bytes::Bytes;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use percent_encoding::percent_decode_str;
use platform::Context;
use problem::{Problem, kinds};
use serde_json::{Value, json};

use crate::catalog::Model;
use crate::{Caller, LlmProxy};

/// The aliases that the caller can call, as OpenAI lists models.
pub(crate) async fn list(proxy: &LlmProxy, caller: &Caller, context: &Context) -> Result<platform::Response, Problem> {
    let models = proxy.catalog.models(context).await?;
    let rails = models.rails(&caller.rules, caller.payer.member.tier);
    let usable = models.values().filter(|model| rails.allows_model(&model.alias) && is_callable(proxy, model));
    let data: Vec<_> = usable.map(object).collect();
    Ok(json_response(json!({"object": "list", "data": data}).to_string().into()))
}

/// The one alias that `segment` of a path names; 404 if it is not in the caller's list.
pub(crate) async fn find(
    proxy: &LlmProxy,
    caller: &Caller,
    segment: &str,
    context: &Context,
) -> Result<platform::Response, Problem> {
    let models = proxy.catalog.models(context).await?;
    let rails = models.rails(&caller.rules, caller.payer.member.tier);
    let alias = percent_decode_str(segment).decode_utf8().unwrap_or_default();
    match models.get(&alias).filter(|model| rails.allows_model(&alias) && is_callable(proxy, model)) {
        Some(model) => Ok(json_response(object(model).to_string().into())),
        None => Err(not_found(&alias)),
    }
}

/// 404 for an alias that is not in the list.
pub(crate) fn not_found(alias: &str) -> Problem {
    refused(format!("There is no model `{}`; `GET /v1/models` lists all.", shown(alias)))
}

/// 404 for an alias that would be in the list if its price were known.
pub(crate) fn unpriced(alias: &str) -> Problem {
    refused(format!("The price of `{}` is not known, and without one it is not called here.", shown(alias)))
}

fn refused(detail: String) -> Problem {
    Problem::new(kinds::MODEL_NOT_FOUND).at("/model", detail)
}

fn shown(alias: &str) -> String {
    alias.chars().take(100).collect()
}

fn is_callable(proxy: &LlmProxy, model: &Model) -> bool {
    model.routes.iter().any(|route| proxy.config.provider_of(route).is_some())
}

fn object(model: &Model) -> Value {
    json!({"id": model.alias, "object": "model", "created": model.created, "owned_by": model.owned_by})
}

/// 200 with a JSON body that concerns only the caller.
pub(crate) fn json_response(body: Bytes) -> platform::Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
