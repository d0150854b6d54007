use async_trait::async_trait;
use platform::{PublicKey, SignatureVerifier, VerifierError};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use signature::PureRust;

/// ES256 by `ring`, which is here for TLS anyway and takes a fraction of the time. Whatever it does not find right, and
/// RS256, is judged in pure Rust: `ring` does not tell a key that cannot be used from a wrong signature.
pub struct Verifier;

#[async_trait]
impl SignatureVerifier for Verifier {
    async fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<bool, VerifierError> {
        match key {
            PublicKey::Es256 { x, y } if is_right(x, y, message, signature) => Ok(true),
            key => PureRust.verify(key, message, signature).await,
        }
    }
}

fn is_right(x: &[u8; 32], y: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    // SEC 1, section 2.3.3: 4 marks an uncompressed point.
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
}
