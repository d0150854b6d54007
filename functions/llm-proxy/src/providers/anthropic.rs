//! Anthropic's Messages API: <https://docs.claude.com/en/api/messages>.

mod answer;
mod events;
mod messages;
mod request;
mod tools;
mod usage;
mod writer;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use platform::{ByteStream, Context, Request};
use problem::Problem;
use secrecy::SecretString;
use serde_json::value::RawValue;

use super::{Identity, Messages, Protocol, Refusal};
use crate::catalog::Route;
use crate::members::Members;
use crate::model_request::ModelRequest;

/// Chat completions by way of messages.
pub(crate) struct Anthropic(pub(crate) Messages);

/// How a 400 begins or goes on that is about the length of the caller's prompt.
const TOO_LONG: [&str; 2] = ["prompt is too long", "exceed context limit"];
/// A name that is longer is none: it is repeated in every chunk.
const LONGEST_NAME: usize = 200;

impl Protocol for Anthropic {
    fn request(&self, completion: &ModelRequest, route: &Route, _: &Context) -> Result<Request, Problem> {
        self.0.ask(request::body(completion, route)?.into())
    }

    fn answer(&self, body: Bytes, identity: &Identity) -> Option<Bytes> {
        answer::completion(std::str::from_utf8(&body).ok()?, identity).map(Bytes::from)
    }

    fn events(&self, body: ByteStream, identity: Identity) -> ByteStream {
        events::translated(body, identity)
    }

    /// In OpenAI's words where it has some.
    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refusal {
        let Refusal { status, words } = self.0.refusal(status, headers, body);
        let is_too_long = TOO_LONG.iter().any(|phrase| words.message().unwrap_or_default().contains(phrase));
        match status.as_u16() {
            400 if is_too_long => Refusal { status, words: words.with_code("context_length_exceeded") },
            429 => Refusal { status, words: words.with_code("rate_limit_exceeded") },
            _ => Refusal { status, words },
        }
    }

    fn secrets(&self) -> Vec<&SecretString> {
        self.0.secrets()
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
