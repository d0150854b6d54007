//! OpenAI, and whatever speaks its protocol at another address.

use http::header::{AUTHORIZATION, HeaderValue};
use http::{Method, Uri};
use platform::{Body, Context, Request};
use problem::{Problem, kinds};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::Protocol;
use crate::catalog::Route;
use crate::endpoint::Endpoint;
use crate::model_request::ModelRequest;

/// A base URL of the protocol, and our credential there, if it asks for one.
pub(crate) struct OpenAi {
    /// Without a slash at its end.
    base: String,
    /// It goes nowhere else.
    key: Option<SecretString>,
    /// The member of a chat completion that says how long an answer may become.
    limit_member: &'static str,
}

impl OpenAi {
    /// `None` if `base` is no address for HTTP.
    pub(crate) fn at(base: &Url, key: Option<SecretString>) -> Option<Self> {
        let mut endpoint = base.clone();
        endpoint.set_query(None);
        endpoint.set_fragment(None);
        let base = endpoint.as_str().trim_end_matches('/');
        let _: Uri = base.parse().ok()?;
        Some(Self { base: base.to_owned(), key, limit_member: "max_tokens" })
    }

    /// OpenAI's own models of today take no `max_tokens`.
    pub(crate) fn with_completion_tokens(self) -> Self {
        Self { limit_member: "max_completion_tokens", ..self }
    }
}

impl Protocol for OpenAi {
    fn serves(&self, endpoint: Endpoint) -> bool {
        matches!(endpoint, Endpoint::ChatCompletions | Endpoint::Embeddings | Endpoint::Responses)
    }

    fn request(&self, request: &ModelRequest, route: &Route, _: &Context) -> Result<Request, Problem> {
        let uri = format!("{}{}", self.base, request.endpoint.below_base());
        let mut outbound = Request::new(Body::from(request.body_for(&route.model)));
        *outbound.method_mut() = Method::POST;
        *outbound.uri_mut() = Uri::try_from(uri).map_err(|_| kinds::MISCONFIGURED)?;
        if let Some(key) = &self.key {
            outbound.headers_mut().insert(AUTHORIZATION, bearer(key).ok_or(kinds::MISCONFIGURED)?);
        }
        Ok(outbound)
    }

    fn limit_member(&self) -> &'static str {
        self.limit_member
    }

    fn secrets(&self) -> Vec<&SecretString> {
        self.key.iter().collect()
    }
}

/// An `authorization` header, marked so that no log shows it.
pub(super) fn bearer(key: &SecretString) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use platform::fakes::Host;

    use super::*;

    #[test]
    fn asks_below_its_base_with_its_key() {
        let completion = Bytes::from_static(br#"{"model":"m","messages":[1]}"#);
        let completion = ModelRequest::parse(Endpoint::ChatCompletions, completion).unwrap();
        for (base, key, uri) in [
            ("https://gateway.test/openai/v1/?x=1", Some("o-key"), "https://gateway.test/openai/v1/chat/completions"),
            ("http://127.0.0.1:9000/v1", None, "http://127.0.0.1:9000/v1/chat/completions"),
        ] {
            let protocol = OpenAi::at(&base.parse().unwrap(), key.map(SecretString::from)).unwrap();
            let request = protocol.request(&completion, &Route::to("p", "theirs"), &Host::new().context()).unwrap();
            assert_eq!(request.uri(), uri);
            let sent = request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap());
            assert_eq!(sent, key.map(|_| "Bearer o-key"));
            assert!(!format!("{request:?}").contains("o-key"));
        }
    }
}
