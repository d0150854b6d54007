//! What a caller is told when the provider answers with an error status, which its protocol has made
//! the endpoint's.
//!
//! | provider | caller |
//! |---|---|
//! | 400, 413, 422: the request itself is wrong | the same status, and the provider's error as it stands |
//! | other 4xx | the same status, type, code and `Retry-After`; the sentence is ours, theirs may name our account |
//! | 401, 402, 403: our credential | 502; nothing of it concerns the caller |
//! | 503; 504; other 5xx and whatever else | 503; 504; 502, with `Retry-After` |

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};
use platform::Body;
use problem::{Problem, kinds};

use crate::answer_headers;
use crate::call::Call;
use crate::error_words::ErrorWords;
use crate::providers::{Provider, Refusal};

/// The answer to the caller.
pub(crate) fn answer(
    refusal: &Refusal,
    headers: &HeaderMap,
    provider: &Provider,
    call: &Call,
) -> Result<platform::Response, Problem> {
    let Refusal { status, words } = refusal;
    match status.as_u16() {
        400 | 413 | 422 => {
            let message = words.message().filter(|message| !provider.is_revealed_by(message));
            Ok(respond(*status, headers, words, message.unwrap_or("The provider refused the request."), call))
        }
        401..=403 => {
            tracing::error!(provider = provider.name, status = status.as_u16(), "the provider refuses our credential");
            Err(Problem::new(kinds::UPSTREAM_FAILED).detail("The provider of this model cannot be used at present."))
        }
        429 => Ok(respond(*status, headers, words, "The provider takes no more requests at present.", call)),
        400..=499 => Ok(respond(*status, headers, words, "The provider refused the request.", call)),
        503 => Err(failed(kinds::UPSTREAM_UNAVAILABLE, "The provider is not available at present.", headers)),
        504 => Err(failed(kinds::UPSTREAM_TIMEOUT, "The provider did not answer in time.", headers)),
        _ => Err(failed(kinds::UPSTREAM_FAILED, "The provider failed.", headers)),
    }
}

fn respond(
    status: StatusCode,
    headers: &HeaderMap,
    words: &ErrorWords,
    message: &str,
    call: &Call,
) -> platform::Response {
    let kind = match status.as_u16() {
        404 => kinds::MODEL_NOT_FOUND,
        429 => kinds::RATE_LIMITED,
        _ => kinds::INVALID_REQUEST,
    };
    let request_id = call.request_id().to_string();
    let body = words.body(&Problem::new(kind), message, call.endpoint().dialect(), &request_id);
    let mut response = Response::new(Body::from(body.to_string()));
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
