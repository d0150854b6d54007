use std::sync::Arc;

use platform::PublicKey;
use serde_json::{Map, Value};

use crate::configured_keys::{self, ConfiguredKeysError};
use crate::jws::MAX_KEY_ID_BYTES;
use crate::key_set::public_key;

const MAX_KEYS: usize = 32;
const MAX_ISSUER_BYTES: usize = 256;

/// The public keys of the platform's services, each with the issuer whose tokens it may sign.
#[derive(Debug, Clone, Default)]
pub struct ServiceKeys(Vec<ServiceKey>);

#[derive(Debug, Clone)]
struct ServiceKey {
    issuer: String,
    id: String,
    key: Arc<PublicKey>,
}

impl ServiceKeys {
    /// Reads a JSON Web Key Set in which every key also names its issuer: `{"kty": …, "kid": …, "iss": "orchestrator"}`.
    pub fn parse(document: &[u8]) -> Result<Self, ConfiguredKeysError> {
        let read = |jwk: &Map<String, Value>, before: &[ServiceKey]| {
            let key = ServiceKey::read(jwk)?;
            let taken = before.iter().any(|other| other.issuer == key.issuer && other.id == key.id);
            if taken { Err("its `iss` and `kid` are another key's") } else { Ok(key) }
        };
        configured_keys::read(document, MAX_KEYS, read).map(Self)
    }

    /// Whether no service is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `issuer` is a service's.
    pub(crate) fn knows(&self, issuer: &str) -> bool {
        self.0.iter().any(|key| key.issuer == issuer)
    }

    pub(crate) fn get(&self, issuer: &str, id: &str) -> Option<&Arc<PublicKey>> {
        self.0.iter().find(|key| key.issuer == issuer && key.id == id).map(|key| &key.key)
    }
}

impl ServiceKey {
    fn read(jwk: &Map<String, Value>) -> Result<Self, &'static str> {
        let text = |name: &str, longest: usize| {
            let value = jwk.get(name).and_then(Value::as_str);
            value.filter(|value| (1..=longest).contains(&value.len())).map(str::to_owned)
        };
        let issuer = text("iss", MAX_ISSUER_BYTES).ok_or("`iss` must have 1 to 256 bytes")?;
        let id = text("kid", MAX_KEY_ID_BYTES).ok_or("`kid` must have 1 to 128 bytes")?;
        if ["d", "p", "q", "k"].iter().any(|secret| jwk.contains_key(*secret)) {
            return Err("it must be a public key, without its secret");
        }
        let key = public_key(jwk).ok_or("it must be for ES256 or RS256, with at least 2048 bits")?;
        Ok(Self { issuer, id, key: Arc::new(key) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(issuer: &str, id: &str) -> Value {
        let coordinate = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
        json!({"kty": "EC", "crv": "P-256", "kid": id, "iss": issuer, "x": coordinate, "y": coordinate})
    }

    fn parse(keys: &[Value]) -> Result<ServiceKeys, ConfiguredKeysError> {
        ServiceKeys::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn a_key_belongs_to_one_issuer() {
        let keys = parse(&[key("pool", "k"), key("agents", "k")]).unwrap();
        assert!(keys.get("pool", "k").is_some() && keys.get("agents", "k").is_some());
        assert!(keys.get("pool", "other").is_none() && keys.get("other", "k").is_none());
        assert!(keys.knows("pool") && !keys.knows("other"));
    }

    #[test]
    fn each_fault_names_the_key_and_the_rule() {
        let with = |name: &str, value: Value| {
            let mut wrong = key("agents", "b");
            wrong[name] = value;
            parse(&[key("pool", "a"), wrong]).err().map(|error| error.to_string()).unwrap_or_default()
        };
        for (name, value, rule) in [
            ("iss", json!(null), "`iss` must"),
            ("kid", json!(""), "`kid` must"),
            ("d", json!("x"), "it must be a public key"),
            ("crv", json!("P-384"), "it must be for ES256"),
            ("alg", json!("HS256"), "it must be for ES256"),
        ] {
            let fault = with(name, value);
            assert!(fault.starts_with(&format!("has a fault in key 2: {rule}")), "{name}: {fault}");
        }
        assert_eq!(parse(&[]).unwrap_err(), ConfiguredKeysError::Count { most: 32 });
        assert_eq!(parse(&[json!(1)]).unwrap_err().to_string(), "has a fault in key 1: must be an object");
        let twice = parse(&[key("pool", "a"), key("pool", "a")]).unwrap_err().to_string();
        assert_eq!(twice, "has a fault in key 2: its `iss` and `kid` are another key's");
        assert_eq!(ServiceKeys::parse(b"{}").unwrap_err(), ConfiguredKeysError::Malformed);
    }
}
