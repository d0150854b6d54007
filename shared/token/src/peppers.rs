use std::fmt;

use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;

use crate::api_key::ApiKey;
use crate::secret_bytes;

/// How many peppers are live at most: each costs a digest per key, and a look-up asks for all of them at once.
const MAX_PEPPERS: usize = 3;
const MIN_PEPPER_BYTES: usize = 32;
/// The version of a pepper that is written without one.
const FIRST_VERSION: u16 = 1;
/// The database keeps versions as `smallint`.
const MAX_VERSION: u16 = i16::MAX.unsigned_abs();

/// The secrets under which keys are digested: new keys under the current one, older keys under it or an earlier one.
#[derive(Clone)]
pub struct Peppers {
    current: Pepper,
    earlier: Vec<Pepper>,
}

struct Pepper {
    version: u16,
    secret: SecretBox<[u8]>,
}

/// What is stored of a key: HMAC-SHA-256 under a pepper, and which pepper that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyDigest {
    /// The digest.
    pub digest: [u8; 32],
    /// The version of the pepper.
    pub pepper_version: u16,
}

impl Peppers {
    /// Reads the value of `API_KEY_PEPPER`: one secret, which has the version 1, or up to three `version:secret` separated
    /// by commas, the current one first. A secret has at least 32 bytes, in hexadecimal or base64.
    pub fn parse(text: &str) -> Option<Self> {
        let peppers: Vec<_> = text.split(',').map(Pepper::parse).collect::<Option<_>>()?;
        let is_repeated =
            |(index, pepper): (usize, &Pepper)| peppers.iter().take(index).any(|other| other.version == pepper.version);
        if peppers.len() > MAX_PEPPERS || peppers.iter().enumerate().any(is_repeated) {
            return None;
        }
        let mut peppers = peppers.into_iter();
        Some(Self { current: peppers.next()?, earlier: peppers.collect() })
    }

    /// What is stored of a new key.
    pub fn digest(&self, key: &ApiKey<'_>) -> KeyDigest {
        self.current.digest(key)
    }

    /// What may be stored of `key`, under the current pepper first.
    pub fn digests(&self, key: &ApiKey<'_>) -> impl Iterator<Item = KeyDigest> {
        [&self.current].into_iter().chain(&self.earlier).map(|pepper| pepper.digest(key))
    }
}

impl Pepper {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (version, secret) = match text.split_once(':') {
            Some((version, secret)) => (version.parse().ok()?, secret),
            None => (FIRST_VERSION, text),
        };
        let secret = secret_bytes::parse(secret)?;
        let is_good = (FIRST_VERSION..=MAX_VERSION).contains(&version) && secret.len() >= MIN_PEPPER_BYTES;
        is_good.then(|| Self { version, secret: SecretBox::from(secret) })
    }

    fn digest(&self, key: &ApiKey<'_>) -> KeyDigest {
        // HMAC takes keys of any length.
        let mac = Hmac::<Sha256>::new_from_slice(self.secret.expose_secret()).map(|mac| mac.chain_update(key.text()));
        let digest = mac.map(|mac| mac.finalize().into_bytes().into()).unwrap_or_default();
        KeyDigest { digest, pepper_version: self.version }
    }
}

/// The versions alone.
impl fmt::Debug for Peppers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Peppers").field(&self.current).field(&self.earlier).finish()
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:…", self.version)
    }
}

impl Clone for Pepper {
    fn clone(&self) -> Self {
        Self { version: self.version, secret: SecretBox::from(self.secret.expose_secret().to_vec()) }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::api_key::hex;

    const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
    const TEST_KEY: &str = "qlp_test_0123456789ABCDEFGHIJKLMNOPQ3BQI4O";
    const LIVE_KEY: &str = "qlp_live_zzzzzzzzzzzzzzzzzzzzzzzzzzz29ePfO";

    fn digests(peppers: &str, key: &str) -> Vec<(u16, String)> {
        let digests = Peppers::parse(peppers).unwrap().digests(&ApiKey::parse(key).unwrap()).collect::<Vec<_>>();
        digests.into_iter().map(|found| (found.pepper_version, hex(&found.digest))).collect()
    }

    #[test]
    fn digests_are_those_that_were_computed_elsewhere() {
        let expected = [
            (TEST_KEY, "c02013d9e4387e3d8f59ad8bff0000d39404c7dfed9b1df18c6706aa02db79ba"),
            (LIVE_KEY, "55bbbcb2c9a621f98f8c57037aa6a25eb4fc86eba59ae4b097c924afbc1716ca"),
        ];
        for (key, digest) in expected {
            assert_eq!(digests(ZEROS, key), [(1, digest.to_owned())]);
        }
    }

    #[test]
    fn a_pepper_has_32_bytes_in_hexadecimal_or_base64() {
        let base64 = STANDARD.encode([0; 32]);
        for text in [ZEROS, &base64, base64.trim_end_matches('='), &format!("1:{ZEROS}")] {
            assert_eq!(digests(text, TEST_KEY), digests(ZEROS, TEST_KEY), "{text}");
        }
        for text in ["", "0000", "not base64!", &STANDARD.encode([0; 31])] {
            assert!(Peppers::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_first_pepper_is_the_current_one_and_a_key_has_a_digest_under_each() {
        let (old, new) = (ZEROS.to_owned(), "01".repeat(32));
        let peppers = format!("7:{new}, {old}");
        let both = digests(&peppers, TEST_KEY);
        assert_eq!(both, [digests(&format!("7:{new}"), TEST_KEY), digests(&old, TEST_KEY)].concat());
        let current = Peppers::parse(&peppers).unwrap().digest(&ApiKey::parse(TEST_KEY).unwrap());
        assert_eq!((current.pepper_version, hex(&current.digest)), both[0]);
    }

    #[test]
    fn there_are_three_peppers_at_most_each_with_a_version_of_its_own() {
        let list = |versions: &[&str]| versions.iter().map(|v| format!("{v}:{ZEROS}")).collect::<Vec<_>>().join(",");
        assert!(Peppers::parse(&list(&["3", "2", "1"])).is_some());
        for wrong in [&["4", "3", "2", "1"][..], &["1", "1"], &["0"], &["-1"], &["32768"], &[""], &["new"]] {
            assert!(Peppers::parse(&list(wrong)).is_none(), "{wrong:?}");
        }
        for wrong in [format!("2:{ZEROS},"), format!("{ZEROS},{ZEROS}"), format!("1:2:{ZEROS}")] {
            assert!(Peppers::parse(&wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn debug_output_gives_no_pepper_away() {
        let peppers = Peppers::parse(&format!("2:{},1:{ZEROS}", "ab".repeat(32))).unwrap();
        assert_eq!(format!("{peppers:?}"), "Peppers(2:…, [1:…])");
    }
}
