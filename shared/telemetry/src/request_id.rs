use std::fmt;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use platform::Context;

/// The header that carries a request id, in and out.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Names one request in answers, logs and calls to other services. Kept as a request extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

const MAX_LENGTH: usize = 128;

impl RequestId {
    /// The caller's id if it sent exactly one and it is 1 to 128 of `A-Z a-z 0-9 . _ -`; otherwise a new UUID.
    pub fn accept(headers: &HeaderMap, context: &Context) -> Self {
        let mut sent = headers.get_all(X_REQUEST_ID).iter();
        match (sent.next().and_then(valid), sent.next()) {
            (Some(id), None) => Self(id.into()),
            _ => Self::new(context),
        }
    }

    /// A new id.
    pub fn new(context: &Context) -> Self {
        let mut buffer = [0; 36];
        Self((&*context.new_id().hyphenated().encode_lower(&mut buffer)).into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as the value of [`X_REQUEST_ID`].
    pub fn header_value(&self) -> HeaderValue {
        // An id consists of visible ASCII, so the fallback is never used.
        HeaderValue::from_str(&self.0).unwrap_or(HeaderValue::from_static("-"))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn valid(value: &HeaderValue) -> Option<&str> {
    let id = value.to_str().ok()?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    ((1..=MAX_LENGTH).contains(&id.len()) && id.bytes().all(allowed)).then_some(id)
}

#[cfg(test)]
mod tests {
    use platform::fakes::Host;

    use super::*;

    fn accepted(values: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(X_REQUEST_ID, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        RequestId::accept(&headers, &Host::new().context()).to_string()
    }

    #[test]
    fn keeps_a_valid_id_of_the_caller() {
        let longest = "x".repeat(128);
        for id in ["a", "req_1.2-3", "018f3a7e-5c1b-7000-8000-000000000000", &longest] {
            assert_eq!(accepted(&[id]), id);
        }
    }

    #[test]
    fn replaces_what_is_missing_empty_too_long_ambiguous_or_has_other_characters() {
        let long = "x".repeat(129);
        let ours = accepted(&[]);
        assert_eq!((ours.len(), ours.as_bytes()[14]), (36, b'7'), "a UUID version 7");
        for sent in [&[""][..], &[&long], &["a b"], &["a\"b"], &["ü"], &["a", "b"]] {
            assert_eq!(accepted(sent), ours, "{sent:?}");
        }
    }
}
