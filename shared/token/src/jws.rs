use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::{Reason, strict_json};

const MAX_TOKEN_BYTES: usize = 8 * 1024;
const MAX_HEADER_BYTES: usize = 1024;
pub(crate) const MAX_KEY_ID_BYTES: usize = 128;

/// A signature algorithm that may be allowed (RFC 7518 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Es256,
    Rs256,
    Hs256,
}

/// A compact JWS (RFC 7515 section 3.1), taken apart and not yet verified.
pub(crate) struct Jws<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<String>,
    pub(crate) payload: Vec<u8>,
    pub(crate) signing_input: &'a [u8],
    pub(crate) signature: Vec<u8>,
}

impl Algorithm {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "ES256" => Some(Self::Es256),
            "RS256" => Some(Self::Rs256),
            "HS256" => Some(Self::Hs256),
            _ => None,
        }
    }
}

impl<'a> Jws<'a> {
    pub(crate) fn parse(token: &'a str) -> Result<Self, Reason> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Reason::TooLong);
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(Reason::NotCompact)?;
        let (header, payload) = signing_input.split_once('.').ok_or(Reason::NotCompact)?;
        let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
        if header.len() > MAX_HEADER_BYTES {
            return Err(Reason::TooLong);
        }
        let header = strict_json::object(&header).map_err(|_| Reason::BadHeader)?;
        let (algorithm, key_id) = read_header(&header)?;
        Ok(Self { algorithm, key_id, payload, signing_input: signing_input.as_bytes(), signature })
    }
}

/// Strict base64url: no padding, no whitespace, no dot, and no unused bits set, so that one token has one spelling.
fn decode(part: &str) -> Result<Vec<u8>, Reason> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Reason::NotCompact)
}

fn read_header(header: &Map<String, Value>) -> Result<(Algorithm, Option<String>), Reason> {
    if header.contains_key("crit") || header.contains_key("b64") {
        return Err(Reason::Extension);
    }
    for name in ["jku", "jwk", "x5u", "x5c"] {
        if header.contains_key(name) {
            tracing::debug!(member = name, "a token brings its own key, which is ignored");
        }
    }
    match text(header, "typ")? {
        None => (),
        Some(kind) if kind.eq_ignore_ascii_case("JWT") || kind.eq_ignore_ascii_case("at+jwt") => (),
        Some(_) => return Err(Reason::WrongType),
    }
    let algorithm = text(header, "alg")?.ok_or(Reason::BadHeader)?;
    let algorithm = Algorithm::named(algorithm).ok_or(Reason::AlgorithmNotAllowed)?;
    let key_id = text(header, "kid")?;
    if key_id.is_some_and(|id| id.is_empty() || id.len() > MAX_KEY_ID_BYTES) {
        return Err(Reason::UnknownKey);
    }
    Ok((algorithm, key_id.map(str::to_owned)))
}

fn text<'a>(header: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Reason> {
    header.get(name).map(|value| value.as_str().ok_or(Reason::BadHeader)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(token: &str) -> Reason {
        Jws::parse(token).err().expect("refused")
    }

    fn with_header(header: &str) -> String {
        format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(header))
    }

    #[test]
    fn takes_a_token_apart() {
        let token = with_header(r#"{"alg":"ES256","kid":"k","typ":"JWT","jku":"https://evil.test"}"#);
        let jws = Jws::parse(&token).unwrap();
        assert_eq!((jws.algorithm, jws.key_id.as_deref()), (Algorithm::Es256, Some("k")));
        assert_eq!((jws.payload.as_slice(), jws.signature.as_slice()), (&b"{}"[..], &[0][..]));
        assert_eq!(jws.signing_input, token.rsplit_once('.').unwrap().0.as_bytes());
    }

    #[test]
    fn has_exactly_three_parts_of_strict_base64url() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#);
        for token in [
            String::new(),
            header.clone(),
            format!("{header}.e30"),
            format!("{header}.e30.AA.AA"),
            format!("{header}.e30=.AA"),
            format!("{header}.e30.AA=="),
            format!("{header}.e30.A A"),
            format!("{header}.e30.AA\n"),
            format!(" {header}.e30.AA"),
            format!("{header}.e30.+/AA"),
            format!("{header}.e30.AB"),
            format!("{header}.e30.A"),
            format!("{header}.e31.AA"),
            format!("{header}.e30.\u{e9}A"),
        ] {
            assert_eq!(reason(&token), Reason::NotCompact, "{token:?}");
        }
    }

    #[test]
    fn is_at_most_8_kib_with_at_most_1_kib_of_header() {
        let token = with_header(r#"{"alg":"ES256"}"#);
        let padded = |length: usize| format!("{token}{}", "A".repeat(length - token.len()));
        assert!(Jws::parse(&padded(8192)).err() != Some(Reason::TooLong));
        assert_eq!(reason(&padded(8193)), Reason::TooLong);
        let header = |length: usize| with_header(&format!(r#"{{"alg":"ES256","x":"{}"}}"#, "x".repeat(length - 22)));
        assert!(Jws::parse(&header(1024)).is_ok());
        assert_eq!(reason(&header(1025)), Reason::TooLong);
    }

    #[test]
    fn refuses_a_header_with_repeated_members_or_wrong_types() {
        for header in [
            "[]",
            "{}",
            "{",
            r#"{"alg":"none","alg":"ES256"}"#,
            r#"{"alg":256}"#,
            r#"{"alg":null}"#,
            r#"{"alg":"ES256","kid":1}"#,
            r#"{"alg":"ES256","kid":null}"#,
            r#"{"alg":"ES256","typ":["JWT"]}"#,
        ] {
            assert_eq!(reason(&with_header(header)), Reason::BadHeader, "{header}");
        }
    }

    #[test]
    fn refuses_crit_and_b64_whatever_they_say() {
        for member in [r#""crit":[]"#, r#""crit":["exp"]"#, r#""crit":null"#, r#""b64":true"#, r#""b64":false"#] {
            assert_eq!(reason(&with_header(&format!(r#"{{"alg":"ES256",{member}}}"#))), Reason::Extension, "{member}");
        }
    }

    #[test]
    fn refuses_every_other_algorithm_none_included() {
        for name in ["none", "None", "", "HS384", "ES384", "RS512", "PS256", "EdDSA", "es256", "ES256 "] {
            assert_eq!(reason(&with_header(&format!(r#"{{"alg":"{name}"}}"#))), Reason::AlgorithmNotAllowed, "{name}");
        }
    }

    #[test]
    fn refuses_other_types_of_token() {
        for kind in ["logout+jwt", "secevent+jwt", "dpop+jwt", "", "JWT2"] {
            let header = format!(r#"{{"alg":"ES256","typ":"{kind}"}}"#);
            assert_eq!(reason(&with_header(&header)), Reason::WrongType, "{kind}");
        }
        for kind in ["JWT", "at+jwt"] {
            assert!(Jws::parse(&with_header(&format!(r#"{{"alg":"ES256","typ":"{kind}"}}"#))).is_ok());
        }
    }

    #[test]
    fn refuses_a_key_id_that_no_issuer_uses() {
        for key_id in [String::new(), "k".repeat(129)] {
            assert_eq!(reason(&with_header(&format!(r#"{{"alg":"ES256","kid":"{key_id}"}}"#))), Reason::UnknownKey);
        }
    }
}
