use std::time::Duration;

use http::header::{CACHE_CONTROL, HeaderValue};
use platform::{Context, Response};
use serde_json::json;
use supabase::{Identity, READY};

use crate::functions::Functions;
use crate::json;

/// How long a dependency may take to be called ready.
const WITHIN: Duration = Duration::from_secs(2);

/// Whether the dependencies answer, each with its latency in milliseconds: 200, or 503 when one does not.
///
/// LLM providers are not asked: a question would cost money or need a credential that only completions may use.
pub async fn ready(functions: &Functions, context: &Context) -> Response {
    let begun = context.clock.now();
    let supabase = functions.supabase.with_deadline(WITHIN);
    let answer = supabase.rpc::<serde_json::Value>(context, READY, &json!({}), Identity::Anonymous).await;
    let latency = context.clock.now().duration_since(begun).as_millis();
    let status = if answer.is_ok() { "ok" } else { "unreachable" };
    let ready = status == "ok";
    let body = json!({
        "status": if ready { "ok" } else { "unavailable" },
        "dependencies": {"supabase": {"status": status, "latency_ms": i64::try_from(latency).unwrap_or(i64::MAX)}},
    });
    let mut response = json(if ready { 200 } else { 503 }, &body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
