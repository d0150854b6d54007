use std::fmt;

use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretBox};
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

/// Makes public-key signatures. Apart from [`SignatureVerifier`], because most functions make none.
#[async_trait]
pub trait Signer: Send + Sync {
    /// `key`'s ES256 signature over `message`: `r ‖ s`. Whether the same message gets the same signature again is the
    /// host's affair.
    async fn sign(&self, key: &PrivateKey, message: &[u8]) -> Result<[u8; 64], SignerError>;
}

/// A private key on P-256 (RFC 7518 section 6.2.2) with its public half. It is for ES256 and never printed.
pub struct PrivateKey {
    /// The public point's x coordinate, big-endian.
    pub x: [u8; 32],
    /// The public point's y coordinate, big-endian.
    pub y: [u8; 32],
    d: SecretBox<[u8; 32]>,
}

impl PrivateKey {
    /// The key with the private number `d` and the public point (`x`, `y`), all big-endian. Whether they belong together
    /// is found when it signs.
    pub fn new(d: [u8; 32], x: [u8; 32], y: [u8; 32]) -> Self {
        Self { x, y, d: SecretBox::new(Box::new(d)) }
    }

    /// The private number, for the host's cryptography.
    pub fn expose_d(&self) -> &[u8; 32] {
        self.d.expose_secret()
    }

    /// The half that anyone may know.
    pub fn public(&self) -> PublicKey {
        PublicKey::Es256 { x: self.x, y: self.y }
    }
}

/// Without the private number.
impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("public", &self.public()).finish_non_exhaustive()
    }
}

/// The key cannot be used (its halves do not belong together), or the host's cryptography failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("nothing could be signed: {0}")]
pub struct SignerError(pub String);
