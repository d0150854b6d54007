use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use platform::Entropy;
use sha2::{Digest as _, Sha256};

/// What the database knows of a session's id.
pub(super) type Digest = [u8; 32];

const BYTES: usize = 32;

/// The opaque id of a cookie session, 256 random bits. Only the browser and the requests that it sends have it.
#[derive(Clone)]
pub(super) struct SessionId([u8; BYTES]);

impl SessionId {
    pub(super) fn new(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; BYTES];
        entropy.fill(&mut bytes);
        Self(bytes)
    }

    /// Reads a cookie's value: base64url without padding, and nothing else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    pub(super) fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The id is random, so that its plain hash tells nothing.
    pub(super) fn digest(&self) -> Digest {
        Sha256::digest(self.0).into()
    }
}

#[cfg(test)]
mod tests {
    use platform::fakes::Host;

    use super::*;

    #[test]
    fn an_id_survives_its_cookie_and_nothing_else_is_one() {
        let id = SessionId::new(&Host::new().entropy);
        let text = id.encode();
        assert_eq!(text.len(), 43);
        assert_eq!(SessionId::parse(&text).unwrap().digest(), id.digest());
        for other in ["", "x", &text[1..], &format!("{text}="), &format!(" {text}"), &format!("{text}A")] {
            assert!(SessionId::parse(other).is_none(), "{other}");
        }
    }
}
