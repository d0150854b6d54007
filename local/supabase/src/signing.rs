//! ES256 signing keys: which one signs, which ones are published, and what a token signed by them says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::state::random;

/// The project's signing keys. The first one signs; the others are published: standby and previously used ones, and
/// those that somebody else signs with.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct KeyRing {
    own: Vec<SigningKey>,
    #[serde(skip)]
    imported: Vec<ImportedKey>,
}

/// A key that was imported into the project. On a hosted one that needs the private half; to verify, the public one does.
#[derive(Clone)]
pub(crate) struct ImportedKey {
    kid: String,
    key: VerifyingKey,
}

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

    fn public(&self) -> ImportedKey {
        ImportedKey { kid: self.kid.clone(), key: VerifyingKey::from(&self.key) }
    }
}

impl ImportedKey {
    /// Reads the keys of a JSON Web Key Set; `None` if it is none, or holds others than those on P-256.
    pub(crate) fn read_all(document: &str) -> Option<Vec<Self>> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Jwk>,
        }
        #[derive(Deserialize)]
        struct Jwk {
            kid: String,
            x: String,
            y: String,
        }
        let document: Document = serde_json::from_str(document).ok()?;
        let read = |jwk: &Jwk| {
            let [x, y] = [&jwk.x, &jwk.y].map(|text| URL_SAFE_NO_PAD.decode(text));
            let key = VerifyingKey::from_sec1_bytes(&[&[4], &*x.ok()?, &*y.ok()?].concat()).ok()?;
            Some(Self { kid: jwk.kid.clone(), key })
        };
        document.keys.iter().map(read).collect()
    }

    fn jwk(&self) -> Value {
        let point = self.key.to_encoded_point(false);
        let coordinate = |bytes: Option<&p256::FieldBytes>| bytes.map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        json!({
            "alg": "ES256", "crv": "P-256", "ext": true, "key_ops": ["verify"], "kid": self.kid, "kty": "EC", "use": "sig",
            "x": coordinate(point.x()), "y": coordinate(point.y()),
        })
    }
}

impl KeyRing {
    pub(crate) fn new(key: SigningKey) -> Self {
        Self { own: vec![key], imported: Vec::new() }
    }

    /// The same keys beside imported ones, which are not kept between starts.
    pub(crate) fn with_imported(self, imported: Vec<ImportedKey>) -> Self {
        Self { imported, ..self }
    }

    pub(crate) fn imported(&self) -> &[ImportedKey] {
        &self.imported
    }

    /// Every key that is published.
    fn published(&self) -> impl Iterator<Item = ImportedKey> {
        self.own.iter().map(SigningKey::public).chain(self.imported.iter().cloned())
    }

    /// Publishes a key that does not sign yet.
    pub(crate) fn add_standby(&mut self) {
        if !self.own.iter().any(|key| key.standby) {
            self.own.push(SigningKey { standby: true, ..SigningKey::generate() });
        }
    }

    /// Lets the standby key sign, or a new one where there is none; the key that signed before stays published.
    pub(crate) fn rotate(&mut self) {
        let standby = self.own.iter().position(|key| key.standby);
        let next = standby.map_or_else(SigningKey::generate, |index| self.own.remove(index));
        self.own.insert(0, SigningKey { standby: false, ..next });
    }

    /// Of the project's own keys, publishes none but the one that signs.
    pub(crate) fn revoke_others(&mut self) {
        self.own.truncate(1);
    }

    /// The JSON Web Key Set.
    pub(crate) fn jwks(&self) -> Value {
        json!({ "keys": self.published().map(|key| key.jwk()).collect::<Vec<_>>() })
    }

    /// A token with `claims`.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let Some(key) = self.own.first() else { return String::new() };
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
        let key = self.published().find(|key| header.alg == "ES256" && header.kid.as_ref() == Some(&key.kid));
        let signature = Signature::from_slice(&decode(signature)?).map_err(|_| Flaw::Signature)?;
        let key = key.ok_or(Flaw::UnknownKey)?.key;
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
    fn an_imported_key_is_published_and_verifies_but_is_not_kept() {
        let edge = ring();
        let imported = ImportedKey::read_all(&edge.jwks().to_string()).unwrap();
        let ring = ring().with_imported(imported);
        assert!(ring.verify(&edge.sign(&json!({}))).is_ok());
        assert_eq!(ring.jwks()["keys"][1], edge.jwks()["keys"][0]);
        let read: KeyRing = serde_json::from_str(&serde_json::to_string(&ring).unwrap()).unwrap();
        assert!(read.imported().is_empty());
        for document in ["", "{}", r#"{"keys":[{"kid":"a","x":"AA","y":"AA"}]}"#] {
            assert!(ImportedKey::read_all(document).is_none(), "{document}");
        }
    }

    #[test]
    fn a_saved_ring_signs_as_before() {
        let ring = ring();
        let saved = serde_json::to_string(&ring).unwrap();
        let read: KeyRing = serde_json::from_str(&saved).unwrap();
        assert!(ring.verify(&read.sign(&json!({}))).is_ok());
    }
}
