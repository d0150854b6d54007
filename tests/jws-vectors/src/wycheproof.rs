//! C2SP Wycheproof's JWS and JWK vectors, from the folder that `QLP_VECTORS` names: they are not part of the project.

use std::path::PathBuf;

use serde_json::Value;

use crate::Item;

/// Items whose label is wrong, or wrong for us, each with the reason.
const MISLABELLED: &[(u64, &str)] = &[
    (346, "labelled valid, but the header says PS384 and the key PS256"),
    (350, "labelled valid, but the header says PS384 and the key PS256"),
    (372, "labelled valid, but contains `?`, which is no base64url"),
    (373, "labelled valid, but contains `?`, which is no base64url"),
    (367, "labelled invalid, but canonical, and the MAC verifies"),
    (370, "labelled invalid, but canonical, and the MAC verifies"),
];
const ALGORITHMS: [&str; 3] = ["HS256", "ES256", "RS256"];

/// All items of both files; none, with the reason printed, where they are not at hand.
pub(crate) fn items() -> Vec<Item> {
    let Some(folder) = std::env::var_os("QLP_VECTORS").map(PathBuf::from) else {
        println!("skipped: QLP_VECTORS does not name a folder with Wycheproof's JWS and JWK vectors");
        return Vec::new();
    };
    let read = |file: &str, is_sound: fn(&Value, &Value) -> bool| -> Vec<Item> {
        let document: Value = serde_json::from_slice(&std::fs::read(folder.join(file)).unwrap()).unwrap();
        let groups = document["testGroups"].as_array().unwrap().iter();
        groups.flat_map(|group| items_of(file, group, is_sound)).collect()
    };
    let signatures = read("json_web_signature_test.json", is_sound_signature);
    let sound = signatures.iter().filter(|item| item.is_sound).count();
    assert_eq!((signatures.len(), sound), (401, 20), "this is another edition of the file");
    let keys = read("json_web_key_test.json", is_sound_key);
    signatures.into_iter().chain(keys).collect()
}

fn items_of(file: &str, group: &Value, is_sound: fn(&Value, &Value) -> bool) -> Vec<Item> {
    let keys = group.get("public").unwrap_or(&group["private"]);
    let item = |test: &Value| Item {
        name: format!("{file} {}: {}", test["tcId"], test["comment"]),
        keys: keys.clone(),
        jws: test["jws"].as_str().unwrap_or_default().to_owned(),
        is_sound: is_sound(test, keys),
    };
    group["tests"].as_array().unwrap().iter().map(item).collect()
}

fn is_sound_signature(test: &Value, key: &Value) -> bool {
    let is_valid = test["result"] == "valid";
    if MISLABELLED.iter().any(|(id, _)| test["tcId"] == *id) {
        return !is_valid;
    }
    is_valid && ALGORITHMS.iter().any(|name| key["alg"] == *name)
}

/// A published set has no secret keys. The issuer publishes it over TLS and is trusted: how it made its primes is not
/// checked.
fn is_sound_key(test: &Value, keys: &Value) -> bool {
    let has_no_secret = || keys["keys"].as_array().unwrap().iter().all(|key| key["kty"] != "oct");
    test["comment"] == "rejectsKeyWithRocaVulnerability" || (test["result"] == "valid" && has_no_secret())
}
