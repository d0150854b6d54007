use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use platform::Entropy;
use secrecy::{ExposeSecret, SecretBox};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use super::id::{Digest, SessionId};
use crate::secret_bytes;

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const KEY_BYTES: usize = 32;

/// The edge's secret of cookie sessions: it encrypts what the database keeps, and makes the tokens against forged requests.
pub struct SessionKey(SecretBox<[u8]>);

impl SessionKey {
    /// Reads 32 bytes in hexadecimal or base64.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = secret_bytes::parse(text)?;
        (bytes.len() == KEY_BYTES).then(|| Self(SecretBox::from(bytes)))
    }

    /// Encrypts `plain` for the session of `digest`: nonce, ciphertext and tag of XChaCha20-Poly1305
    /// (draft-irtf-cfrg-xchacha-03), with the digest as associated data, so that no row serves another session.
    pub(super) fn seal(&self, plain: &[u8], digest: &Digest, entropy: &dyn Entropy) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_BYTES];
        entropy.fill(&mut nonce);
        let mut sealed = nonce.to_vec();
        let mut text = plain.to_vec();
        let tag = self.cipher().encrypt_in_place_detached(&XNonce::from(nonce), digest, &mut text).ok()?;
        sealed.append(&mut text);
        sealed.extend_from_slice(&tag);
        Some(sealed)
    }

    /// What [`Self::seal`] was given, if nothing was changed.
    pub(super) fn unseal(&self, sealed: &[u8], digest: &Digest) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let (text, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
        let mut text = text.to_vec();
        let (nonce, tag) = (XNonce::from(*nonce), Tag::from(*tag));
        self.cipher().decrypt_in_place_detached(&nonce, digest, &mut text, &tag).ok()?;
        Some(text)
    }

    /// The token that unsafe requests of a session carry in `x-csrf-token`: whoever can make a browser send the cookie
    /// cannot read it.
    pub(super) fn csrf_token(&self, id: &SessionId) -> [u8; 32] {
        // HMAC takes keys of any length.
        let mac = <Hmac<Sha256> as Mac>::new_from_slice(self.0.expose_secret());
        let mac = mac.map(|mac| mac.chain_update(b"csrf").chain_update(id.bytes()));
        mac.map(|mac| mac.finalize().into_bytes().into()).unwrap_or_default()
    }

    /// Whether `sent` is the token of the session, in constant time.
    pub(super) fn is_csrf_token(&self, sent: &[u8], id: &SessionId) -> bool {
        self.csrf_token(id).ct_eq(sent).into()
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Sha256::digest([&b"seal"[..], self.0.expose_secret()].concat()))
    }
}

impl Clone for SessionKey {
    fn clone(&self) -> Self {
        Self(SecretBox::from(self.0.expose_secret().to_vec()))
    }
}

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionKey")
    }
}

#[cfg(test)]
mod tests {
    use platform::fakes::Host;
    use proptest::prelude::*;

    use super::*;

    fn key(digit: &str) -> SessionKey {
        SessionKey::parse(&digit.repeat(64)).unwrap()
    }

    #[test]
    fn a_key_has_32_bytes() {
        assert!(SessionKey::parse(&"00".repeat(32)).is_some());
        for text in ["", "00", &"00".repeat(31), &"00".repeat(33), &"zz".repeat(32)] {
            assert!(SessionKey::parse(text).is_none(), "{text}");
        }
        assert_eq!(format!("{:?}", key("a")), "SessionKey");
    }

    #[test]
    fn the_csrf_token_is_the_session_s_and_the_key_s() {
        let host = Host::new();
        let [one, other] = [(), ()].map(|()| SessionId::new(&host.entropy));
        let token = key("a").csrf_token(&one);
        assert!(key("a").is_csrf_token(&token, &one));
        assert!(!key("a").is_csrf_token(&token, &other));
        assert!(!key("b").is_csrf_token(&token, &one));
        assert!(!key("a").is_csrf_token(token.get(..31).unwrap(), &one));
        assert!(!key("a").is_csrf_token(b"", &one));
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_unchanged_for_its_session_and_key_only(
            plain in proptest::collection::vec(any::<u8>(), 0..100),
            place in any::<prop::sample::Index>(),
            bit in 0..8_u32,
        ) {
            let host = Host::new();
            let sealed = key("a").seal(&plain, &[1; 32], &host.entropy).unwrap();
            prop_assert_eq!(key("a").unseal(&sealed, &[1; 32]), Some(plain));
            prop_assert_eq!(key("a").unseal(&sealed, &[2; 32]), None);
            prop_assert_eq!(key("b").unseal(&sealed, &[1; 32]), None);
            let mut changed = sealed.clone();
            changed[place.index(sealed.len())] ^= 1 << bit;
            prop_assert_eq!(key("a").unseal(&changed, &[1; 32]), None);
            prop_assert_eq!(key("a").unseal(&sealed[..place.index(sealed.len())], &[1; 32]), None);
        }
    }
}
