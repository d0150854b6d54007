use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use platform::{PrivateKey, PublicKey, SignerError, VerifierError};
use secrecy::{ExposeSecret as _, SecretString};

use crate::host;
use crate::operation::{Operation, Outcome};

/// Length of an ES256 signature, `r ‖ s`.
const ES256_BYTES: usize = 64;
/// RSA moduli, in bytes: 2048 to 8192 bits.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// WebCrypto. Imported keys are kept on the host's side.
pub struct SignatureVerifier;

#[async_trait]
impl platform::SignatureVerifier for SignatureVerifier {
    async fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<bool, VerifierError> {
        let (algorithm, jwk, length) = web_key(key)?;
        if signature.len() != length {
            return Ok(false);
        }
        let asked = Operation::begin(|invocation, operation| {
            host::verify(invocation, operation, algorithm, &jwk, message, signature);
        });
        match asked.await {
            Outcome::Text(verdict) => Ok(verdict == "true"),
            Outcome::Failed(reason) => Err(VerifierError(reason)),
            _ => Err(VerifierError("no verdict".into())),
        }
    }
}

/// WebCrypto. Imported keys are kept on the host's side.
pub struct Signer;

#[async_trait]
impl platform::Signer for Signer {
    async fn sign(&self, key: &PrivateKey, message: &[u8]) -> Result<[u8; ES256_BYTES], SignerError> {
        let jwk = private_web_key(key);
        let asked = Operation::begin(|invocation, operation| {
            host::sign(invocation, operation, jwk.expose_secret(), message);
        });
        match asked.await {
            Outcome::Bytes(signature) => {
                (*signature).try_into().map_err(|_| SignerError("the signature is not 64 bytes long".into()))
            }
            Outcome::Failed(reason) => Err(SignerError(reason)),
            _ => Err(SignerError("no signature".into())),
        }
    }
}

fn private_web_key(key: &PrivateKey) -> SecretString {
    let [x, y, d] = [&key.x, &key.y, key.expose_d()].map(|number| URL_SAFE_NO_PAD.encode(number));
    SecretString::from(format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}","d":"{d}"}}"#))
}

/// The key as a JWK (RFC 7517), its algorithm, and how long its signatures are.
fn web_key(key: &PublicKey) -> Result<(&'static str, String, usize), VerifierError> {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    match key {
        PublicKey::Es256 { x, y } => {
            let jwk = format!(r#"{{"kty":"EC","crv":"P-256","x":"{}","y":"{}"}}"#, encode(x), encode(y));
            Ok(("ES256", jwk, ES256_BYTES))
        }
        PublicKey::Rs256 { n, e } => {
            let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
            if !RSA_BYTES.contains(&n.len()) || !odd(n) || !odd(e) || *e == [1] || e.len() > 4 {
                return Err(VerifierError(
                    "the RSA key is not one to trust: 2048 to 8192 bits, an odd exponent".into(),
                ));
            }
            let jwk = format!(r#"{{"kty":"RSA","n":"{}","e":"{}"}}"#, encode(n), encode(e));
            Ok(("RS256", jwk, n.len()))
        }
    }
}
