use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use p256::SecretKey;
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use serde_json::json;

use crate::Error;

/// The secret in the file `kept`: 256 random bits in base64url, made the first time, readable by this user alone.
pub fn kept_secret(kept: &Path) -> Result<String, Error> {
    keep(kept, || Ok(BASE64_URL_SAFE_NO_PAD.encode(random()?)))
}

/// The edge's signing keys in the file `kept`: a JSON Web Key Set with one private ES256 key, made and kept likewise.
pub fn kept_signing_keys(kept: &Path) -> Result<String, Error> {
    keep(kept, || {
        let key = signing_key()?;
        let point = key.public_key().to_encoded_point(false);
        let [x, y] = [point.x(), point.y()].map(|bytes| bytes.map(|bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes)));
        let (d, kid) = (BASE64_URL_SAFE_NO_PAD.encode(key.to_bytes()), BASE64_URL_SAFE_NO_PAD.encode(random()?));
        let key =
            json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid, "x": x, "y": y, "d": d});
        Ok(json!({ "keys": [key] }).to_string())
    })
}

fn keep(kept: &Path, make: impl FnOnce() -> Result<String, Error>) -> Result<String, Error> {
    if let Ok(secret) = fs::read_to_string(kept) {
        return Ok(secret);
    }
    let secret = make()?;
    let file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(kept);
    file.and_then(|mut file| file.write_all(secret.as_bytes()))
        .map_err(|error| Error::step(format!("write {}", kept.display()), error))?;
    Ok(secret)
}

fn signing_key() -> Result<SecretKey, Error> {
    loop {
        // All but about one in 2^32 of the 256-bit numbers are keys of this curve.
        if let Ok(key) = SecretKey::from_slice(&random()?) {
            return Ok(key);
        }
    }
}

fn random() -> Result<[u8; 32], Error> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| Error::step("make a secret", error))?;
    Ok(random)
}
