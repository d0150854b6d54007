use http::HeaderMap;
use platform::Timestamp;
use uuid::Uuid;

use crate::Principal;
use crate::api_key::{self, ApiKey};
use crate::claims::Claims;
use crate::credential::Credential;
use crate::jws::Jws;

/// Whom a credential names. Nothing of it is proven: it is for telling of a refusal, and for nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// An API key with a right checksum, which anybody can compute.
    ApiKey {
        /// The beginning of the key, by which its owner recognises it.
        prefix: String,
    },
    /// The subject of an access token.
    User(Uuid),
}

/// Whom the one credential in `headers` names, if anybody.
pub fn claimed(headers: &HeaderMap) -> Option<Claimed> {
    match Credential::of(headers).ok()? {
        Credential::ApiKey(token) | Credential::AccessToken(token) => claimed_by(token),
        Credential::Session(_) => None,
    }
}

/// Whom an API key or an access token names, if anybody.
pub fn claimed_by(token: &str) -> Option<Claimed> {
    if token.starts_with(api_key::PREFIX) {
        return Some(Claimed::ApiKey { prefix: ApiKey::parse(token)?.display_prefix().into() });
    }
    unverified(token).map(|found| Claimed::User(found.user_id))
}

/// The user and the organization of an access token that came from the issuer itself, over its own connection. The
/// signature is not checked.
pub fn issued_to(access_token: &str) -> Option<(Uuid, Option<Uuid>)> {
    unverified(access_token).map(|found| (found.user_id, found.org_id))
}

fn unverified(token: &str) -> Option<Principal> {
    let claims = Claims::parse(&Jws::parse(token).ok()?.payload).ok()?;
    claims.principal(Timestamp::MAX).ok()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use http::HeaderValue;
    use http::header::AUTHORIZATION;

    use super::*;

    const USER: &str = "00000000-0000-4000-8000-000000000001";
    const ORG: &str = "00000000-0000-4000-8000-00000000000a";

    fn token(claims: &str) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", encode(r#"{"alg":"ES256","kid":"k"}"#), encode(claims), encode("unsigned"))
    }

    fn of(credential: &str) -> Option<Claimed> {
        let value = HeaderValue::from_str(&format!("Bearer {credential}")).unwrap();
        claimed(&[(AUTHORIZATION, value)].into_iter().collect())
    }

    #[test]
    fn a_credential_names_a_user_or_the_beginning_of_a_key() {
        assert_eq!(of(&token(&format!(r#"{{"sub":"{USER}"}}"#))), Some(Claimed::User(USER.parse().unwrap())));
        let prefix = "qlp_test_0123".to_owned();
        assert_eq!(of("qlp_test_0123456789ABCDEFGHIJKLMNOPQ3BQI4O"), Some(Claimed::ApiKey { prefix }));
    }

    #[test]
    fn what_names_nobody_is_none() {
        for credential in ["x", "qlp_test_x", "qlp_invite_x", "a.b.c", &token("{}"), &token(r#"{"sub":"x"}"#)] {
            assert_eq!(of(credential), None, "{credential}");
        }
    }

    #[test]
    fn a_token_from_the_issuer_tells_user_and_organization() {
        let with_org = token(&format!(r#"{{"sub":"{USER}","app_metadata":{{"org_id":"{ORG}"}}}}"#));
        assert_eq!(issued_to(&with_org), Some((USER.parse().unwrap(), ORG.parse().ok())));
        let without = token(&format!(r#"{{"sub":"{USER}"}}"#));
        assert_eq!(issued_to(&without), Some((USER.parse().unwrap(), None)));
        assert_eq!(issued_to("opaque"), None);
    }
}
