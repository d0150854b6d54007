//! One signature to check, as a request from one component to another: the path names the algorithm, the body holds the
//! key's two numbers and the signature, each behind its length, and then the message.

use bytes::{Buf as _, Bytes};
use platform::PublicKey;

/// The most bytes of a question. An access token has at most 8 KiB, a key at most 1 KiB.
pub(crate) const MAX_BYTES: usize = 16 * 1024;

/// The answers to a question that can be decided.
pub(crate) const VALID: &[u8] = b"valid";
pub(crate) const INVALID: &[u8] = b"invalid";

const ES256: &str = "/es256";
const RS256: &str = "/rs256";

/// What is asked: whether `signature` is `key`'s over `message`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) key: PublicKey,
    pub(crate) message: Bytes,
    pub(crate) signature: Bytes,
}

/// Path and body of a question; none if it would be too long.
pub(crate) fn write(key: &PublicKey, message: &[u8], signature: &[u8]) -> Option<(&'static str, Bytes)> {
    let (path, first, second) = match key {
        PublicKey::Es256 { x, y } => (ES256, x.as_slice(), y.as_slice()),
        PublicKey::Rs256 { n, e } => (RS256, n.as_slice(), e.as_slice()),
    };
    let mut body = Vec::with_capacity(first.len() + second.len() + signature.len() + message.len() + 6);
    for part in [first, second, signature] {
        body.extend(u16::try_from(part.len()).ok()?.to_be_bytes());
        body.extend_from_slice(part);
    }
    body.extend_from_slice(message);
    (body.len() <= MAX_BYTES).then(|| (path, body.into()))
}

/// The question of a request with this path and body; none if it is not one.
pub(crate) fn read(path: &str, mut body: Bytes) -> Option<Question> {
    let (first, second, signature) = (part(&mut body)?, part(&mut body)?, part(&mut body)?);
    let key = match path {
        ES256 => PublicKey::Es256 { x: (*first).try_into().ok()?, y: (*second).try_into().ok()? },
        RS256 => PublicKey::Rs256 { n: first.into(), e: second.into() },
        _ => return None,
    };
    Some(Question { key, message: body, signature })
}

fn part(body: &mut Bytes) -> Option<Bytes> {
    let length = usize::from(body.try_get_u16().ok()?);
    (length <= body.len()).then(|| body.split_to(length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> impl Strategy<Value = PublicKey> {
        let number = || prop::collection::vec(any::<u8>(), 0..600);
        prop_oneof![
            any::<([u8; 32], [u8; 32])>().prop_map(|(x, y)| PublicKey::Es256 { x, y }),
            (number(), number()).prop_map(|(n, e)| PublicKey::Rs256 { n, e }),
        ]
    }

    proptest! {
        #[test]
        fn a_question_is_read_as_it_was_written(key in key(), message: Vec<u8>, signature: Vec<u8>) {
            let (path, body) = write(&key, &message, &signature).unwrap();
            let question = Question { key, message: message.into(), signature: signature.into() };
            prop_assert_eq!(read(path, body), Some(question));
        }

        #[test]
        fn what_was_cut_in_its_numbers_or_its_signature_is_no_question(key in key(), signature: Vec<u8>, at: prop::sample::Index) {
            let (path, body) = write(&key, b"", &signature).unwrap();
            prop_assert_eq!(read(path, body.slice(..at.index(body.len()))), None);
        }

        #[test]
        fn any_body_is_read_without_panic(path in "/[er]s256", body: Vec<u8>) {
            let _ = read(&path, body.into());
        }
    }

    #[test]
    fn another_path_or_a_coordinate_of_another_length_is_no_question() {
        let (path, body) = write(&PublicKey::Rs256 { n: vec![1; 31], e: vec![1; 32] }, b"m", b"s").unwrap();
        assert_eq!(path, RS256);
        for path in [ES256, "/", "/hs256", "/rs256/", ""] {
            assert_eq!(read(path, body.clone()), None, "{path}");
        }
    }

    #[test]
    fn a_question_that_is_too_long_is_not_asked() {
        let key = PublicKey::Es256 { x: [1; 32], y: [2; 32] };
        let room = MAX_BYTES - 3 * 2 - 64 - 64;
        assert!(write(&key, &vec![0; room], &[0; 64]).is_some());
        assert!(write(&key, &vec![0; room + 1], &[0; 64]).is_none());
        assert!(write(&key, b"", &vec![0; 1 << 16]).is_none());
    }
}
