//! AWS Bedrock: Converse and ConverseStream, which every model there understands.

mod answer;
mod chunks;
mod config;
mod content;
mod crc32;
mod event_stream;
mod events;
mod messages;
mod refusal;
mod request;
mod sigv4;
#[cfg(test)]
mod tests;
mod tools;
mod usage;

use std::sync::Mutex;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Uri};
use percent_encoding::utf8_percent_encode;
use platform::{Body, ByteStream, Context, Request};
use problem::{Problem, kinds};
use secrecy::SecretString;
use url::Url;

use self::sigv4::{RESERVED, Signer};
use super::openai::bearer;
use super::{Identity, Protocol, Refusal};
use crate::catalog::Route;
use crate::model_request::ModelRequest;

/// Bedrock in one region.
pub(crate) struct Bedrock {
    /// Without a slash at the end.
    base: String,
    credential: Credential,
}

enum Credential {
    /// A Bedrock API key.
    Key(SecretString),
    /// An access key of IAM or STS.
    Signer(Box<Signer>),
}

/// An access key as IAM or STS gives it out.
struct AccessKey {
    id: SecretString,
    secret: SecretString,
    /// Only with temporary ones.
    session_token: Option<SecretString>,
}

impl Bedrock {
    /// With a Bedrock API key.
    fn with_key(base: &Url, key: SecretString) -> Self {
        Self { base: without_slash(base), credential: Credential::Key(key) }
    }

    /// With an access key, which signs for `region`.
    fn with_access_key(base: &Url, access_key: AccessKey, region: String) -> Self {
        let AccessKey { id, secret, session_token } = access_key;
        let signer = Signer {
            access_key_id: id,
            secret_access_key: secret,
            session_token,
            region,
            service: "bedrock",
            key: Mutex::default(),
        };
        Self { base: without_slash(base), credential: Credential::Signer(Box::new(signer)) }
    }

    fn uri(&self, model: &str, stream: bool) -> Option<Uri> {
        let operation = if stream { "converse-stream" } else { "converse" };
        format!("{}/model/{}/{operation}", self.base, utf8_percent_encode(model, RESERVED)).parse().ok()
    }
}

impl Protocol for Bedrock {
    fn request(&self, completion: &ModelRequest, route: &Route, context: &Context) -> Result<Request, Problem> {
        let body = Bytes::from(request::body(completion.json().as_bytes(), completion.held_to())?);
        let mut request = Request::new(Body::from(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri(&route.model, completion.stream).ok_or(kinds::MISCONFIGURED)?;
        // Every provider is sent it; here it is signed.
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match &self.credential {
            Credential::Key(key) => {
                request.headers_mut().insert(AUTHORIZATION, bearer(key).ok_or(kinds::MISCONFIGURED)?);
            }
            Credential::Signer(signer) => {
                signer.sign(&mut request, &body, context.clock.now()).ok_or(kinds::MISCONFIGURED)?;
            }
        }
        Ok(request)
    }

    fn stream_media_type(&self) -> &'static str {
        "application/vnd.amazon.eventstream"
    }

    fn answer(&self, body: Bytes, identity: &Identity) -> Option<Bytes> {
        answer::completion(&body, identity)
    }

    fn events(&self, body: ByteStream, identity: Identity) -> ByteStream {
        Box::pin(events::Events::of(body, &identity))
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refusal {
        refusal::of(status, headers, body)
    }

    fn secrets(&self) -> Vec<&SecretString> {
        match &self.credential {
            Credential::Key(key) => vec![key],
            Credential::Signer(signer) => signer.secrets(),
        }
    }
}

fn without_slash(base: &Url) -> String {
    let mut base = base.clone();
    base.set_query(None);
    base.set_fragment(None);
    base.as_str().trim_end_matches('/').to_owned()
}
