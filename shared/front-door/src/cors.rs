use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use http::{Method, StatusCode};
use platform::{Body, Configuration, Response};

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
const EXPOSED: &str = "ratelimit, ratelimit-policy, retry-after, retry-after-ms, location, server-timing, x-request-id, \
                       x-qlp-provider, x-qlp-model, x-qlp-attempts, x-qlp-cost-usd, x-qlp-cache, \
                       x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, \
                       x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens";
/// How long a browser may keep the answer to a preflight, in seconds.
const MAX_AGE: &str = "7200";
/// The most bytes of requested header names that a preflight may ask for.
const MAX_REQUESTED_HEADERS: usize = 1024;

/// Which web origins may call the edge from a browser: exact matches only, never `*`, never `null`.
pub struct Cors {
    origins: Vec<String>,
}

impl Cors {
    /// Allows no origin.
    pub fn none() -> Self {
        Self { origins: Vec::new() }
    }

    /// Reads `ALLOWED_ORIGINS`. Unset allows none.
    pub async fn read(read: &mut Configuration<'_>) -> Option<Self> {
        read.origins("ALLOWED_ORIGINS").await.map(|origins| Self { origins })
    }

    /// The answer to a preflight, or `None` when the request is not one.
    ///
    /// It needs no credential. The headers asked for are allowed as they are: the origin is trusted or gets nothing.
    pub fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Response> {
        if method != Method::OPTIONS || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        if self.allowed(headers).is_some() {
            let answer = response.headers_mut();
            answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
            answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
            let requested = headers.get(ACCESS_CONTROL_REQUEST_HEADERS);
            if let Some(requested) = requested.filter(|value| value.len() <= MAX_REQUESTED_HEADERS) {
                answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, requested.clone());
            }
        }
        Some(response)
    }

    /// Adds what lets the caller's page read `response`; `Vary: Origin` always, for the caches between.
    pub fn apply(&self, request: Option<&HeaderValue>, response: &mut HeaderMap) {
        response.append(VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = request.filter(|origin| self.allows(origin)) {
            response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        }
    }

    fn allowed<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        headers.get(ORIGIN).filter(|origin| self.allows(origin))
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        self.origins.iter().any(|allowed| origin.as_bytes() == allowed.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors() -> Cors {
        Cors { origins: vec!["https://app.example.com".into()] }
    }

    fn answer(origin: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        cors().apply(Some(&HeaderValue::from_str(origin).unwrap()), &mut headers);
        headers
    }

    #[test]
    fn an_allowed_origin_may_read_the_answer() {
        assert_eq!(answer("https://app.example.com")[ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example.com");
    }

    #[test]
    fn any_other_origin_gets_vary_and_nothing_else() {
        for origin in ["https://app.example.com.evil.io", "http://app.example.com", "null", "https://APP.example.com"] {
            let headers = answer(origin);
            assert_eq!((headers.len(), &headers[VARY]), (1, &HeaderValue::from_static("Origin")), "{origin}");
        }
    }

    #[test]
    fn a_preflight_is_answered_without_a_credential() {
        let headers = [
            ("origin", "https://app.example.com"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization, x-stainless-lang"),
        ];
        let headers: HeaderMap =
            headers.into_iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect();
        let response = cors().preflight(&Method::OPTIONS, &headers).unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_HEADERS], "authorization, x-stainless-lang");
        assert!(cors().preflight(&Method::POST, &headers).is_none());
    }
}
