//! One try to have a call answered by one route.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};
use platform::{Body, Context, Request, SendError, timeout};
use problem::{Problem, kinds};
use telemetry::{TRACEPARENT, TraceContext, X_REQUEST_ID};

use crate::breakers::Fault;
use crate::call::Call;
use crate::config::Timeouts;
use crate::ending::Ending;
use crate::model_request::ModelRequest;
use crate::providers::{Protocol, Refusal};
use crate::relay::Relay;
use crate::routing::Way;
use crate::usage_event::Status;
use crate::{answer_headers, refusal};

pub(crate) const JSON: &str = "application/json";
pub(crate) const EVENT_STREAM: &str = "text/event-stream";
const LARGEST_ANSWER: usize = 32 * 1024 * 1024;
const LARGEST_ERROR: usize = 64 * 1024;
const ERROR_BODY_TIME: Duration = Duration::from_secs(5);

/// What is asked, on whatever route.
pub(crate) struct Question<'a> {
    pub(crate) request: &'a ModelRequest,
    /// The caller's headers that go on to the provider.
    pub(crate) headers: HeaderMap,
    pub(crate) trace: Option<&'a TraceContext>,
    pub(crate) limits: Timeouts,
}

/// A try of which nothing has reached the caller.
pub(crate) struct Failure {
    /// What the caller is told if no other try follows.
    pub(crate) answer: Result<platform::Response, Problem>,
    /// For the accounts.
    pub(crate) status: Status,
    pub(crate) fault: Fault,
    pub(crate) next: Next,
}

/// What may help after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing: the request itself is wrong.
    Nothing,
    /// Another route.
    Route,
    /// The same route, not before this much time if the provider has said so; or another one.
    Again(Option<Duration>),
}

impl Failure {
    /// Nothing was sent.
    pub(crate) fn unsent(problem: Problem) -> Self {
        Self { answer: Err(problem), status: Status::UpstreamError, fault: Fault::Nobody, next: Next::Nothing }
    }

    fn route(status: Status, next: Next, problem: Problem) -> Self {
        Self { answer: Err(problem), status, fault: Fault::Route, next }
    }
}

/// Tries `way`; the call comes back with the failure. Dropping it cancels the provider's answer.
pub(crate) async fn run(
    question: &Question<'_>,
    way: &Way<'_>,
    call: Call,
    context: &Context,
) -> Result<platform::Response, Box<(Call, Failure)>> {
    let (request, limits) = (question.request, question.limits);
    let outbound = match outbound(question, way, &call, context) {
        Ok(outbound) => outbound,
        // What this provider cannot be asked says nothing about the provider.
        Err(problem) => return failed(call, Failure { next: Next::Route, ..Failure::unsent(problem) }),
    };
    let head_limit = if request.stream { limits.headers } else { limits.answer };
    let response = match timeout(&*context.clock, head_limit, context.http.send(outbound)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            tracing::warn!(%error, provider = way.provider.name, "the provider cannot be reached");
            let next = if error.is_temporary() { Next::Again(None) } else { Next::Route };
            return failed(call, Failure::route(Status::UpstreamError, next, unreachable(&error)));
        }
        Err(_) => return failed(call, Failure::route(Status::Timeout, Next::Route, late())),
    };
    if response.status() != StatusCode::OK {
        let failure = refusal(response, way, &call, context).await;
        return failed(call, failure);
    }
    let protocol = way.protocol;
    let expected = if request.stream { protocol.stream_media_type() } else { JSON };
    if !has_media_type(response.headers(), expected) {
        return failed(call, Failure::route(Status::UpstreamError, Next::Route, unreadable()));
    }
    if request.stream {
        stream(call, response, way, question, context).await
    } else {
        whole(call, response, protocol, limits.answer, context).await
    }
}

fn failed<T>(call: Call, failure: Failure) -> Result<T, Box<(Call, Failure)>> {
    Err(Box::new((call, failure)))
}

/// Of the caller's headers only those of the endpoint go to a provider.
fn outbound(question: &Question<'_>, way: &Way<'_>, call: &Call, context: &Context) -> Result<Request, Problem> {
    let protocol = way.protocol;
    let model_request = question.request.for_route(way.route, protocol.limit_member());
    let mut request = protocol.request(&model_request, way.route, context)?;
    let accept = if model_request.stream { protocol.stream_media_type() } else { JSON };
    let headers = request.headers_mut();
    headers.extend(question.headers.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(X_REQUEST_ID, call.request_id().header_value());
    if let Some(trace) = question.trace {
        headers.insert(TRACEPARENT, trace.child(&*context.entropy).header_value());
    }
    Ok(request)
}

/// The provider's error: what the caller would be told, and what may help.
async fn refusal(response: platform::Response, way: &Way<'_>, call: &Call, context: &Context) -> Failure {
    let (parts, body) = response.into_parts();
    let body = timeout(&*context.clock, ERROR_BODY_TIME, body.read(LARGEST_ERROR)).await;
    let body = body.ok().and_then(Result::ok).unwrap_or_default();
    tracing::warn!(provider = way.provider.name, status = parts.status.as_u16(), "the provider refused a call");
    refused(&way.protocol.refusal(parts.status, &parts.headers, &body), &parts.headers, way, call)
}

fn refused(refusal: &Refusal, headers: &HeaderMap, way: &Way<'_>, call: &Call) -> Failure {
    let after = retry_after(headers);
    let (fault, next) = match refusal.status.as_u16() {
        429 => (Fault::Nobody, Next::Again(after)),
        408 | 409 => (Fault::Route, Next::Again(after)),
        401..=403 => (Fault::Credential, Next::Route),
        404 => (Fault::Route, Next::Route), // the provider does not have the route's model
        400..=499 => (Fault::Nobody, Next::Nothing),
        _ => (Fault::Route, Next::Again(after)),
    };
    let answer = refusal::answer(refusal, headers, way.provider, call);
    Failure { answer, status: Status::UpstreamError, fault, next }
}

/// `retry-after-ms` or `Retry-After` in seconds. A date is left to the caller.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    number("retry-after-ms")
        .map(Duration::from_millis)
        .or_else(|| number(RETRY_AFTER.as_str()).map(Duration::from_secs))
}

async fn stream(
    call: Call,
    response: platform::Response,
    way: &Way<'_>,
    question: &Question<'_>,
    context: &Context,
) -> Result<platform::Response, Box<(Call, Failure)>> {
    let (parts, body) = response.into_parts();
    let (limits, hides_usage) = (question.limits, !question.request.wants_usage);
    let events = way.protocol.events(body.into_stream(), call.identity());
    let mut relay = Relay::new(events, call, hides_usage, limits, Arc::clone(&context.clock));
    if let Err(ending) = relay.begin().await {
        // Nothing has reached the caller, so nothing was truncated.
        let call = relay.into_call();
        let reported = match &ending {
            Ending::Reported(words) => words.status().map(|status| (status, words)),
            _ => None,
        };
        let failure = match reported {
            Some((status, words)) => refused(&Refusal { status, words: words.clone() }, &parts.headers, way, &call),
            None if ending.status() == Status::Timeout => Failure::route(Status::Timeout, Next::Route, late()),
            None => {
                let problem = ending.problem(&limits).unwrap_or_else(unreadable);
                Failure::route(Status::UpstreamError, Next::Again(None), problem)
            }
        };
        return failed(call, failure);
    }
    let mut headers = HeaderMap::new();
    answer_headers::copy(&parts.headers, &mut headers);
    answer_headers::describe(relay.call(), &mut headers);
    headers.insert(CONTENT_TYPE, media_type(&parts.headers, EVENT_STREAM));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    Ok(respond(headers, Body::from_stream(relay)))
}

async fn whole(
    mut call: Call,
    response: platform::Response,
    protocol: &dyn Protocol,
    limit: Duration,
    context: &Context,
) -> Result<platform::Response, Box<(Call, Failure)>> {
    let (parts, body) = response.into_parts();
    let spent = context.clock.now().duration_since(call.tried_at());
    let bytes = match timeout(&*context.clock, limit.saturating_sub(spent), body.read(LARGEST_ANSWER)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => {
            tracing::warn!(%error, provider = call.provider(), "the provider's answer cannot be read");
            return failed(call, Failure::route(Status::UpstreamError, Next::Again(None), unreadable()));
        }
        Err(_) => return failed(call, Failure::route(Status::Timeout, Next::Route, late())),
    };
    let answer = protocol.answer(bytes, &call.identity());
    let Some(bytes) = answer.filter(|bytes| call.see_whole(bytes, context.clock.now())) else {
        return failed(call, Failure::route(Status::UpstreamError, Next::Again(None), unreadable()));
    };
    call.http_status = Some(200);
    let mut headers = HeaderMap::new();
    answer_headers::copy(&parts.headers, &mut headers);
    answer_headers::describe(&call, &mut headers);
    if let Some(cost) = call.dollars().and_then(|dollars| HeaderValue::try_from(dollars).ok()) {
        headers.insert("x-qlp-cost-usd", cost);
    }
    headers.insert(CONTENT_TYPE, media_type(&parts.headers, JSON));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    call.settle(Status::Success);
    Ok(respond(headers, bytes.into()))
}

pub(crate) fn respond(headers: HeaderMap, body: Body) -> platform::Response {
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    response
}

fn has_media_type(headers: &HeaderMap, expected: &str) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(expected)
}

/// The provider's own words for `expected`, unless it answered in another type.
fn media_type(headers: &HeaderMap, expected: &'static str) -> HeaderValue {
    let sent = headers.get(CONTENT_TYPE).filter(|_| has_media_type(headers, expected));
    sent.cloned().unwrap_or(HeaderValue::from_static(expected))
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
