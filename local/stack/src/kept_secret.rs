use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::Error;

/// The secret in the file `kept`: 256 random bits in base64url, made the first time, readable by this user alone.
pub fn kept_secret(kept: &Path) -> Result<String, Error> {
    if let Ok(secret) = fs::read_to_string(kept) {
        return Ok(secret);
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| Error::step("make a secret", error))?;
    let secret = BASE64_URL_SAFE_NO_PAD.encode(random);
    let file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(kept);
    file.and_then(|mut file| file.write_all(secret.as_bytes()))
        .map_err(|error| Error::step(format!("write {}", kept.display()), error))?;
    Ok(secret)
}
