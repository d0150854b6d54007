//! C2SP Wycheproof's JWS and JWK vectors, from the folder that `QLP_VECTORS` names.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use platform::fakes::Host;
use serde_json::{Value, json};
use signature::PureRust;

use crate::authenticator::{check_mac, check_signature};
use crate::jws::Jws;
use crate::key_set::{KeySet, verifies};

/// Items whose label is wrong, or wrong for us, each with the reason.
const MISLABELLED: &[(u64, &str)] = &[
    (346, "labelled valid, but the header says PS384 and the key PS256"),
    (350, "labelled valid, but the header says PS384 and the key PS256"),
    (372, "labelled valid, but contains `?`, which is no base64url"),
    (373, "labelled valid, but contains `?`, which is no base64url"),
    (367, "labelled invalid, but canonical, and the MAC verifies"),
    (370, "labelled invalid, but canonical, and the MAC verifies"),
];

#[test]
fn no_invalid_jws_is_accepted_and_every_sound_one_is() {
    let Some(groups) = groups("json_web_signature_test.json") else { return };
    let (mut accepted, mut refused) = (0, 0);
    for group in &groups {
        let key = group.get("public").unwrap_or(&group["private"]);
        for item in group["tests"].as_array().unwrap() {
            let id = item["tcId"].as_u64().unwrap();
            let verdict = verify(item["jws"].as_str().unwrap_or_default(), key);
            let valid = item["result"] == "valid";
            let expected = if MISLABELLED.iter().any(|(mislabelled, _)| *mislabelled == id) {
                !valid
            } else {
                valid && ["HS256", "ES256", "RS256"].iter().any(|name| key["alg"] == *name)
            };
            assert_eq!(verdict, expected, "item {id}: {}", item["comment"]);
            *if verdict { &mut accepted } else { &mut refused } += 1;
        }
    }
    println!("{accepted} accepted, {refused} refused");
    assert_eq!(accepted + refused, 401);
}

#[test]
fn no_token_is_accepted_under_an_unsound_key() {
    let Some(groups) = groups("json_web_key_test.json") else { return };
    for group in &groups {
        let keys = group.get("public").unwrap_or(&group["private"]);
        for item in group["tests"].as_array().unwrap() {
            let comment = item["comment"].as_str().unwrap();
            // The issuer publishes the set over TLS and is trusted: how it made its primes is not checked.
            let expected = comment == "rejectsKeyWithRocaVulnerability"
                || (item["result"] == "valid"
                    && keys["keys"].as_array().unwrap().iter().all(|key| key["kty"] != "oct"));
            let verdict = verify_with_set(item["jws"].as_str().unwrap(), keys);
            assert_eq!(verdict, expected, "item {}: {comment}", item["tcId"]);
        }
    }
}

fn groups(file: &str) -> Option<Vec<Value>> {
    let Some(folder) = std::env::var_os("QLP_VECTORS") else {
        println!("skipped: QLP_VECTORS does not name a folder with Wycheproof's {file}");
        return None;
    };
    let document: Value = serde_json::from_slice(&std::fs::read(PathBuf::from(folder).join(file)).unwrap()).unwrap();
    Some(document["testGroups"].as_array().unwrap().clone())
}

/// As the authenticator does with a published key, and with the legacy secret for `oct`.
fn verify(token: &str, key: &Value) -> bool {
    if key["kty"] != "oct" {
        return verify_with_set(token, &json!({ "keys": [key] }));
    }
    let Ok(jws) = Jws::parse(token) else { return false };
    let secret = URL_SAFE_NO_PAD.decode(key["k"].as_str().unwrap()).unwrap();
    jws.key_id.as_deref() == key["kid"].as_str()
        && verifies(key.as_object().unwrap(), "HS256")
        && check_mac(&jws, &secret).is_ok()
}

fn verify_with_set(token: &str, keys: &Value) -> bool {
    let Ok(jws) = Jws::parse(token) else { return false };
    let set = KeySet::parse(keys.to_string().as_bytes()).unwrap();
    let Some(key) = jws.key_id.as_deref().and_then(|id| set.get(id)) else { return false };
    let host = Host::new();
    let context = platform::Context { signatures: Arc::new(PureRust), ..host.context() };
    host.block_on(check_signature(&jws, key, &context)).is_ok()
}
