use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, HeaderValue};
use memchr::memchr3;

use crate::sessions::COOKIE as SESSION_COOKIE;
use crate::{Reason, Refusal, api_key};

const API_KEY_HEADER: &str = "x-api-key";

/// The one credential that a request carries.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Credential<'a> {
    AccessToken(&'a str),
    ApiKey(&'a str),
    /// The value of the session cookie.
    Session(&'a str),
}

impl<'a> Credential<'a> {
    /// Finds the credential. Two are as bad as a wrong one: which of them counts would be a guess.
    pub(crate) fn of(headers: &'a HeaderMap) -> Result<Self, Refusal> {
        let mut authorization = headers.get_all(AUTHORIZATION).iter();
        let mut api_keys = headers.get_all(API_KEY_HEADER).iter();
        let mut sessions = session_cookies(headers);
        let (bearer, api_key, session) = (authorization.next(), api_keys.next(), sessions.next());
        let sent = [bearer.is_some(), api_key.is_some(), session.is_some()].into_iter().filter(|sent| *sent).count();
        if sent > 1 || authorization.next().is_some() || api_keys.next().is_some() || sessions.next().is_some() {
            return Err(Reason::SeveralCredentials.into());
        }
        match (bearer, api_key, session) {
            (Some(header), ..) => {
                let token = bearer_token(header).ok_or(Reason::NotBearer)?;
                let is_api_key = token.starts_with(api_key::PREFIX);
                Ok(if is_api_key { Self::ApiKey(token) } else { Self::AccessToken(token) })
            }
            (None, Some(header), _) => Ok(Self::ApiKey(header.to_str().map_err(|_| Reason::MalformedApiKey)?)),
            (None, None, Some(value)) => Ok(Self::Session(str::from_utf8(value).map_err(|_| Reason::UnknownSession)?)),
            (None, None, None) => Err(Refusal::Missing),
        }
    }
}

/// RFC 6750 section 2.1, with the scheme in any case (RFC 9110 section 11.1) and exactly one space. A header value has no
/// control character but the tab.
pub(crate) fn bearer_token(header: &HeaderValue) -> Option<&str> {
    let (scheme, token) = header.as_bytes().split_at_checked("bearer ".len())?;
    let valid = scheme.eq_ignore_ascii_case(b"bearer ")
        && !token.is_empty()
        && token.is_ascii()
        && memchr3(b' ', b'\t', b',', token).is_none();
    if valid { str::from_utf8(token).ok() } else { None }
}

/// The values of all session cookies that were sent (RFC 6265bis section 5.8.3).
fn session_cookies(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|header| header.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(|pair| {
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let name = parts.next().unwrap_or_default().trim_ascii();
        (name == SESSION_COOKIE.as_bytes()).then(|| parts.next().unwrap_or_default().trim_ascii())
    })
}

/// Whether a session cookie was sent.
pub(crate) fn has_session_cookie(headers: &HeaderMap) -> bool {
    session_cookies(headers).next().is_some()
}

/// The value of the session cookie, whatever else was sent; `None` unless there is exactly one.
pub(crate) fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let mut sessions = session_cookies(headers);
    let first = sessions.next()?;
    if sessions.next().is_some() { None } else { str::from_utf8(first).ok() }
}

#[cfg(test)]
mod tests {
    use http::header::HeaderName;
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let parse = |(name, value): &(&str, &str)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap())
        };
        let mut headers = HeaderMap::new();
        for (name, value) in pairs.iter().map(parse) {
            headers.append(name, value);
        }
        headers
    }

    fn refusal(pairs: &[(&str, &str)]) -> Refusal {
        Credential::of(&headers(pairs)).unwrap_err()
    }

    #[test]
    fn reads_a_bearer_token_whatever_the_scheme_s_case() {
        for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
            let headers = headers(&[("authorization", &format!("{scheme} a.b.c"))]);
            assert_eq!(Credential::of(&headers), Ok(Credential::AccessToken("a.b.c")));
        }
    }

    #[test]
    fn reads_an_api_key_from_either_header() {
        for pair in [("authorization", "Bearer qlp_test_x"), ("x-api-key", "qlp_test_x")] {
            assert_eq!(Credential::of(&headers(&[pair])), Ok(Credential::ApiKey("qlp_test_x")));
        }
    }

    #[test]
    fn nothing_is_missing_and_not_invalid() {
        assert_eq!(refusal(&[]), Refusal::Missing);
        assert_eq!(refusal(&[("cookie", "theme=dark; __Host-qlp_sessions=1")]), Refusal::Missing);
    }

    #[test]
    fn another_scheme_or_form_is_refused_and_does_not_count_as_nothing() {
        for value in
            ["", "Bearer", "Bearer ", "Bearer  a.b.c", "Bearer a.b.c d", "Basic eDp5", "a.b.c", "Bearer\ta.b.c"]
        {
            assert_eq!(refusal(&[("authorization", value)]), Reason::NotBearer.into(), "{value:?}");
        }
    }

    #[test]
    fn two_credentials_are_refused_even_when_they_are_the_same() {
        let (bearer, key) = (("authorization", "Bearer a.b.c"), ("x-api-key", "qlp_test_x"));
        let cookie = ("cookie", "theme=dark; __Host-qlp_session=x");
        for pairs in [[bearer, bearer], [key, key], [bearer, key], [bearer, cookie], [key, cookie]] {
            assert_eq!(refusal(&pairs), Reason::SeveralCredentials.into(), "{pairs:?}");
        }
    }

    #[test]
    fn a_session_cookie_is_found_among_others_and_an_empty_one_does_not_count_as_nothing() {
        for (header, value) in [
            ("__Host-qlp_session=x", "x"),
            ("a=b; __Host-qlp_session=x=y ; c=d", "x=y"),
            ("a=b;__Host-qlp_session=", ""),
            ("__Host-qlp_session", ""),
        ] {
            assert_eq!(Credential::of(&headers(&[("cookie", header)])), Ok(Credential::Session(value)));
        }
    }

    #[test]
    fn two_session_cookies_are_refused() {
        let cookie = ("cookie", "__Host-qlp_session=x");
        for pairs in [&[("cookie", "__Host-qlp_session=x; __Host-qlp_session=x")][..], &[cookie, cookie]] {
            assert_eq!(refusal(pairs), Reason::SeveralCredentials.into());
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_besides_a_credential_never_counts_as_nothing(
            bearer in proptest::option::of("[ -~]{0,20}"),
            key in proptest::option::of("[ -~]{0,20}"),
            session in any::<bool>(),
        ) {
            let mut pairs = Vec::new();
            pairs.extend(bearer.as_deref().map(|value| ("authorization", value)));
            pairs.extend(key.as_deref().map(|value| ("x-api-key", value)));
            pairs.extend(session.then_some(("cookie", "__Host-qlp_session=x")));
            let headers = headers(&pairs);
            let found = Credential::of(&headers);
            match pairs.len() {
                0 => prop_assert_eq!(found, Err(Refusal::Missing)),
                1 => prop_assert_ne!(found, Err(Refusal::Missing)),
                _ => prop_assert_eq!(found, Err(Reason::SeveralCredentials.into())),
            }
        }
    }
}
