use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use platform::{PublicKey, Timestamp};
use sha2::{Digest, Sha256};

use crate::Principal;
use crate::expiring_map::ExpiringMap;

/// How many tokens are remembered: of typical ones 2 MB, of the longest that are accepted 16 MB.
const CAPACITY: usize = 2048;
const FOR: Duration = Duration::from_mins(5);

/// The tokens that were verified lately. To recall one costs the hash of its signature and a comparison.
///
/// What was signed is kept, of the signature only a hash: whoever reads this memory has no token.
pub(crate) struct VerifiedTokens(Mutex<ExpiringMap<[u8; 32], Entry>>);

/// A token whose signature and claims were right.
#[derive(Clone)]
pub(crate) struct Verified {
    pub(crate) principal: Arc<Principal>,
    /// The key that signed it; none if it was the legacy secret.
    pub(crate) signer: Option<Arc<Signer>>,
}

pub(crate) struct Signer {
    pub(crate) id: String,
    pub(crate) key: Arc<PublicKey>,
}

struct Entry {
    signed: Box<str>,
    verified: Verified,
}

impl VerifiedTokens {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(ExpiringMap::new(CAPACITY)))
    }

    /// What `token` was found to be, if it was verified lately: every byte of it.
    pub(crate) fn recall(&self, token: &str, now: Timestamp) -> Option<Verified> {
        let (signed, signature) = token.rsplit_once('.')?;
        let entries = self.entries();
        let entry = entries.get(&digest(signature), now)?;
        (*entry.signed == *signed).then(|| entry.verified.clone())
    }

    /// Remembers `token`, but not beyond `expires_at`.
    pub(crate) fn remember(&self, token: &str, verified: Verified, now: Timestamp, expires_at: Timestamp) {
        if let Some((signed, signature)) = token.rsplit_once('.') {
            let entry = Entry { signed: signed.into(), verified };
            self.entries().insert(digest(signature), entry, now, expires_at.min(now.saturating_add(FOR)));
        }
    }

    fn entries(&self) -> MutexGuard<'_, ExpiringMap<[u8; 32], Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest(signature: &str) -> [u8; 32] {
    Sha256::digest(signature).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "header.payload.signature";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn remembered(expires_at: i64) -> VerifiedTokens {
        let tokens = VerifiedTokens::new();
        let claims = br#"{"sub":"00000000-0000-0000-0000-000000000007","role":"authenticated","exp":1000}"#;
        let principal = crate::claims::Claims::parse(claims).unwrap().principal(at(1000)).unwrap();
        let verified = Verified { principal: Arc::new(principal), signer: None };
        tokens.remember(TOKEN, verified, at(0), at(expires_at));
        tokens
    }

    #[test]
    fn a_token_is_recalled_until_it_expires_and_for_five_minutes_at_most() {
        let seen = [0, 9, 10].map(|now| remembered(10).recall(TOKEN, at(now)).is_some());
        assert_eq!(seen, [true, true, false]);
        let seen = [299, 300].map(|now| remembered(1000).recall(TOKEN, at(now)).is_some());
        assert_eq!(seen, [true, false]);
    }

    #[test]
    fn a_token_that_differs_in_any_byte_is_another_token() {
        let tokens = remembered(1000);
        for place in 0..TOKEN.len() {
            let mut other = TOKEN.to_owned().into_bytes();
            other[place] ^= 1;
            let other = String::from_utf8(other).unwrap();
            assert!(tokens.recall(&other, at(1)).is_none(), "{other}");
        }
        for other in ["", ".", "signature", ".signature", "header.payload.", "header.payload.signature.signature"] {
            assert!(tokens.recall(other, at(1)).is_none(), "{other}");
        }
    }
}
