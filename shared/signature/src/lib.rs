//! Public-key signatures in pure Rust, for hosts without cryptography of their own.
//!
//! The algorithms are jwt-compact's. Nothing is cached: making a public key from its numbers costs about a fiftieth of
//! the check that follows, and the public half of a private key is computed anew to see that it is the one it claims.

use std::borrow::Cow;
use std::fmt::Display;

use async_trait::async_trait;
use jwt_compact::alg::{Es256, Rsa, RsaPublicKey, SigningKey, VerifyingKey};
use jwt_compact::jwk::JsonWebKey;
use jwt_compact::{Algorithm, AlgorithmSignature};
use platform::{PrivateKey, PublicKey, SignatureVerifier, Signer, SignerError, VerifierError};

/// RFC 7518 section 3.3: "A key of size 2048 bits or larger MUST be used". The upper bound (4096) is the `rsa` crate's.
const MIN_MODULUS_BYTES: usize = 256;

/// Checks ES256 and RS256 signatures on the calling thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct PureRust;

#[async_trait]
impl SignatureVerifier for PureRust {
    async fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<bool, VerifierError> {
        match key {
            PublicKey::Es256 { x, y } => verify_es256(x, y, message, signature),
            PublicKey::Rs256 { n, e } => verify_rs256(n, e, message, signature),
        }
    }
}

/// Makes ES256 signatures on the calling thread, deterministic ones (RFC 6979). A host that links this alone links no
/// verification.
#[derive(Debug, Clone, Copy, Default)]
pub struct PureRustSigner;

#[async_trait]
impl Signer for PureRustSigner {
    async fn sign(&self, key: &PrivateKey, message: &[u8]) -> Result<[u8; 64], SignerError> {
        let secret = <P256SigningKey as SigningKey<Es256>>::from_slice(key.expose_d())
            .map_err(|_| SignerError("the private number is out of range".into()))?;
        let public = <P256Key as VerifyingKey<Es256>>::from_slice(&point(&key.x, &key.y)).ok();
        if public.is_none_or(|public| public.as_bytes() != secret.to_verifying_key().as_bytes()) {
            return Err(SignerError("the halves of the key do not belong together".into()));
        }
        let signature = Es256.sign(&secret, message);
        signature.as_bytes().as_ref().try_into().map_err(|_| SignerError("the signature is not 64 bytes long".into()))
    }
}

type P256Key = <Es256 as Algorithm>::VerifyingKey;
type P256SigningKey = <Es256 as Algorithm>::SigningKey;

/// SEC 1, section 2.3.3: 4 marks an uncompressed point.
fn point(x: &[u8; 32], y: &[u8; 32]) -> Vec<u8> {
    [&[4], x.as_slice(), y.as_slice()].concat()
}

fn verify_es256(x: &[u8; 32], y: &[u8; 32], message: &[u8], signature: &[u8]) -> Result<bool, VerifierError> {
    let key = <P256Key as VerifyingKey<Es256>>::from_slice(&point(x, y)).map_err(unusable)?;
    // Refuses every length but 64, and r or s that are zero or not below the curve's order.
    let Ok(signature) = <Es256 as Algorithm>::Signature::try_from_slice(signature) else { return Ok(false) };
    Ok(Es256.verify_signature(&signature, &key, message))
}

fn verify_rs256(n: &[u8], e: &[u8], message: &[u8], signature: &[u8]) -> Result<bool, VerifierError> {
    let full_top_byte = n.first().is_some_and(|first| *first >= 0x80);
    if n.len() < MIN_MODULUS_BYTES || (n.len() == MIN_MODULUS_BYTES && !full_top_byte) {
        return Err(VerifierError("the modulus is shorter than 2048 bits".into()));
    }
    if matches!(e, [] | [0..=2]) || e.last().is_none_or(|last| last % 2 == 0) {
        return Err(VerifierError("the public exponent must be odd and at least 3".into()));
    }
    let key = JsonWebKey::Rsa { modulus: Cow::Borrowed(n), public_exponent: Cow::Borrowed(e), private_parts: None };
    let key = RsaPublicKey::try_from(&key).map_err(unusable)?;
    if signature.len() != n.len() {
        return Ok(false);
    }
    let Ok(signature) = <Rsa as Algorithm>::Signature::try_from_slice(signature) else { return Ok(false) };
    Ok(Rsa::rs256().verify_signature(&signature, &key, message))
}

fn unusable(error: impl Display) -> VerifierError {
    VerifierError(error.to_string())
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use platform::fakes::block_on;

    use super::*;

    // RFC 7515, appendix A.3.
    const ES256_MESSAGE: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const ES256_SIGNATURE: &str =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    // RFC 7515, appendix A.2.
    const RS256_MESSAGE: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const RS256_SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    const RS256_MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

    fn decode(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    fn es256_key() -> PublicKey {
        let coordinate = |text| decode(text).try_into().unwrap();
        PublicKey::Es256 {
            x: coordinate("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
            y: coordinate("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
        }
    }

    fn rs256_key() -> PublicKey {
        PublicKey::Rs256 { n: decode(RS256_MODULUS), e: vec![1, 0, 1] }
    }

    fn verify(key: &PublicKey, message: &str, signature: &[u8]) -> Result<bool, VerifierError> {
        block_on(PureRust.verify(key, message.as_bytes(), signature))
    }

    #[test]
    fn accepts_the_examples_of_rfc_7515() {
        assert_eq!(verify(&es256_key(), ES256_MESSAGE, &decode(ES256_SIGNATURE)), Ok(true));
        assert_eq!(verify(&rs256_key(), RS256_MESSAGE, &decode(RS256_SIGNATURE)), Ok(true));
    }

    #[test]
    fn refuses_another_message_and_every_flipped_bit() {
        assert_eq!(verify(&es256_key(), RS256_MESSAGE, &decode(ES256_SIGNATURE)), Ok(false));
        assert_eq!(verify(&rs256_key(), ES256_MESSAGE, &decode(RS256_SIGNATURE)), Ok(false));
        for (key, message, signature) in
            [(es256_key(), ES256_MESSAGE, ES256_SIGNATURE), (rs256_key(), RS256_MESSAGE, RS256_SIGNATURE)]
        {
            let good = decode(signature);
            for byte in 0..good.len() {
                let mut bad = good.clone();
                bad[byte] ^= 1 << (byte % 8);
                assert_eq!(verify(&key, message, &bad), Ok(false), "byte {byte}");
            }
        }
    }

    #[test]
    fn an_es256_signature_has_exactly_64_bytes_and_numbers_in_range() {
        let good = decode(ES256_SIGNATURE);
        let order: [u8; 32] = [
            0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
            0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
        ];
        let half = |number: &[u8]| number.to_vec();
        let bad = [
            vec![],
            half(&good[..63]),
            [good.as_slice(), &[0]].concat(),
            [&[0], good.as_slice()].concat(),
            vec![0; 64],
            [&[0; 32], &good[32..]].concat(),
            [&good[..32], &[0; 32]].concat(),
            [&order, &good[32..]].concat(),
            [&good[..32], &order].concat(),
            vec![0xff; 64],
        ];
        for signature in bad {
            assert_eq!(verify(&es256_key(), ES256_MESSAGE, &signature), Ok(false), "{signature:02x?}");
        }
    }

    #[test]
    fn an_rs256_signature_is_as_long_as_the_modulus_and_below_it() {
        let (good, modulus) = (decode(RS256_SIGNATURE), decode(RS256_MODULUS));
        let bad =
            [vec![], good[1..].to_vec(), [&[0], good.as_slice()].concat(), modulus, vec![0; 256], vec![0xff; 256]];
        for signature in bad {
            assert_eq!(verify(&rs256_key(), RS256_MESSAGE, &signature), Ok(false), "{} bytes", signature.len());
        }
    }

    fn es256_private_key() -> PrivateKey {
        let PublicKey::Es256 { x, y } = es256_key() else { panic!("another key") };
        PrivateKey::new(decode("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI").try_into().unwrap(), x, y)
    }

    #[test]
    fn what_is_signed_verifies_and_is_the_same_every_time() {
        let key = es256_private_key();
        let sign = || block_on(PureRustSigner.sign(&key, ES256_MESSAGE.as_bytes())).unwrap();
        assert_eq!(verify(&es256_key(), ES256_MESSAGE, &sign()), Ok(true));
        assert_eq!(sign(), sign());
        assert_eq!(verify(&es256_key(), RS256_MESSAGE, &sign()), Ok(false));
    }

    #[test]
    fn a_private_key_is_never_printed() {
        let printed = format!("{:?}", es256_private_key());
        assert!(printed.contains("public") && !printed.contains("142, 155"), "{printed}");
    }

    #[test]
    fn a_key_that_cannot_be_one_is_an_error() {
        let modulus = decode(RS256_MODULUS);
        let bad = [
            PublicKey::Es256 { x: [1; 32], y: [1; 32] },
            PublicKey::Es256 { x: [0; 32], y: [0; 32] },
            PublicKey::Es256 { x: [0xff; 32], y: [0xff; 32] },
            PublicKey::Rs256 { n: modulus[..128].to_vec(), e: vec![1, 0, 1] },
            PublicKey::Rs256 { n: [&[0x7f], &modulus[1..]].concat(), e: vec![1, 0, 1] },
            PublicKey::Rs256 { n: vec![], e: vec![1, 0, 1] },
            PublicKey::Rs256 { n: modulus.clone(), e: vec![] },
            PublicKey::Rs256 { n: modulus.clone(), e: vec![1] },
            PublicKey::Rs256 { n: modulus.clone(), e: vec![2] },
            PublicKey::Rs256 { n: modulus, e: vec![1, 0, 0] },
        ];
        for key in bad {
            assert!(verify(&key, ES256_MESSAGE, &[1; 64]).is_err(), "{key:?}");
        }
    }
}
