//! Errors in OpenAI's shape.

use bytes::Bytes;
use serde::Serialize;

use crate::behaviour::Behaviour;

/// An error as OpenAI answers it.
#[derive(Debug, Clone)]
pub struct ApiError {
    pub status: u16,
    pub message: String,
    pub kind: String,
    pub param: Option<String>,
    pub code: Option<String>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Member<'a>,
}

#[derive(Serialize)]
struct Member<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: Option<&'a str>,
}

impl ApiError {
    /// A request that cannot be understood: 400.
    pub fn invalid(message: &str, param: Option<&str>) -> Self {
        Self::new(400, message, "invalid_request_error", param, None)
    }

    /// A body that is no JSON: 400.
    pub fn unreadable(error: &serde_json::Error) -> Self {
        Self::invalid(&format!("We could not parse the JSON body of your request: {error}."), None)
    }

    /// A required member is missing: 400.
    pub fn missing(param: &str) -> Self {
        let message = format!("Missing required parameter: '{param}'.");
        Self::new(400, &message, "invalid_request_error", Some(param), Some("missing_required_parameter"))
    }

    /// The error that a behaviour asks for: what its status and code usually say, with its own words on top.
    pub fn of(behaviour: &Behaviour) -> Self {
        let mut error = Self::usual(behaviour.status.unwrap_or(500), behaviour.code.as_deref());
        let Behaviour { message, kind, param, code, .. } = behaviour.clone();
        error.message = message.unwrap_or(error.message);
        error.kind = kind.unwrap_or(error.kind);
        error.param = param.or(error.param);
        error.code = code.or(error.code);
        error
    }

    /// What OpenAI (402: Together, 403: OpenAI's region check) says with a status.
    pub fn usual(status: u16, code: Option<&str>) -> Self {
        const INVALID: &str = "invalid_request_error";
        let (message, kind, param, code) = match (status, code) {
            (400, Some("context_length_exceeded")) => (
                "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens. \
                 Please reduce the length of the messages.",
                INVALID,
                Some("messages"),
                code,
            ),
            (400, Some("content_filter")) => (
                "The response was filtered due to the prompt triggering the content management policy. Please modify \
                 your prompt and retry.",
                INVALID,
                Some("prompt"),
                code,
            ),
            (400, _) => ("The request is invalid.", INVALID, None, None),
            (401, _) => ("Incorrect API key provided.", INVALID, None, Some("invalid_api_key")),
            (402, _) => ("Credit limit exceeded.", "credit_limit", None, Some("insufficient_credits")),
            (403, _) => (
                "Country, region, or territory not supported.",
                "request_forbidden",
                None,
                Some("unsupported_country_region_territory"),
            ),
            (404, _) => {
                ("The model does not exist or you do not have access to it.", INVALID, None, Some("model_not_found"))
            }
            (429, Some("insufficient_quota")) => ("You exceeded your current quota.", "insufficient_quota", None, code),
            (429, _) => ("Rate limit reached for requests.", "requests", None, Some("rate_limit_exceeded")),
            (503, _) => (
                "The engine is currently overloaded, please try again later.",
                "server_error",
                None,
                Some("overloaded"),
            ),
            (500.., _) => ("The server had an error while processing your request.", "server_error", None, None),
            _ => ("The request was refused.", INVALID, None, None),
        };
        Self::new(status, message, kind, param, code)
    }

    /// The JSON body.
    pub fn body(&self) -> Bytes {
        let error = Member {
            message: &self.message,
            r#type: &self.kind,
            param: self.param.as_deref(),
            code: self.code.as_deref(),
        };
        serde_json::to_vec(&Envelope { error }).unwrap_or_default().into()
    }

    fn new(status: u16, message: &str, kind: &str, param: Option<&str>, code: Option<&str>) -> Self {
        let [message, kind] = [message, kind].map(str::to_owned);
        Self { status, message, kind, param: param.map(str::to_owned), code: code.map(str::to_owned) }
    }
}
