//! Anthropic's messages for callers that speak them themselves, at Anthropic or wherever they are understood.

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Uri};
use platform::{Body, Context, Request};
use problem::{Problem, kinds};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::{Protocol, Refusal};
use crate::catalog::Route;
use crate::endpoint::Endpoint;
use crate::error_words::ErrorWords;
use crate::model_request::ModelRequest;

/// An address of the API, and our credential there, if it asks for one.
#[derive(Clone)]
pub(crate) struct Messages {
    uri: Uri,
    key: Option<SecretString>,
}

const KEY: HeaderName = HeaderName::from_static("x-api-key");
/// For callers that do not say which one they mean.
const VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"));
/// A 400 with one of these is about our account.
const OURS: [&str; 3] = ["credit balance is too low", "API usage limits", "organization has been disabled"];
/// Anthropic's own status for an API that is overloaded: <https://docs.claude.com/en/api/errors>.
const OVERLOADED: u16 = 529;

impl Messages {
    /// `None` if `base`, which ends before `/messages`, is no address for HTTP.
    pub(crate) fn at(base: &Url, key: Option<SecretString>) -> Option<Self> {
        let mut endpoint = base.clone();
        endpoint.set_query(None);
        endpoint.set_fragment(None);
        endpoint.set_path(&format!("{}/messages", base.path().trim_end_matches('/')));
        Some(Self { uri: endpoint.as_str().parse().ok()?, key })
    }

    /// Asks with `body`.
    pub(super) fn ask(&self, body: Bytes) -> Result<Request, Problem> {
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        if let Some(key) = &self.key {
            let mut key = HeaderValue::from_str(key.expose_secret()).map_err(|_| kinds::MISCONFIGURED)?;
            key.set_sensitive(true);
            request.headers_mut().insert(KEY, key);
        }
        let (name, version) = VERSION;
        request.headers_mut().insert(name, version);
        Ok(request)
    }
}

impl Protocol for Messages {
    fn serves(&self, endpoint: Endpoint) -> bool {
        endpoint == Endpoint::Messages
    }

    fn request(&self, request: &ModelRequest, route: &Route, _: &Context) -> Result<Request, Problem> {
        self.ask(request.body_for(&route.model))
    }

    fn refusal(&self, status: StatusCode, _: &HeaderMap, body: &[u8]) -> Refusal {
        let words = ErrorWords::of_body(body);
        let is_ours = OURS.iter().any(|phrase| words.message().unwrap_or_default().contains(phrase));
        let status = match status.as_u16() {
            400 if is_ours => StatusCode::PAYMENT_REQUIRED,
            OVERLOADED => StatusCode::SERVICE_UNAVAILABLE,
            _ => status,
        };
        Refusal { status, words }
    }

    fn secrets(&self) -> Vec<&SecretString> {
        self.key.iter().collect()
    }
}
