//! What a caller is told when the provider answers with an error status.
//!
//! | provider | caller |
//! |---|---|
//! | 400, 413, 422: the request itself is wrong | the same status, and the provider's error as it stands |
//! | other 4xx | the same status, type, code and `Retry-After`; the sentence is ours, theirs may name our account |
//! | 401, 402, 403: our credential | 502; nothing of it concerns the caller |
//! | 403 from Together: input and answer exceed the context | 400 `context_length_exceeded` |
//! | 503; 504; other 5xx and whatever else | 503; 504; 502, with `Retry-After` |

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};
use platform::Body;
use problem::{Problem, kinds};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::answer_headers;
use crate::config::Provider;
use crate::error_words::ErrorWords;

/// The answer to the caller; `body` is what could be read of the provider's.
pub(crate) fn answer(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    provider: &Provider,
) -> Result<platform::Response, Problem> {
    let words = words(body);
    match (status.as_u16(), provider.name) {
        (403, "together") => {
            let message = "The messages and the longest answer allowed exceed the model's context.";
            let words = words.with_code("context_length_exceeded");
            Ok(respond(StatusCode::BAD_REQUEST, headers, &words, message))
        }
        (400 | 413 | 422, _) => {
            let message = words.message().filter(|message| !reveals_key(message, provider));
            let message = message.unwrap_or("The provider refused the request.").to_owned();
            Ok(respond(status, headers, &words, &message))
        }
        (401..=403, _) => {
            tracing::error!(provider = provider.name, status = status.as_u16(), "the provider refuses our credential");
            Err(Problem::new(kinds::UPSTREAM_FAILED).detail("The provider of this model cannot be used at present."))
        }
        (429, _) => Ok(respond(status, headers, &words, "The provider takes no more requests at present.")),
        (400..=499, _) => Ok(respond(status, headers, &words, "The provider refused the request.")),
        (503, _) => Err(failed(kinds::UPSTREAM_UNAVAILABLE, "The provider is not available at present.", headers)),
        (504, _) => Err(failed(kinds::UPSTREAM_TIMEOUT, "The provider did not answer in time.", headers)),
        _ => Err(failed(kinds::UPSTREAM_FAILED, "The provider failed.", headers)),
    }
}

fn words(body: &[u8]) -> ErrorWords {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow)]
        error: Option<&'a RawValue>,
    }
    let wire: Option<Wire> = serde_json::from_slice(body).ok();
    wire.and_then(|wire| wire.error).map(ErrorWords::of).unwrap_or_default()
}

fn reveals_key(message: &str, provider: &Provider) -> bool {
    provider.key.as_ref().is_some_and(|key| message.contains(key.expose_secret()))
}

fn respond(status: StatusCode, headers: &HeaderMap, words: &ErrorWords, message: &str) -> platform::Response {
    let kind = match status.as_u16() {
        404 => kinds::MODEL_NOT_FOUND,
        429 => kinds::RATE_LIMITED,
        _ => kinds::INVALID_REQUEST,
    };
    let mut response = Response::new(Body::from(words.body(&Problem::new(kind), message).to_string()));
    *response.status_mut() = status;
    answer_headers::copy(headers, response.headers_mut());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn failed(kind: &'static problem::Kind, detail: &str, headers: &HeaderMap) -> Problem {
    let problem = Problem::new(kind).detail(detail);
    match headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()) {
        Some(value) => problem.header(RETRY_AFTER, value),
        None => problem,
    }
}
