//! API keys: `qlp_<environment>_`, 160 random bits in base 62, and a checksum.
//!
//! The checksum tells a mistyped or invented key from a real one without a look-up, and lets scanners find leaked keys.
//! Only a digest under a secret pepper is stored: who reads the database cannot use the keys in it.

use std::fmt;

use platform::Entropy;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

/// What every API key begins with.
pub const PREFIX: &str = "qlp_";

const RANDOM_BYTES: usize = 20;
const RANDOM_DIGITS: usize = 27;
const CHECKSUM_DIGITS: usize = 6;
/// How many random digits the display prefix shows: enough to tell keys apart, too few to help guessing.
const SHOWN_DIGITS: usize = 4;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a key is for, as its text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// Production.
    Live,
    /// Everything else.
    Test,
}

/// A well-formed key: its checksum is right. Whether it exists is another question.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ApiKey<'a> {
    text: &'a str,
    shown: usize,
}

/// A new key. It is shown once and then known by its digest only.
pub fn generate(environment: Environment, entropy: &dyn Entropy) -> SecretString {
    let mut random = Zeroizing::new([0; RANDOM_BYTES]);
    entropy.fill(random.as_mut_slice());
    let body = format!("{PREFIX}{}_{}", environment.name(), base62(random.as_mut_slice(), RANDOM_DIGITS));
    SecretString::from(with_checksum(&body))
}

/// A digest as the database takes it: 64 hexadecimal digits.
pub fn hex(digest: &[u8; 32]) -> String {
    let nibbles = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles.filter_map(|nibble| char::from_digit(nibble.into(), 16)).collect()
}

impl Environment {
    const ALL: [Self; 2] = [Self::Live, Self::Test];

    fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

impl<'a> ApiKey<'a> {
    /// Reads a key, unless it is malformed or its checksum is wrong.
    pub fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        let digits = Environment::ALL.iter().find_map(|known| rest.strip_prefix(known.name())?.strip_prefix('_'))?;
        let well_formed = digits.len() == RANDOM_DIGITS + CHECKSUM_DIGITS
            && digits.bytes().all(|digit| digit.is_ascii_alphanumeric());
        if !well_formed {
            return None;
        }
        let body = text.get(..text.len() - CHECKSUM_DIGITS)?;
        let shown = text.len() - digits.len() + SHOWN_DIGITS;
        (with_checksum(body) == text).then_some(Self { text, shown })
    }

    /// The beginning of the key, by which its owner recognises it.
    pub fn display_prefix(&self) -> &'a str {
        self.text.get(..self.shown).unwrap_or(PREFIX)
    }

    pub(crate) fn text(&self) -> &'a str {
        self.text
    }
}

fn with_checksum(body: &str) -> String {
    let mut checksum = crc32(body.as_bytes()).to_be_bytes();
    format!("{body}{}", base62(&mut checksum, CHECKSUM_DIGITS))
}

/// `number` (big-endian, used up) in base 62 with leading zeros.
fn base62(number: &mut [u8], digits: usize) -> String {
    let mut reversed = Vec::with_capacity(digits);
    for _ in 0..digits {
        let mut remainder = 0;
        for byte in number.iter_mut() {
            let dividend = remainder << 8 | u32::from(*byte);
            (*byte, remainder) = (u8::try_from(dividend / 62).unwrap_or(u8::MAX), dividend % 62);
        }
        let digit = usize::try_from(remainder).ok().and_then(|index| DIGITS.get(index));
        reversed.push(char::from(digit.copied().unwrap_or(b'0')));
    }
    reversed.iter().rev().collect()
}

/// CRC-32 as in IEEE 802.3, bit by bit: a key has 36 bytes.
fn crc32(bytes: &[u8]) -> u32 {
    let fold = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    };
    !bytes.iter().fold(u32::MAX, fold)
}

/// Without the secret part.
impl fmt::Debug for ApiKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}…)", self.display_prefix())
    }
}

#[cfg(test)]
mod tests {
    use platform::fakes::SeededEntropy;
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;

    const TEST_KEY: &str = "qlp_test_0123456789ABCDEFGHIJKLMNOPQ3BQI4O";
    const LIVE_KEY: &str = "qlp_live_zzzzzzzzzzzzzzzzzzzzzzzzzzz29ePfO";

    #[test]
    fn checksums_are_those_that_were_computed_elsewhere() {
        assert!(ApiKey::parse(TEST_KEY).is_some() && ApiKey::parse(LIVE_KEY).is_some());
        assert!(ApiKey::parse(&format!("qlp_test_{}00II1L", "Y".repeat(27))).is_some(), "a padded checksum");
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_new_key_is_well_formed_and_unlike_the_last_one() {
        let entropy = SeededEntropy::default();
        let keys = [Environment::Live, Environment::Test].map(|environment| generate(environment, &entropy));
        let [live, test] = keys.each_ref().map(SecretString::expose_secret);
        assert!(live.starts_with("qlp_live_") && test.starts_with("qlp_test_"));
        assert_eq!((live.len(), test.len()), (42, 42));
        assert!(ApiKey::parse(live).is_some() && ApiKey::parse(test).is_some());
        assert_ne!(live[9..36], test[9..36]);
    }

    #[test]
    fn all_160_bits_fit_into_27_digits() {
        assert_eq!(base62(&mut [0; 20], 27), "0".repeat(27));
        let (mut greatest, mut one) = ([0xff; 20], [0; 20]);
        one[19] = 1;
        assert_eq!(base62(&mut one, 27), format!("{}1", "0".repeat(26)));
        base62(&mut greatest, 27);
        assert_eq!(greatest, [0; 20], "nothing is left over");
    }

    #[test]
    fn a_malformed_key_is_none() {
        for text in [
            "",
            "qlp_",
            "qlp_test_",
            "qlp_prod_0123456789ABCDEFGHIJKLMNOPQ3BQI4O",
            "QLP_test_0123456789ABCDEFGHIJKLMNOPQ3BQI4O",
            "qlp_test_0123456789ABCDEFGHIJKLMNOPQ3BQI4P",
            "qlp_live_0123456789ABCDEFGHIJKLMNOPQ3BQI4O",
            "qlp_test_0123456789ABCDEFGHIJKLMNOPQ3BQI4O ",
            "qlp_test_0123456789ABCDEFGHIJKLMNO\u{e9}3BQI4O",
        ] {
            assert_eq!(ApiKey::parse(text), None, "{text}");
        }
    }

    #[test]
    fn neither_debug_output_nor_the_display_prefix_gives_a_key_away() {
        let key = ApiKey::parse(TEST_KEY).unwrap();
        assert_eq!(key.display_prefix(), "qlp_test_0123");
        assert_eq!(format!("{key:?}"), "ApiKey(qlp_test_0123…)");
    }

    proptest! {
        #[test]
        fn no_changed_character_goes_unnoticed(position in 0..42usize, replacement in "[0-9A-Za-z_]") {
            let mut text = LIVE_KEY.to_owned();
            text.replace_range(position..=position, &replacement);
            prop_assert_eq!(ApiKey::parse(&text).is_some(), text == LIVE_KEY);
        }

        #[test]
        fn any_text_can_be_parsed(text in ".{0,60}") {
            prop_assert!(ApiKey::parse(&text).is_none());
        }
    }
}
