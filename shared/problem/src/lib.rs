//! What went wrong, told to the caller: RFC 9457 problem details, and the same in the dialects that OpenAI's,
//! Anthropic's and OAuth's clients parse.
//!
//! A [`Problem`] says what was wrong, where, and what to do. It never carries an upstream's text, a key, or another
//! tenant's data: whoever builds one writes its words.

mod dialect;
mod kind;

pub use dialect::Dialect;
pub use kind::{ALL, Kind, kinds};

use http::header::{ALLOW, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

/// One answer to something that went wrong. Boxed inside, so that a `Result` with it stays small.
#[derive(Debug, Clone)]
pub struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    kind: &'static Kind,
    detail: Option<String>,
    violations: Vec<Violation>,
    headers: HeaderMap,
}

/// One place in the request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// A JSON pointer into the body (RFC 6901), or the name of a header or query parameter.
    pub pointer: String,
    /// What is wrong there and what would be right.
    pub detail: String,
}

impl Problem {
    /// A problem of `kind`, without further detail.
    pub fn new(kind: &'static Kind) -> Self {
        Self(Box::new(Parts { kind, detail: None, violations: Vec::new(), headers: HeaderMap::new() }))
    }

    /// A known path with another method; `methods` is the value of `Allow`, such as `GET, HEAD`.
    pub fn method_not_allowed(methods: &str) -> Self {
        Self::new(kinds::METHOD_NOT_ALLOWED).detail(format!("Use {methods}.")).header(ALLOW, methods)
    }

    /// What is wrong with this very request and what to change.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Points at one fault in the request.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.0.violations.push(Violation { pointer: pointer.into(), detail: detail.into() });
        self
    }

    /// Adds a response header, such as `Retry-After` or `Allow`. A value that is not a valid header is left out.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers.insert(name, value);
        }
        self
    }

    /// What kind of problem it is.
    pub fn kind(&self) -> &'static Kind {
        self.0.kind
    }

    /// The one sentence for people: the detail, the first fault, or the kind's title.
    pub fn message(&self) -> String {
        self.0.message()
    }

    /// The body in `dialect`, which is also sent inside a stream that has already begun.
    pub fn body(&self, dialect: Dialect, request_id: &str) -> Value {
        dialect.body(&self.0, request_id)
    }

    /// The OpenAI error body.
    pub fn openai_body(&self) -> String {
        self.body(Dialect::OpenAi, "").to_string()
    }

    /// The response in `dialect`: status, headers (with `cache-control: no-store`) and body.
    pub fn into_response(self, dialect: Dialect, request_id: &str) -> http::Response<bytes::Bytes> {
        dialect.render(self, request_id)
    }
}

impl Parts {
    fn message(&self) -> String {
        match (&self.detail, self.violations.first()) {
            (Some(detail), _) => detail.clone(),
            (None, Some(first)) => first.detail.clone(),
            (None, None) => self.kind.title.to_owned(),
        }
    }
}

impl From<&'static Kind> for Problem {
    fn from(kind: &'static Kind) -> Self {
        Self::new(kind)
    }
}
