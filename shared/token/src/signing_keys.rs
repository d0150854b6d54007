use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use platform::{PrivateKey, PublicKey};
use secrecy::zeroize::Zeroizing;
use serde_json::{Map, Value, json};

use crate::configured_keys::{self, ConfiguredKeysError};
use crate::jws::MAX_KEY_ID_BYTES;

const MAX_KEYS: usize = 16;

/// The edge's own ES256 keys: the first one signs, other private ones stand by, and what has no `d` has signed before.
/// All of them are published.
#[derive(Clone)]
pub struct SigningKeys(Arc<[EdgeKey]>);

struct EdgeKey {
    id: String,
    public: Arc<PublicKey>,
    private: Option<PrivateKey>,
}

impl SigningKeys {
    /// Reads `{"keys": […]}` or a bare array of JSON Web Keys (RFC 7517).
    pub fn parse(document: &[u8]) -> Result<Self, ConfiguredKeysError> {
        let read = |jwk: &Map<String, Value>, before: &[EdgeKey]| {
            let key = EdgeKey::read(jwk)?;
            if before.is_empty() && key.private.is_none() {
                return Err("the first one signs, so it must have `d`");
            }
            if before.iter().any(|other| other.id == key.id) { Err("its `kid` is another key's") } else { Ok(key) }
        };
        configured_keys::read(document, MAX_KEYS, read).map(|keys| Self(keys.into()))
    }

    /// The key that signs, and its id.
    pub(crate) fn current(&self) -> Option<(&str, &PrivateKey)> {
        let key = self.0.first()?;
        Some((&key.id, key.private.as_ref()?))
    }

    /// The public half of the key named `id`.
    pub(crate) fn get(&self, id: &str) -> Option<&Arc<PublicKey>> {
        self.0.iter().find(|key| key.id == id).map(|key| &key.public)
    }

    /// The public halves as a JSON Web Key Set, in the order of the configuration.
    pub fn jwks(&self) -> Value {
        json!({"keys": self.0.iter().map(EdgeKey::jwk).collect::<Vec<_>>()})
    }
}

impl EdgeKey {
    fn read(jwk: &Map<String, Value>) -> Result<Self, &'static str> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let is = |name: &str, expected: &str| jwk.get(name).is_none_or(|value| value == expected);
        let id = text("kid").filter(|id| (1..=MAX_KEY_ID_BYTES).contains(&id.len()));
        let id = id.ok_or("`kid` must have 1 to 128 bytes")?.to_owned();
        if text("kty") != Some("EC") || text("crv") != Some("P-256") {
            return Err("`kty` must be EC and `crv` P-256");
        }
        if !is("alg", "ES256") || !is("use", "sig") {
            return Err("`alg` must be ES256 and `use` sig");
        }
        let operation = if jwk.contains_key("d") { "sign" } else { "verify" };
        if !jwk.get("key_ops").is_none_or(|listed| listed.as_array().is_some_and(|all| all.contains(&operation.into())))
        {
            return Err("`key_ops` must allow sign with `d`, and verify without");
        }
        let (x, y) = (number(jwk, "x"), number(jwk, "y"));
        let (x, y) = x.zip(y).ok_or("`x` and `y` must be 32 bytes in base64url")?;
        let private = match jwk.get("d") {
            None => None,
            Some(_) => Some(number(jwk, "d").ok_or("`d` must be 32 bytes in base64url")?),
        };
        let private = private.map(|d| PrivateKey::new(*d, *x, *y));
        Ok(Self { id, public: Arc::new(PublicKey::Es256 { x: *x, y: *y }), private })
    }

    fn jwk(&self) -> Value {
        let PublicKey::Es256 { x, y } = &*self.public else { return Value::Null };
        let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
        json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.id, "x": x, "y": y})
    }
}

fn number(jwk: &Map<String, Value>, name: &str) -> Option<Zeroizing<[u8; 32]>> {
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok()?);
    Some(Zeroizing::new(bytes.as_slice().try_into().ok()?))
}

/// The ids alone.
impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKeys").field(&self.0.iter().map(|key| &key.id).collect::<Vec<_>>()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private(id: &str) -> Value {
        let mut key = public(id);
        key["d"] = json!(URL_SAFE_NO_PAD.encode([9; 32]));
        key
    }

    fn public(id: &str) -> Value {
        let coordinate = URL_SAFE_NO_PAD.encode([7; 32]);
        json!({"kty": "EC", "crv": "P-256", "kid": id, "x": coordinate, "y": coordinate})
    }

    fn parse(keys: &[Value]) -> Result<SigningKeys, ConfiguredKeysError> {
        SigningKeys::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    fn fault(keys: &[Value]) -> String {
        parse(keys).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn the_first_key_signs_and_all_are_published_without_their_secret() {
        let keys = parse(&[private("current"), private("standby"), public("previous")]).unwrap();
        assert_eq!(keys.current().unwrap().0, "current");
        let published = keys.jwks();
        let ids: Vec<_> = published["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect();
        assert_eq!(ids, ["current", "standby", "previous"]);
        for key in published["keys"].as_array().unwrap() {
            let members: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
        }
        assert!(keys.get("previous").is_some() && keys.get("other").is_none());
        let bare = SigningKeys::parse(json!([private("current")]).to_string().as_bytes()).unwrap();
        assert_eq!(bare.current().unwrap().0, "current");
    }

    #[test]
    fn each_fault_names_the_key_and_the_rule() {
        let with = |name: &str, value: Value| {
            let mut key = private("b");
            key[name] = value;
            fault(&[private("a"), key])
        };
        assert_eq!(fault(&[public("a")]), "has a fault in key 1: the first one signs, so it must have `d`");
        assert_eq!(fault(&[private("a"), public("a")]), "has a fault in key 2: its `kid` is another key's");
        for (name, value, rule) in [
            ("kid", json!(""), "`kid` must have"),
            ("kid", json!("k".repeat(129)), "`kid` must have"),
            ("kid", json!(1), "`kid` must have"),
            ("crv", json!("P-384"), "`kty` must be EC"),
            ("kty", json!("RSA"), "`kty` must be EC"),
            ("alg", json!("ES384"), "`alg` must be ES256"),
            ("use", json!("enc"), "`alg` must be ES256"),
            ("key_ops", json!(["verify"]), "`key_ops` must allow"),
            ("key_ops", json!("sign"), "`key_ops` must allow"),
            ("x", json!(URL_SAFE_NO_PAD.encode([7; 31])), "`x` and `y` must be"),
            ("y", json!("=="), "`x` and `y` must be"),
            ("d", json!(URL_SAFE_NO_PAD.encode([9; 33])), "`d` must be"),
            ("d", json!(null), "`d` must be"),
        ] {
            let fault = with(name, value.clone());
            assert!(fault.starts_with(&format!("has a fault in key 2: {rule}")), "{name} {value}: {fault}");
        }
        assert!(
            parse(&[{
                let mut key = private("a");
                key["key_ops"] = json!(["sign", "verify"]);
                key["ext"] = json!(true);
                key
            }])
            .is_ok()
        );
    }

    #[test]
    fn what_is_no_set_or_has_too_many_keys_is_refused() {
        for document in ["", "{}", "null", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
            assert_eq!(
                SigningKeys::parse(document.as_bytes()).unwrap_err(),
                ConfiguredKeysError::Malformed,
                "{document}"
            );
        }
        assert_eq!(parse(&[]).unwrap_err(), ConfiguredKeysError::Count { most: 16 });
        let many: Vec<_> = (0..17).map(|number| private(&number.to_string())).collect();
        assert!(parse(&many[1..]).is_ok());
        assert_eq!(parse(&many).unwrap_err(), ConfiguredKeysError::Count { most: 16 });
        assert_eq!(fault(&[json!("a")]), "has a fault in key 1: must be an object");
    }

    #[test]
    fn neither_debug_output_nor_a_fault_gives_a_key_away() {
        let secret = URL_SAFE_NO_PAD.encode([9; 32]);
        let keys = parse(&[private("a")]).unwrap();
        assert_eq!(format!("{keys:?}"), r#"SigningKeys(["a"])"#);
        assert!(!keys.jwks().to_string().contains(&secret));
        let mut bad = private("b");
        bad["x"] = json!(secret.clone() + "A");
        assert!(!fault(&[private("a"), bad]).contains(&secret[..8]));
    }
}
