//! A question to a model, at whatever endpoint.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName};
use json_body::Limits;
use platform::{Context, Request};
use problem::Problem;
use telemetry::TraceContext;

use crate::attempt::Question;
use crate::cache::{self, Entry, Place, Recording, Use};
use crate::call::Call;
use crate::endpoint::Endpoint;
use crate::failover::Failover;
use crate::model_request::ModelRequest;
use crate::{Caller, LlmProxy, routing};

const BODY_TIME: Duration = Duration::from_secs(30);
/// The official clients count their own retries; each spares us one.
const RETRY_COUNT: &str = "x-stainless-retry-count";
const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");
const ANTHROPIC_BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// Answers with what the first route answers that does, within one deadline.
pub(crate) async fn create(
    proxy: &LlmProxy,
    endpoint: Endpoint,
    request: Request,
    Caller { payer, rules, .. }: Caller,
    context: &Context,
) -> Result<platform::Response, Problem> {
    let (parts, body) = request.into_parts();
    let mode = cache::mode(&parts.headers, rules.cache)?;
    let limits = Limits { bytes: proxy.config.max_body_bytes, time: BODY_TIME };
    let body = json_body::read(&parts.headers, body, limits, &*context.clock).await?;
    let mut request = ModelRequest::parse(endpoint, body)?;
    let models = proxy.catalog.models(context).await?;
    models.rails(&rules, payer.member.tier).admit(&mut request)?;
    let ways = routing::ways(&proxy.config, &models, &request, context)?;
    let place = match mode {
        Some(mode) => proxy.cache.place(mode, payer.member.tenant(), &request, context).await,
        None => None,
    };
    if let Some(entry) = find(place.as_ref(), context).await
        && let Some(answer) = cache::answer(proxy, &payer, &request, &entry, context).await
    {
        return answer;
    }
    let mut call = Call::begin(proxy, payer, &request, &ways, context).await?;
    call.cache = mode.map(|_| if place.is_some() { Use::Miss } else { Use::Off });
    call.recording = place.and_then(|place| Recording::begin(place, &request, context));
    let limits = proxy.config.timeouts;
    let (headers, trace) = (forwarded(endpoint, &parts.headers), parts.extensions.get::<TraceContext>());
    let question = Question { request: &request, headers, trace, limits };
    Failover::new(proxy, &question, &ways, retries_of(&parts.headers), context).answer(call).await
}

async fn find(place: Option<&Place>, context: &Context) -> Option<Entry> {
    place?.find(context).await
}

/// Anthropic's clients choose the version and the features of its API by header.
fn forwarded(endpoint: Endpoint, headers: &HeaderMap) -> HeaderMap {
    let names: &[HeaderName] = if endpoint == Endpoint::Messages { &[ANTHROPIC_VERSION, ANTHROPIC_BETA] } else { &[] };
    let value = |name: &HeaderName| Some((name.clone(), headers.get(name)?.clone()));
    names.iter().filter_map(value).collect()
}

fn retries_of(headers: &HeaderMap) -> u32 {
    let count = headers.get(RETRY_COUNT).and_then(|count| count.to_str().ok());
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}
