//! Providers and the protocols they speak.
//!
//! In here each endpoint is its inventor's: its request, answer, events and errors. A protocol translates from it and to
//! it, one file each; the inventor's own passes the bytes on as they are.

mod anthropic;
mod azure;
mod bedrock;
mod messages;
mod node;
mod openai;
mod together;

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use platform::{ByteStream, Context, Request, Timestamp};
use problem::Problem;
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use crate::catalog::Route;
use crate::endpoint::Endpoint;
use crate::error_words::ErrorWords;
use crate::model_request::ModelRequest;

pub(crate) use anthropic::Anthropic;
pub(crate) use azure::{Azure, Credential};
pub(crate) use bedrock::Bedrock;
pub(crate) use messages::Messages;
pub(crate) use openai::OpenAi;
pub(crate) use together::Together;

/// A provider that is configured.
pub(crate) struct Provider {
    /// As the routes of the catalog name it.
    pub(crate) name: &'static str,
    /// What it speaks.
    pub(crate) protocols: Vec<Box<dyn Protocol>>,
}

/// How a provider is asked, and how what it answers is the endpoint's.
pub(crate) trait Protocol: Send + Sync {
    /// Whether it is a way to answer at `endpoint`.
    fn serves(&self, endpoint: Endpoint) -> bool {
        endpoint == Endpoint::ChatCompletions
    }

    /// What `request` becomes for the model of `route`, with our credential. What every provider is sent comes on top. What
    /// the protocol cannot express is refused, with the member that it cannot.
    fn request(&self, request: &ModelRequest, route: &Route, context: &Context) -> Result<Request, Problem>;

    /// The member of a chat completion that says how long an answer may become; other endpoints have one each.
    fn limit_member(&self) -> &'static str {
        "max_tokens"
    }

    /// The media type of a streamed answer.
    fn stream_media_type(&self) -> &'static str {
        "text/event-stream"
    }

    /// A whole answer. `None` if it is none.
    fn answer(&self, body: Bytes, _: &Identity) -> Option<Bytes> {
        Some(body)
    }

    /// A streamed answer as server-sent events, each as soon as it can be known.
    fn events(&self, body: ByteStream, _: Identity) -> ByteStream {
        body
    }

    /// An error status: `body` is what could be read of what came with it.
    fn refusal(&self, status: StatusCode, _: &HeaderMap, body: &[u8]) -> Refusal {
        Refusal { status, words: ErrorWords::of_body(body) }
    }

    /// What must not be repeated to a caller.
    fn secrets(&self) -> Vec<&SecretString>;
}

/// What an answer is called where its provider does not name it.
pub(crate) struct Identity {
    pub(crate) id: Uuid,
    /// As the route has it.
    pub(crate) model: String,
    pub(crate) created: Timestamp,
}

/// An error of a provider with the status that the endpoint's inventor would give it.
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) words: ErrorWords,
}

impl Provider {
    /// The protocol in which it answers at `endpoint`.
    pub(crate) fn protocol(&self, endpoint: Endpoint) -> Option<&dyn Protocol> {
        self.protocols.iter().find(|protocol| protocol.serves(endpoint)).map(|protocol| &**protocol)
    }

    /// Whether `text` has one of our secrets in it.
    pub(crate) fn is_revealed_by(&self, text: &str) -> bool {
        self.protocols
            .iter()
            .flat_map(|protocol| protocol.secrets())
            .any(|secret| text.contains(secret.expose_secret()))
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("name", &self.name).finish_non_exhaustive()
    }
}
