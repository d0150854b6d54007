use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use http::header::{HeaderMap, HeaderName, ORIGIN};

const CSRF_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

pub(super) fn encode(token: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(token)
}

/// Methods that change nothing (RFC 9110 section 9.2.1).
pub(super) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether a page of the edge's own origin or of `origins` can have sent this, and has the token. The browser writes where
/// a request comes from, and no page can change it; a page elsewhere cannot read the token, nor send the header without
/// being asked for leave (Fetch, "CORS-preflight request").
pub(super) fn may_come(headers: &HeaderMap, origins: &[String], is_token: impl Fn(&[u8]) -> bool) -> bool {
    let site = headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "same-origin");
    let origin = headers.get(ORIGIN).is_some_and(|origin| origins.iter().any(|allowed| origin == allowed.as_str()));
    let mut tokens = headers.get_all(CSRF_TOKEN).iter();
    let (token, second) = (tokens.next(), tokens.next());
    let token = token.and_then(|token| URL_SAFE_NO_PAD.decode(token).ok());
    (site || origin) && second.is_none() && token.is_some_and(|token| is_token(&token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(pairs: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        may_come(&headers, &["https://app.test".to_owned()], |token| token == [7; 32])
    }

    #[test]
    fn a_request_needs_an_origin_of_ours_and_the_token() {
        let token = encode(&[7; 32]);
        let (right, wrong) = (("x-csrf-token", token.as_str()), ("x-csrf-token", "AAAA"));
        let (same, app) = (("sec-fetch-site", "same-origin"), ("origin", "https://app.test"));
        assert!(may(&[same, right]) && may(&[app, right]) && may(&[same, app, right]));
        assert!(may(&[("sec-fetch-site", "cross-site"), app, right]), "a page that is allowed elsewhere");
        for pairs in [
            &[right][..],
            &[same],
            &[app],
            &[same, wrong],
            &[same, right, right],
            &[same, wrong, right],
            &[("sec-fetch-site", "same-site"), right],
            &[("sec-fetch-site", "none"), right],
            &[("origin", "https://app.test.evil.test"), right],
            &[("origin", "null"), right],
            &[("origin", "https://evil.test"), ("sec-fetch-site", "cross-site"), right],
        ] {
            assert!(!may(pairs), "{pairs:?}");
        }
    }

    #[test]
    fn safe_methods_are_those_that_change_nothing() {
        assert!([Method::GET, Method::HEAD, Method::OPTIONS].iter().all(is_safe));
        assert!(![Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::TRACE].iter().any(is_safe));
    }
}
