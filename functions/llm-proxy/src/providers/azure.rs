//! Azure OpenAI: OpenAI's protocol, in which a model is a deployment of one's own.
//!
//! Its filters add members, a first chunk without choices and choices without `delta`; they pass as they come.

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{Method, Uri};
use platform::{Body, Context, Request};
use problem::{Problem, kinds};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::Protocol;
use super::openai::bearer;
use crate::catalog::Route;
use crate::endpoint::Endpoint;
use crate::model_request::ModelRequest;

/// A resource, and our credential there.
pub(crate) struct Azure {
    endpoint: Url,
    /// Of the API with deployments in its paths; `None` for the v1 API, which has no versions.
    api_version: Option<String>,
    credential: Credential,
}

/// How we are known to a resource.
pub(crate) enum Credential {
    /// One of its two keys.
    Key(SecretString),
    /// An access token of Microsoft Entra ID. It is not renewed here.
    Token(SecretString),
}

impl Azure {
    /// `None` if `endpoint` is no address that has paths.
    pub(crate) fn at(endpoint: &Url, api_version: Option<String>, credential: Credential) -> Option<Self> {
        let mut endpoint = endpoint.clone();
        endpoint.set_query(None);
        endpoint.set_fragment(None);
        endpoint.path_segments_mut().ok()?.pop_if_empty().push("openai");
        Some(Self { endpoint, api_version, credential })
    }

    /// <https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle>
    fn uri(&self, endpoint: Endpoint, deployment: &str) -> Option<Uri> {
        let mut url = self.endpoint.clone();
        let mut path = url.path_segments_mut().ok()?;
        match &self.api_version {
            None => path.push("v1"),
            Some(_) => path.extend(["deployments", deployment]),
        };
        path.extend(endpoint.below_base().split('/').skip(1));
        drop(path);
        if let Some(version) = &self.api_version {
            url.query_pairs_mut().append_pair("api-version", version);
        }
        url.as_str().parse().ok()
    }
}

impl Protocol for Azure {
    /// Responses are no part of a deployment: only the v1 API has them there where it has the rest.
    fn serves(&self, endpoint: Endpoint) -> bool {
        match endpoint {
            Endpoint::ChatCompletions | Endpoint::Embeddings => true,
            Endpoint::Responses => self.api_version.is_none(),
            Endpoint::Messages => false,
        }
    }

    fn request(&self, request: &ModelRequest, route: &Route, _: &Context) -> Result<Request, Problem> {
        let mut outbound = Request::new(Body::from(request.body_for(&route.model)));
        *outbound.method_mut() = Method::POST;
        *outbound.uri_mut() = self.uri(request.endpoint, &route.model).ok_or(kinds::MISCONFIGURED)?;
        let (name, value) = self.credential.header().ok_or(kinds::MISCONFIGURED)?;
        outbound.headers_mut().insert(name, value);
        Ok(outbound)
    }

    fn limit_member(&self) -> &'static str {
        "max_completion_tokens"
    }

    fn secrets(&self) -> Vec<&SecretString> {
        let (Credential::Key(secret) | Credential::Token(secret)) = &self.credential;
        vec![secret]
    }
}

impl Credential {
    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Key(key) => {
                let mut value = HeaderValue::from_str(key.expose_secret()).ok()?;
                value.set_sensitive(true);
                Some((HeaderName::from_static("api-key"), value))
            }
            Self::Token(token) => Some((AUTHORIZATION, bearer(token)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use platform::fakes::Host;

    use super::*;

    fn asked(endpoint: &str, version: Option<&str>, credential: Credential, deployment: &str) -> Request {
        let azure = Azure::at(&endpoint.parse().unwrap(), version.map(str::to_owned), credential).unwrap();
        let completion =
            ModelRequest::parse(Endpoint::ChatCompletions, Bytes::from_static(br#"{"model":"m","messages":[1]}"#))
                .unwrap();
        azure.request(&completion, &Route::to("azure", deployment), &Host::new().context()).unwrap()
    }

    fn key() -> Credential {
        Credential::Key("a-key".into())
    }

    #[test]
    fn a_deployment_is_the_model_or_part_of_the_path() {
        for (endpoint, version, uri) in [
            ("https://r.openai.azure.com", None, "https://r.openai.azure.com/openai/v1/chat/completions"),
            ("https://gw.test/azure/?x=1", None, "https://gw.test/azure/openai/v1/chat/completions"),
            (
                "https://r.openai.azure.com/",
                Some("2024-10-21"),
                "https://r.openai.azure.com/openai/deployments/gpt%204%2Fo/chat/completions?api-version=2024-10-21",
            ),
        ] {
            let request = asked(endpoint, version, key(), "gpt 4/o");
            assert_eq!(request.uri(), uri);
            let platform::Content::Bytes(body) = request.into_body().into_content() else { panic!("a stream") };
            assert_eq!(body, r#"{"model":"gpt 4/o","messages":[1]}"#);
        }
    }

    #[test]
    fn other_endpoints_stand_beside_completions() {
        let uri = |version: Option<&str>, endpoint| {
            let azure = Azure::at(&"https://r.test".parse().unwrap(), version.map(str::to_owned), key()).unwrap();
            azure.serves(endpoint).then(|| azure.uri(endpoint, "d").unwrap().to_string())
        };
        for (version, embeddings, responses) in [
            (None, "https://r.test/openai/v1/embeddings", Some("https://r.test/openai/v1/responses")),
            (Some("2024-10-21"), "https://r.test/openai/deployments/d/embeddings?api-version=2024-10-21", None),
        ] {
            assert_eq!(uri(version, Endpoint::Embeddings).as_deref(), Some(embeddings));
            assert_eq!(uri(version, Endpoint::Responses).as_deref(), responses);
            assert_eq!(uri(version, Endpoint::Messages), None);
        }
    }

    #[test]
    fn a_key_and_a_token_have_their_own_headers_and_are_never_shown() {
        let by_key = asked("https://r.test", None, key(), "d");
        assert_eq!(by_key.headers()["api-key"], "a-key");
        assert!(!by_key.headers().contains_key(AUTHORIZATION));
        let by_token = asked("https://r.test", None, Credential::Token("a.token".into()), "d");
        assert_eq!(by_token.headers()[AUTHORIZATION], "Bearer a.token");
        assert!(!by_token.headers().contains_key("api-key"));
        assert!(!format!("{by_key:?}{by_token:?}").contains("a-key"));
        assert!(!format!("{by_token:?}").contains("a.token"));
    }
}
