use async_trait::async_trait;
use thiserror::Error;

/// Verifies public-key signatures, by the host's own cryptography where it has one: an ES256 check costs about 0.1 ms
/// in WebCrypto and over 1 ms in WASM.
#[async_trait]
pub trait SignatureVerifier: Send + Sync {
    /// Whether `signature` is `key`'s over `message`. A signature of the wrong length or form is `Ok(false)`.
    async fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<bool, VerifierError>;
}

/// A public key and, by its variant, the only algorithm it may be used with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PublicKey {
    /// ECDSA on P-256 with SHA-256; signatures are `r ‖ s`, 64 bytes (RFC 7518 section 3.4).
    Es256 {
        /// The point's x coordinate, big-endian.
        x: [u8; 32],
        /// The point's y coordinate, big-endian.
        y: [u8; 32],
    },
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 section 3.3).
    Rs256 {
        /// The modulus, big-endian, without leading zeros: at least 2048 bits.
        n: Vec<u8>,
        /// The public exponent, big-endian, without leading zeros.
        e: Vec<u8>,
    },
}

/// The key cannot be used (a point off the curve, an exponent of one), or the host's cryptography failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the signature could not be checked: {0}")]
pub struct VerifierError(pub String);
