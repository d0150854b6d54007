use std::time::Duration;

use front_door::json;
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};
use platform::{Context, Response};
use serde_json::json;
use supabase::{Identity, READY, Supabase};

/// How long a dependency may take to be called ready.
const WITHIN: Duration = Duration::from_secs(2);

/// Whether the dependencies answer, each with its latency in milliseconds: 200, or 503 when one does not.
///
/// LLM providers are not asked: a question would cost money or need a credential that only completions may use.
pub(crate) async fn ready(supabase: &Supabase, context: &Context) -> Response {
    let begun = context.clock.now();
    let supabase = supabase.with_deadline(WITHIN);
    let answer = supabase.rpc::<serde_json::Value>(context, READY, &json!({}), Identity::Anonymous).await;
    let latency = context.clock.now().duration_since(begun).as_millis();
    let (status, verdict, database) = match answer {
        Ok(_) => (StatusCode::OK, "ok", "ok"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "unreachable"),
    };
    let body = json!({
        "status": verdict,
        "dependencies": {"supabase": {"status": database, "latency_ms": i64::try_from(latency).unwrap_or(i64::MAX)}},
    });
    let mut response = json(status, &body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
