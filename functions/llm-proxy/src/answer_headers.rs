//! Which of a provider's response headers a caller sees.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use crate::cache::X_QLP_CACHE;
use crate::call::Call;

const UPSTREAM_REQUEST_ID: HeaderName = HeaderName::from_static("x-upstream-request-id");
/// Where OpenAI, Anthropic and Amazon have it.
const REQUEST_IDS: [&str; 3] = ["x-request-id", "request-id", "x-amzn-requestid"];
const KEPT: [&str; 4] = ["openai-processing-ms", "retry-after", "retry-after-ms", "x-should-retry"];

/// Copies what clients of OpenAI read. The provider's request id gets another name: `x-request-id` is ours. Its
/// `x-ratelimit-*` stay behind: they count what all callers together have left at the provider, which is nobody's limit.
pub(crate) fn copy(from: &HeaderMap, to: &mut HeaderMap) {
    for (name, value) in from {
        if KEPT.contains(&name.as_str()) {
            to.insert(name, value.clone());
        }
    }
    if let Some(id) = REQUEST_IDS.iter().find_map(|name| from.get(*name)) {
        to.insert(UPSTREAM_REQUEST_ID, id.clone());
    }
}

/// Says who answers, at which try or from the cache, and where the caller's limits stand.
pub(crate) fn describe(call: &Call, to: &mut HeaderMap) {
    to.insert("x-qlp-provider", HeaderValue::from_static(call.provider()));
    to.insert("x-qlp-attempts", HeaderValue::from(call.attempts()));
    if let Some(used) = call.cache {
        to.insert(X_QLP_CACHE, HeaderValue::from_static(used.as_str()));
    }
    limits::describe(&call.standings, to);
    if let Ok(model) = HeaderValue::from_str(call.model()) {
        to.insert("x-qlp-model", model);
    }
}
