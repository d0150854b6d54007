//! `POST /v1/chat/completions`

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use json_body::Limits;
use platform::{Body, Context, Request, SendError, timeout};
use problem::{Problem, kinds};
use telemetry::{RequestId, TRACEPARENT, TraceContext, X_REQUEST_ID};

use crate::call::{Call, Payer};
use crate::catalog::{Models, Route};
use crate::chunk::Reading;
use crate::completion_request::CompletionRequest;
use crate::config::{Config, Provider, Timeouts};
use crate::relay::Relay;
use crate::usage_event::Status;
use crate::{LlmProxy, answer_headers, refusal};

const JSON: &str = "application/json";
const EVENT_STREAM: &str = "text/event-stream";
const BODY_TIME: Duration = Duration::from_secs(30);
const LARGEST_ANSWER: usize = 32 * 1024 * 1024;
const LARGEST_ERROR: usize = 64 * 1024;
const ERROR_BODY_TIME: Duration = Duration::from_secs(5);

/// Answers with what the first configured route of the alias answers.
pub(crate) async fn create(
    proxy: &LlmProxy,
    request: Request,
    payer: Payer,
    context: &Context,
) -> Result<platform::Response, Problem> {
    let (parts, body) = request.into_parts();
    let limits = Limits { bytes: proxy.config.max_body_bytes, time: BODY_TIME };
    let body = json_body::read(&parts.headers, body, limits, &*context.clock).await?;
    let completion = CompletionRequest::parse(body)?;
    let models = proxy.catalog.models(context).await?;
    let (provider, route) = choose(&proxy.config, &models, &completion.model)?;
    let call = Call::begin(proxy, payer, &completion, provider.name, route, context).await?;
    let mut outbound = match outbound(&completion, provider, route, call.request_id()) {
        Ok(outbound) => outbound,
        Err(problem) => return Err(fail(call, Status::UpstreamError, problem)),
    };
    if let Some(trace) = parts.extensions.get::<TraceContext>() {
        outbound.headers_mut().insert(TRACEPARENT, trace.child(&*context.entropy).header_value());
    }
    let limits = proxy.config.timeouts;

    let head_limit = if completion.stream { limits.headers } else { limits.answer };
    let response = match timeout(&*context.clock, head_limit, context.http.send(outbound)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            tracing::warn!(%error, provider = provider.name, "the provider cannot be reached");
            return Err(fail(call, Status::UpstreamError, unreachable(&error)));
        }
        Err(_) => return Err(fail(call, Status::Timeout, late())),
    };
    if response.status() != StatusCode::OK {
        return refuse(call, response, provider, context).await;
    }
    let expected = if completion.stream { EVENT_STREAM } else { JSON };
    if !has_media_type(response.headers(), expected) {
        return Err(fail(call, Status::UpstreamError, unreadable()));
    }
    if completion.stream {
        stream(call, response, !completion.wants_usage, limits, context).await
    } else {
        whole(call, response, limits.answer, context).await
    }
}

/// The first route of the alias whose provider is configured.
fn choose<'a>(config: &'a Config, models: &'a Models, alias: &str) -> Result<(&'a Provider, &'a Route), Problem> {
    let routes = models.get(alias).into_iter().flat_map(|model| &model.routes);
    routes.into_iter().find_map(|route| Some((config.provider(&route.provider)?, route))).ok_or_else(|| {
        let shown: String = alias.chars().take(100).collect();
        Problem::new(kinds::MODEL_NOT_FOUND)
            .at("/model", format!("There is no model `{shown}`; `GET /v1/models` lists all."))
    })
}

/// Nothing of the caller's headers goes to a provider.
fn outbound(
    completion: &CompletionRequest,
    provider: &Provider,
    route: &Route,
    request_id: &RequestId,
) -> Result<Request, Problem> {
    let accept = if completion.stream { EVENT_STREAM } else { JSON };
    let mut request = Request::new(Body::from(completion.body_for(&route.model)));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = provider.completions.clone();
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(X_REQUEST_ID, request_id.header_value());
    if provider.key.is_some() {
        headers.insert(AUTHORIZATION, provider.authorization().ok_or(kinds::MISCONFIGURED)?);
    }
    Ok(request)
}

async fn stream(
    call: Call,
    response: platform::Response,
    hides_usage: bool,
    limits: Timeouts,
    context: &Context,
) -> Result<platform::Response, Problem> {
    let (parts, body) = response.into_parts();
    let mut relay = Relay::new(body.into_stream(), call, hides_usage, limits, Arc::clone(&context.clock));
    if let Err(ending) = relay.begin().await {
        // Nothing has reached the caller, so nothing was truncated.
        return Err(match ending.status() {
            Status::Timeout => fail(relay.into_call(), Status::Timeout, late()),
            _ => fail(relay.into_call(), Status::UpstreamError, ending.problem(&limits).unwrap_or_else(unreadable)),
        });
    }
    let mut headers = HeaderMap::new();
    answer_headers::copy(&parts.headers, &mut headers);
    answer_headers::describe(relay.call(), &mut headers);
    headers.insert(
        CONTENT_TYPE,
        parts.headers.get(CONTENT_TYPE).cloned().unwrap_or(HeaderValue::from_static(EVENT_STREAM)),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    Ok(respond(headers, Body::from_stream(relay)))
}

async fn whole(
    mut call: Call,
    response: platform::Response,
    limit: Duration,
    context: &Context,
) -> Result<platform::Response, Problem> {
    let (parts, body) = response.into_parts();
    let spent = context.clock.now().duration_since(call.started_at());
    let bytes = match timeout(&*context.clock, limit.saturating_sub(spent), body.read(LARGEST_ANSWER)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => {
            tracing::warn!(%error, provider = call.provider(), "the provider's answer cannot be read");
            return Err(fail(call, Status::UpstreamError, unreadable()));
        }
        Err(_) => return Err(fail(call, Status::Timeout, late())),
    };
    if !observe(&mut call, &bytes, context) {
        return Err(fail(call, Status::UpstreamError, unreadable()));
    }
    call.http_status = Some(200);
    let mut headers = HeaderMap::new();
    answer_headers::copy(&parts.headers, &mut headers);
    answer_headers::describe(&call, &mut headers);
    if let Some(cost) = call.dollars().and_then(|dollars| HeaderValue::try_from(dollars).ok()) {
        headers.insert("x-qlp-cost-usd", cost);
    }
    headers.insert(CONTENT_TYPE, parts.headers.get(CONTENT_TYPE).cloned().unwrap_or(HeaderValue::from_static(JSON)));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    call.settle(Status::Success);
    Ok(respond(headers, bytes.into()))
}

/// Takes note of a whole answer. `false` if it is none.
fn observe(call: &mut Call, bytes: &Bytes, context: &Context) -> bool {
    match Reading::of(bytes) {
        Reading::Chunk(answer) if answer.error().is_none() && answer.choices.is_some() => {
            call.seen.see(&answer, context.clock.now());
            true
        }
        _ => false,
    }
}

async fn refuse(
    mut call: Call,
    response: platform::Response,
    provider: &Provider,
    context: &Context,
) -> Result<platform::Response, Problem> {
    let (parts, body) = response.into_parts();
    let body = timeout(&*context.clock, ERROR_BODY_TIME, body.read(LARGEST_ERROR)).await;
    let body = body.ok().and_then(Result::ok).unwrap_or_default();
    tracing::warn!(provider = provider.name, status = parts.status.as_u16(), "the provider refused a call");
    match refusal::answer(parts.status, &parts.headers, &body, provider) {
        Ok(mut answer) => {
            answer_headers::describe(&call, answer.headers_mut());
            call.http_status = Some(answer.status().as_u16());
            call.settle(Status::UpstreamError);
            Ok(answer)
        }
        Err(problem) => Err(fail(call, Status::UpstreamError, problem)),
    }
}

fn fail(mut call: Call, status: Status, problem: Problem) -> Problem {
    call.http_status = Some(problem.kind().status);
    call.settle(status);
    let mut fields = HeaderMap::new();
    limits::describe(&call.standings, &mut fields);
    let fields = fields.iter().map(|(name, value)| (name.clone(), value.to_str().unwrap_or_default()));
    fields.fold(problem, |problem, (name, value)| problem.header(name, value))
}

fn respond(headers: HeaderMap, body: Body) -> platform::Response {
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    response
}

fn has_media_type(headers: &HeaderMap, expected: &str) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(expected)
}

fn unreachable(error: &SendError) -> Problem {
    if error.is_temporary() {
        Problem::new(kinds::UPSTREAM_UNAVAILABLE).detail("The provider cannot be reached at present.")
    } else {
        Problem::new(kinds::UPSTREAM_FAILED).detail("The provider of this model cannot be used at present.")
    }
}

fn late() -> Problem {
    Problem::new(kinds::UPSTREAM_TIMEOUT).detail("The provider did not answer in time.")
}

fn unreadable() -> Problem {
    Problem::new(kinds::UPSTREAM_FAILED).detail("The provider's answer cannot be read.")
}
