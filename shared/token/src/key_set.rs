use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use platform::PublicKey;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::jws::Algorithm;
use crate::strict_json;

const MAX_KEYS: usize = 32;
/// 2048 to 4096 bits.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=512;
/// WebCrypto takes no longer one everywhere, and no issuer uses one.
const MAX_EXPONENT_BYTES: usize = 4;

/// An issuer's public keys by `kid` (RFC 7517 section 5).
///
/// Keys of other types, for other algorithms or uses, without a `kid`, or sharing one are left out, and secret (`oct`)
/// keys always: what is published cannot be a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<(String, Arc<PublicKey>)>,
}

/// Why a document is no key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeySetError {
    /// Not `{"keys": […]}` or `[…]` in JSON without repeated members.
    #[error("is not a JSON Web Key Set")]
    Malformed,
    /// More than 32 keys.
    #[error("has more than 32 keys")]
    TooManyKeys,
}

impl KeySet {
    /// Reads `{"keys": […]}` or a bare array of keys.
    pub fn parse(document: &[u8]) -> Result<Self, KeySetError> {
        let document = strict_json::value(document).map_err(|_| KeySetError::Malformed)?;
        let listed = document.get("keys").unwrap_or(&document).as_array().ok_or(KeySetError::Malformed)?;
        if listed.len() > MAX_KEYS {
            return Err(KeySetError::TooManyKeys);
        }
        let usable = |key: &Value| {
            let key = key.as_object()?;
            Some((text(key, "kid")?.to_owned(), Arc::new(public_key(key)?)))
        };
        let mut keys: Vec<_> = listed.iter().filter_map(usable).collect();
        let ids: Vec<_> = listed.iter().map(|key| key.get("kid").and_then(Value::as_str)).collect();
        keys.retain(|(id, _)| ids.iter().filter(|other| **other == Some(id)).count() == 1);
        Ok(Self { keys })
    }

    /// The key named `id`.
    pub(crate) fn get(&self, id: &str) -> Option<&Arc<PublicKey>> {
        self.keys.iter().find(|(other, _)| other == id).map(|(_, key)| key)
    }
}

/// The one algorithm that `key` may be used with: the token does not choose it.
pub(crate) fn algorithm_of(key: &PublicKey) -> Algorithm {
    match key {
        PublicKey::Es256 { .. } => Algorithm::Es256,
        PublicKey::Rs256 { .. } => Algorithm::Rs256,
    }
}

/// The key, if it is one that may verify.
pub(crate) fn public_key(key: &Map<String, Value>) -> Option<PublicKey> {
    match text(key, "kty")? {
        "EC" if text(key, "crv") == Some("P-256") && verifies(key, "ES256") => {
            Some(PublicKey::Es256 { x: coordinate(key, "x")?, y: coordinate(key, "y")? })
        }
        "RSA" if verifies(key, "RS256") => {
            let (n, e) = (number(key, "n")?, number(key, "e")?);
            let long_enough =
                MODULUS_BYTES.contains(&n.len()) && (n.len() > *MODULUS_BYTES.start() || n.first()? & 0x80 != 0);
            let odd_above_one = e.last()? & 1 == 1 && e != [1] && e.len() <= MAX_EXPONENT_BYTES;
            (long_enough && odd_above_one).then_some(PublicKey::Rs256 { n, e })
        }
        _ => None,
    }
}

/// Whether `alg`, `use` and `key_ops`, where the key has them, allow verifying with `algorithm` (RFC 7517 section 4).
pub(crate) fn verifies(key: &Map<String, Value>, algorithm: &str) -> bool {
    let is = |name, expected: &str| key.get(name).is_none_or(|value| value == expected);
    let lists_verify = |value: &Value| {
        value.as_array().is_some_and(|operations| operations.iter().any(|operation| operation == "verify"))
    };
    is("alg", algorithm) && is("use", "sig") && key.get("key_ops").is_none_or(lists_verify)
}

fn text<'a>(key: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    key.get(name)?.as_str()
}

fn coordinate(key: &Map<String, Value>, name: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(text(key, name)?).ok()?.try_into().ok()
}

/// A big-endian number in the fewest bytes (RFC 7518 section 2, Base64urlUInt).
fn number(key: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text(key, name)?).ok()?;
    (*bytes.first()? != 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ec(id: &str) -> Value {
        let coordinate = URL_SAFE_NO_PAD.encode([7; 32]);
        json!({"kty": "EC", "crv": "P-256", "kid": id, "alg": "ES256", "use": "sig", "key_ops": ["verify"],
               "x": coordinate, "y": coordinate})
    }

    fn rsa(id: &str, modulus: &[u8], exponent: &[u8]) -> Value {
        json!({"kty": "RSA", "kid": id, "n": URL_SAFE_NO_PAD.encode(modulus), "e": URL_SAFE_NO_PAD.encode(exponent)})
    }

    fn set(keys: &[Value]) -> KeySet {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    fn changed(mut key: Value, name: &str, value: Value) -> Value {
        key[name] = value;
        key
    }

    #[test]
    fn finds_keys_by_kid_in_an_object_or_a_bare_array() {
        let expected = PublicKey::Es256 { x: [7; 32], y: [7; 32] };
        let bare = KeySet::parse(json!([ec("a")]).to_string().as_bytes()).unwrap();
        for set in [set(&[ec("a"), rsa("b", &[0xff; 256], &[1, 0, 1])]), bare] {
            assert_eq!(set.get("a").map(|key| &**key), Some(&expected));
            assert_eq!(set.get("c"), None);
        }
        assert_eq!(
            set(&[rsa("b", &[0xff; 256], &[1, 0, 1])]).get("b").map(|key| algorithm_of(key)),
            Some(Algorithm::Rs256)
        );
    }

    #[test]
    fn leaves_out_keys_for_other_algorithms_and_uses() {
        for key in [
            changed(ec("a"), "crv", json!("P-384")),
            changed(ec("a"), "alg", json!("RS256")),
            changed(ec("a"), "alg", json!("HS256")),
            changed(ec("a"), "alg", json!(null)),
            changed(ec("a"), "use", json!("enc")),
            changed(ec("a"), "key_ops", json!(["encrypt"])),
            changed(ec("a"), "key_ops", json!("verify")),
            changed(ec("a"), "x", json!(URL_SAFE_NO_PAD.encode([7; 31]))),
            changed(ec("a"), "kty", json!("RSA")),
            changed(ec("a"), "kid", json!(7)),
            json!({"kty": "oct", "kid": "a", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode([7; 32])}),
            json!({"kty": "OKP", "kid": "a", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([7; 32])}),
            json!("a"),
        ] {
            assert_eq!(set(&[key.clone(), ec("b")]).get("a"), None, "{key}");
            assert!(set(&[key, ec("b")]).get("b").is_some());
        }
    }

    #[test]
    fn leaves_out_weak_rsa_keys() {
        let short = [&[0x7f][..], &[0xff; 255]].concat();
        for (modulus, exponent) in [
            (&[0xff; 128][..], &[1, 0, 1][..]),
            (&short, &[1, 0, 1]),
            (&[0xff; 513], &[1, 0, 1]),
            (&[0xff; 256], &[1]),
            (&[0xff; 256], &[2]),
            (&[0xff; 256], &[0, 3]),
            (&[0xff; 256], &[1, 0, 0, 0, 1]),
            (&[0xff; 256], &[]),
        ] {
            assert_eq!(set(&[rsa("a", modulus, exponent)]).get("a"), None, "{exponent:?}");
        }
    }

    #[test]
    fn leaves_out_keys_that_share_a_kid() {
        let other = changed(ec("a"), "x", json!(URL_SAFE_NO_PAD.encode([8; 32])));
        assert_eq!(set(&[ec("a"), other]), KeySet::default());
        assert_eq!(set(&[ec("a"), json!({"kty": "oct", "kid": "a"})]), KeySet::default());
    }

    #[test]
    fn refuses_what_is_no_set_or_too_large() {
        for document in ["", "<html>", "{}", r#"{"keys":{}}"#, "null", r#"{"keys":[],"keys":[]}"#] {
            assert_eq!(KeySet::parse(document.as_bytes()), Err(KeySetError::Malformed), "{document}");
        }
        let many: Vec<_> = (0..33).map(|number| ec(&number.to_string())).collect();
        assert!(KeySet::parse(json!({ "keys": many[1..] }).to_string().as_bytes()).is_ok());
        assert_eq!(KeySet::parse(json!({ "keys": many }).to_string().as_bytes()), Err(KeySetError::TooManyKeys));
    }
}
