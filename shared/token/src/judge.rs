use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use platform::Context;
use serde_json::{Value, json};

use crate::authenticator::{check_mac, check_signature};
use crate::jws::Jws;
use crate::key_set::{KeySet, verifies};
use crate::{Reason, Refusal};

/// Whether `token` has strict form and is signed by one of `keys`, as [`Authenticator`](crate::Authenticator) checks
/// both; its claims are not read.
///
/// `keys` is what an issuer publishes, one JSON Web Key or a set of them (RFC 7517), or one `oct` key, which is checked
/// as the configured HS256 secret is.
pub async fn judge(token: &str, keys: &Value, context: &Context) -> Result<(), Refusal> {
    let jws = Jws::parse(token)?;
    if keys.get("kty").is_some_and(|kind| kind == "oct") {
        return Ok(judge_by_secret(&jws, keys)?);
    }
    let keys = if keys.get("keys").is_some() { keys.clone() } else { json!({ "keys": [keys] }) };
    let set = KeySet::parse(keys.to_string().as_bytes()).unwrap_or_default();
    let id = jws.key_id.as_deref().ok_or(Reason::NoKeyId)?;
    check_signature(&jws, set.get(id).ok_or(Reason::UnknownKey)?, context).await
}

fn judge_by_secret(jws: &Jws<'_>, key: &Value) -> Result<(), Reason> {
    let secret = key.get("k").and_then(Value::as_str).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let (secret, key) = secret.zip(key.as_object()).ok_or(Reason::UnknownKey)?;
    if jws.key_id.as_deref() != key.get("kid").and_then(Value::as_str) {
        return Err(Reason::UnknownKey);
    }
    if verifies(key, "HS256") { check_mac(jws, &secret) } else { Err(Reason::KeyMismatch) }
}
