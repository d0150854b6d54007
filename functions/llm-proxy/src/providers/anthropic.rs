//! Anthropic's Messages API: <https://docs.claude.com/en/api/messages>.

mod answer;
mod events;
mod messages;
mod object;
mod request;
mod tools;
mod usage;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Uri};
use platform::{Body, ByteStream, Context, Request};
use problem::{Problem, kinds};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::value::RawValue;
use url::Url;

use super::{Identity, Protocol, Refusal};
use crate::catalog::Route;
use crate::completion_request::{CompletionRequest, Members};
use crate::error_words::ErrorWords;

/// An address of the API, and our credential there.
pub(crate) struct Anthropic {
    messages: Uri,
    key: SecretString,
}

const KEY: HeaderName = HeaderName::from_static("x-api-key");
const VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"));
/// How a 400 begins or goes on that is about the length of the caller's prompt.
const TOO_LONG: [&str; 2] = ["prompt is too long", "exceed context limit"];
/// A 400 with one of these is about our account.
const OURS: [&str; 3] = ["credit balance is too low", "API usage limits", "organization has been disabled"];
/// A name that is longer is none: it is repeated in every chunk.
const LONGEST_NAME: usize = 200;

impl Anthropic {
    /// `None` if `base` is no address for HTTP.
    pub(crate) fn at(base: &Url, key: SecretString) -> Option<Self> {
        let mut endpoint = base.clone();
        endpoint.set_query(None);
        endpoint.set_fragment(None);
        endpoint.set_path(&format!("{}/v1/messages", base.path().trim_end_matches('/')));
        Some(Self { messages: endpoint.as_str().parse().ok()?, key })
    }
}

impl Protocol for Anthropic {
    fn request(&self, completion: &CompletionRequest, route: &Route, _: &Context) -> Result<Request, Problem> {
        let mut request = Request::new(Body::from(Bytes::from(request::body(completion, route)?)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.messages.clone();
        let mut key = HeaderValue::from_str(self.key.expose_secret()).map_err(|_| kinds::MISCONFIGURED)?;
        key.set_sensitive(true);
        request.headers_mut().insert(KEY, key);
        let (name, version) = VERSION;
        request.headers_mut().insert(name, version);
        Ok(request)
    }

    fn answer(&self, body: Bytes, identity: &Identity) -> Option<Bytes> {
        answer::completion(std::str::from_utf8(&body).ok()?, identity).map(Bytes::from)
    }

    fn events(&self, body: ByteStream, identity: Identity) -> ByteStream {
        events::translated(body, identity)
    }

    /// <https://docs.claude.com/en/api/errors>
    fn refusal(&self, status: StatusCode, _: &HeaderMap, body: &[u8]) -> Refusal {
        let words = ErrorWords::of_body(body);
        let says = |phrases: &[&str]| phrases.iter().any(|phrase| words.message().unwrap_or_default().contains(phrase));
        match status.as_u16() {
            400 if says(&TOO_LONG) => Refusal { status, words: words.with_code("context_length_exceeded") },
            400 if says(&OURS) => Refusal { status: StatusCode::PAYMENT_REQUIRED, words },
            429 => Refusal { status, words: words.with_code("rate_limit_exceeded") },
            529 => Refusal { status: StatusCode::SERVICE_UNAVAILABLE, words },
            _ => Refusal { status, words },
        }
    }

    fn secrets(&self) -> Vec<&SecretString> {
        vec![&self.key]
    }
}

/// The members with which every completion and every chunk begins: the provider's own names, and ours where it has none.
fn head(object: &str, message: &Members<'_>, identity: &Identity) -> String {
    let name = |name| message.get(name).filter(|raw| is_text(raw) && raw.get().len() <= LONGEST_NAME);
    let id = name("id").map_or_else(|| format!("\"chatcmpl-{}\"", identity.id.simple()), |id| id.get().to_owned());
    let model = name("model").map_or_else(|| quoted(&identity.model), |model| model.get().to_owned());
    format!(r#""id":{id},"object":"{object}","created":{},"model":{model}"#, identity.created.as_second())
}

/// A `stop_reason` as `finish_reason`, of which OpenAI's clients know a few.
fn finish_reason(stop_reason: &str) -> &'static str {
    match stop_reason {
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        _ => "stop",
    }
}

/// `text` as JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Whether it is a JSON string with something in it.
fn is_text(raw: &RawValue) -> bool {
    raw.get().starts_with('"') && raw.get().len() > 2
}
