//! ES256 signing keys: which one signs, which ones are published, and what a token signed by them says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::state::random;

/// The project's signing keys. The first one signs; the others are published: standby and previously used ones.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeyRing(Vec<SigningKey>);

/// A key with its id and its place in the rotation.
#[derive(Serialize, Deserialize)]
pub(crate) struct SigningKey {
    kid: String,
    standby: bool,
    #[serde(with = "as_text")]
    key: p256::ecdsa::SigningKey,
}

/// What is wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Not three parts of JSON in base64url.
    Malformed,
    /// No published key has its `kid` and `alg`.
    UnknownKey,
    /// Signed by somebody else.
    Signature,
    /// Its time is over.
    Expired,
}

impl SigningKey {
    pub(crate) fn generate() -> Self {
        loop {
            // All but about one in 2^32 of the 256-bit numbers are keys of this curve.
            if let Ok(key) = p256::ecdsa::SigningKey::from_slice(&random::<32>()) {
                return Self { kid: random_uuid().to_string(), standby: false, key };
            }
        }
    }

    fn public(&self) -> Value {
        let point = VerifyingKey::from(&self.key).to_encoded_point(false);
        let coordinate = |bytes: Option<&p256::FieldBytes>| bytes.map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        json!({
            "alg": "ES256", "crv": "P-256", "ext": true, "key_ops": ["verify"], "kid": self.kid, "kty": "EC", "use": "sig",
            "x": coordinate(point.x()), "y": coordinate(point.y()),
        })
    }
}

impl KeyRing {
    pub(crate) fn new(key: SigningKey) -> Self {
        Self(vec![key])
    }

    /// Publishes a key that does not sign yet.
    pub(crate) fn add_standby(&mut self) {
        if !self.0.iter().any(|key| key.standby) {
            self.0.push(SigningKey { standby: true, ..SigningKey::generate() });
        }
    }

    /// Lets the standby key sign, or a new one where there is none; the key that signed before stays published.
    pub(crate) fn rotate(&mut self) {
        let standby = self.0.iter().position(|key| key.standby);
        let next = standby.map_or_else(SigningKey::generate, |index| self.0.remove(index));
        self.0.insert(0, SigningKey { standby: false, ..next });
    }

    /// Publishes nothing but the key that signs.
    pub(crate) fn revoke_others(&mut self) {
        self.0.truncate(1);
    }

    /// The JSON Web Key Set.
    pub(crate) fn jwks(&self) -> Value {
        json!({ "keys": self.0.iter().map(SigningKey::public).collect::<Vec<_>>() })
    }

    /// A token with `claims`.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let Some(key) = self.0.first() else { return String::new() };
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let content =
            format!("{}.{}", encode(&json!({ "alg": "ES256", "kid": key.kid, "typ": "JWT" })), encode(claims));
        let signature: Signature = key.key.sign(content.as_bytes());
        format!("{content}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    /// The payload of `token`, as JSON text, if a published key has signed it; its times are not looked at.
    pub(crate) fn verify(&self, token: &str) -> Result<String, Flaw> {
        #[derive(Deserialize)]
        struct Header {
            alg: String,
            kid: Option<String>,
        }
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Flaw::Malformed);
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Flaw::Malformed);
        };
        let content = token.get(..header.len() + 1 + payload.len()).ok_or(Flaw::Malformed)?;
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Flaw::Malformed)?;
        let key = self.0.iter().find(|key| header.alg == "ES256" && header.kid.as_ref() == Some(&key.kid));
        let signature = Signature::from_slice(&decode(signature)?).map_err(|_| Flaw::Signature)?;
        let key = VerifyingKey::from(&key.ok_or(Flaw::UnknownKey)?.key);
        key.verify(content.as_bytes(), &signature).map_err(|_| Flaw::Signature)?;
        String::from_utf8(decode(payload)?).map_err(|_| Flaw::Malformed)
    }
}

/// A random UUID (version 4).
pub(crate) fn random_uuid() -> Uuid {
    uuid::Builder::from_random_bytes(random()).into_uuid()
}

mod as_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use p256::ecdsa::SigningKey;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(key: &SigningKey, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(key.to_bytes()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SigningKey, D::Error> {
        let bytes = URL_SAFE_NO_PAD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)?;
        SigningKey::from_slice(&bytes).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> KeyRing {
        KeyRing::new(SigningKey::generate())
    }

    #[test]
    fn a_token_comes_back_as_it_was_signed() {
        let (ring, claims) = (ring(), json!({ "sub": "somebody", "exp": 1 }));
        let payload = ring.verify(&ring.sign(&claims)).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&payload).unwrap(), claims);
    }

    #[test]
    fn refuses_a_token_of_another_key_and_one_that_was_changed() {
        let (ring, stranger) = (ring(), self::ring());
        assert_eq!(ring.verify(&stranger.sign(&json!({}))), Err(Flaw::UnknownKey));
        let token = ring.sign(&json!({ "role": "anon" }));
        let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
        parts[1] = URL_SAFE_NO_PAD.encode(r#"{"role":"service_role"}"#);
        assert_eq!(ring.verify(&parts.join(".")), Err(Flaw::Signature));
        for text in ["", "a.b", "a.b.c", "a.b.c.d"] {
            assert_eq!(ring.verify(text), Err(Flaw::Malformed));
        }
    }

    #[test]
    fn rotation_keeps_old_tokens_valid_until_their_key_is_revoked() {
        let mut ring = ring();
        let old = ring.sign(&json!({}));
        ring.add_standby();
        let standby = ring.jwks()["keys"][1]["kid"].clone();
        ring.rotate();
        assert_eq!(ring.jwks()["keys"][0]["kid"], standby);
        assert!(ring.verify(&old).is_ok());
        ring.revoke_others();
        assert_eq!(ring.verify(&old), Err(Flaw::UnknownKey));
        assert_eq!(ring.jwks()["keys"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn a_saved_ring_signs_as_before() {
        let ring = ring();
        let saved = serde_json::to_string(&ring).unwrap();
        let read: KeyRing = serde_json::from_str(&saved).unwrap();
        assert!(ring.verify(&read.sign(&json!({}))).is_ok());
    }
}
