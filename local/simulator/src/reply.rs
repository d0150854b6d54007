//! Response heads.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};
use serde::Serialize;

use crate::behaviour::Behaviour;
use crate::delivery::Body;
use crate::exchange::{Exchange, unix_ms};
use crate::messages;

/// The media type of JSON answers.
pub const JSON: &str = "application/json";
/// The media type of streams.
pub const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

/// The fields that every API answer has beside its media type.
const LIMITS: [(&str, &str); 8] = [
    ("openai-organization", "simulator"),
    ("openai-version", "2020-10-01"),
    ("x-ratelimit-limit-requests", "10000"),
    ("x-ratelimit-limit-tokens", "2000000"),
    ("x-ratelimit-remaining-requests", "9999"),
    ("x-ratelimit-remaining-tokens", "1999900"),
    ("x-ratelimit-reset-requests", "6ms"),
    ("x-ratelimit-reset-tokens", "3ms"),
];

/// An API answer: its media type, the provider's usual fields, and those that `behaviour` adds.
pub fn api(
    status: u16,
    media_type: &'static str,
    body: Body,
    exchange: &Exchange,
    behaviour: &Behaviour,
) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.reserve(LIMITS.len() + 6);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    if media_type == EVENT_STREAM {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    let (limits, id_field) =
        if exchange.is_message() { (&messages::LIMITS[..], "request-id") } else { (&LIMITS[..], "x-request-id") };
    for (name, value) in limits {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if !exchange.is_message() {
        let elapsed = unix_ms().saturating_sub(exchange.received_ms());
        headers.insert(HeaderName::from_static("openai-processing-ms"), HeaderValue::from(elapsed));
    }
    if let Ok(id) = HeaderValue::try_from(exchange.id()) {
        headers.insert(HeaderName::from_static(id_field), id);
    }
    add(headers, behaviour);
    response
}

/// A plain answer of the control and peer endpoints.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let body = Bytes::from(serde_json::to_vec(value).unwrap_or_default());
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

/// A plain text answer of the control and peer endpoints.
pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::whole(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn add(headers: &mut HeaderMap, behaviour: &Behaviour) {
    let given = behaviour.headers.iter().map(|(name, value)| (name.clone(), value.clone()));
    let retry_after = behaviour.retry_after.iter().map(|after| (RETRY_AFTER.to_string(), after.to_string()));
    let retry_after_ms = behaviour.retry_after_ms.iter().map(|after| ("retry-after-ms".to_owned(), after.to_string()));
    let content_type = behaviour.content_type.iter().map(|kind| (CONTENT_TYPE.to_string(), kind.clone()));
    for (name, value) in retry_after.chain(retry_after_ms).chain(content_type).chain(given) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
}
