//! What the APIs that are spoken here do differently in heads and errors.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};

use crate::behaviour::Behaviour;
use crate::error::ApiError;
use crate::{bedrock, messages};

/// Whose API a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    OpenAi,
    /// Anthropic's.
    Messages,
    Bedrock,
}

const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=";
const AMAZON_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

impl Dialect {
    /// The dialect of the endpoint at `path`.
    pub fn of(path: &str) -> Self {
        if bedrock::model(path).is_some() {
            Self::Bedrock
        } else if messages::is_path(path) {
            Self::Messages
        } else {
            Self::OpenAi
        }
    }

    /// The key of a request: the Bearer token, Azure's `api-key`, Anthropic's `x-api-key`, or the access key id of a
    /// signature for Amazon.
    pub fn credential(self, headers: &HeaderMap) -> Option<&str> {
        let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = authorization.and_then(|value| value.strip_prefix("Bearer "));
        let other = match self {
            Self::OpenAi => headers.get("api-key").and_then(|value| value.to_str().ok()),
            Self::Messages => messages::api_key(headers),
            Self::Bedrock => authorization.filter(|_| headers.contains_key("x-amz-date")).and_then(access_key_id),
        };
        bearer.or(other).filter(|key| !key.is_empty())
    }

    /// The body of an error.
    pub fn error_body(self, error: &ApiError, behaviour: &Behaviour, id: &str) -> Bytes {
        match self {
            Self::OpenAi => error.body(),
            Self::Messages => messages::error_body(error, behaviour, id),
            Self::Bedrock => bedrock::error_body(error),
        }
    }

    /// Makes the head of an answer, which is as OpenAI writes it, Amazon's where it is to be.
    pub fn head(self, headers: &mut HeaderMap, error: Option<&ApiError>) {
        if self != Self::Bedrock {
            return;
        }
        let id = headers.remove("x-request-id");
        let theirs: Vec<_> = headers.keys().filter(|name| is_openais(name.as_str())).cloned().collect();
        for name in theirs {
            headers.remove(name);
        }
        headers.extend(id.map(|id| (AMAZON_REQUEST_ID, id)));
        let kind = error.and_then(|error| HeaderValue::try_from(bedrock::error_type(error)).ok());
        headers.extend(kind.map(|kind| (ERROR_TYPE, kind)));
    }
}

/// Of a signature with everything that belongs to one.
fn access_key_id(authorization: &str) -> Option<&str> {
    let (id, rest) = authorization.strip_prefix(SIGNED)?.split_once('/')?;
    let (scope, rest) = rest.split_once(", SignedHeaders=")?;
    let (headers, signature) = rest.split_once(", Signature=")?;
    let whole = scope.ends_with("/bedrock/aws4_request")
        && headers.split(';').any(|name| name == "host")
        && signature.len() == 64
        && signature.bytes().all(|byte| byte.is_ascii_hexdigit());
    whole.then_some(id)
}

fn is_openais(name: &str) -> bool {
    name.starts_with("openai-") || name.starts_with("x-ratelimit-")
}
