//! The framing of `application/vnd.amazon.eventstream`, whatever the places at which the network splits it.
//!
//! A message is its length and the length of its headers (4 bytes each, big-endian) and their checksum, then the headers,
//! the payload, and the checksum of all of it:
//! <https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html#streaming-event-stream>.

use bytes::{Buf as _, Bytes, BytesMut};

use super::crc32::crc32;

/// A message that arrived whole and as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    headers: Bytes,
    pub(super) payload: Bytes,
}

/// Collects messages from the pieces in which they arrive.
#[derive(Default)]
pub(super) struct Decoder {
    pending: BytesMut,
}

/// Why the stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A checksum is another one.
    Checksum,
    /// Lengths or headers contradict each other.
    Malformed,
    /// A message is longer than [`LONGEST_MESSAGE`].
    TooLong,
}

/// A longer message is no piece of a completion, not even one with an image in it.
pub(super) const LONGEST_MESSAGE: usize = 4 * 1024 * 1024;
const PRELUDE: usize = 12;
const CHECKSUM: usize = 4;

impl Decoder {
    /// Takes the next bytes of the stream.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next message, once all of it is there.
    pub(super) fn next(&mut self) -> Result<Option<Message>, Fault> {
        let Some(prelude) = self.pending.first_chunk::<PRELUDE>() else { return Ok(None) };
        let mut numbers = &prelude[..];
        let [length, header_length] = [numbers.get_u32() as usize, numbers.get_u32() as usize];
        check(prelude)?;
        if length > LONGEST_MESSAGE {
            return Err(Fault::TooLong);
        }
        if length.checked_sub(PRELUDE + CHECKSUM).is_none_or(|room| header_length > room) {
            return Err(Fault::Malformed);
        }
        let payload_at = PRELUDE + header_length;
        if self.pending.len() < length {
            return Ok(None);
        }
        let message = self.pending.split_to(length).freeze();
        check(&message)?;
        let headers = message.slice(PRELUDE..payload_at);
        if !Headers(&headers).all(|header| header.is_some()) {
            return Err(Fault::Malformed);
        }
        Ok(Some(Message { headers, payload: message.slice(payload_at..length - CHECKSUM) }))
    }

    /// Whether there are bytes of a message that has not come to its end.
    pub(super) fn is_amid_message(&self) -> bool {
        !self.pending.is_empty()
    }
}

/// Whether the last four bytes are the checksum of those before.
fn check(bytes: &[u8]) -> Result<(), Fault> {
    let Some((content, checksum)) = bytes.split_last_chunk::<CHECKSUM>() else { return Err(Fault::Malformed) };
    if crc32(content) == u32::from_be_bytes(*checksum) { Ok(()) } else { Err(Fault::Checksum) }
}

impl Message {
    /// The text of a header. `None` if it is missing, or no text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        Headers(&self.headers).flatten().find(|(known, _)| *known == name)?.1
    }
}

/// The headers that are left, each with its value if that is text; `None` for one that cannot be read, which is the last.
struct Headers<'a>(&'a [u8]);

impl<'a> Iterator for Headers<'a> {
    type Item = Option<(&'a str, Option<&'a str>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let header = header(self.0);
        self.0 = header.map_or(&[], |(_, rest)| rest);
        Some(header.map(|(header, _)| header))
    }
}

type Header<'a> = (&'a str, Option<&'a str>);

/// The first header of `bytes`, and what follows it.
fn header(bytes: &[u8]) -> Option<(Header<'_>, &[u8])> {
    let (length, bytes) = bytes.split_first()?;
    let (name, bytes) = bytes.split_at_checked(usize::from(*length))?;
    let (kind, bytes) = bytes.split_first()?;
    let (length, bytes) = match kind {
        0 | 1 => (0, bytes), // true, false
        2 => (1, bytes),     // a byte
        3 => (2, bytes),     // an integer of 16 bits
        4 => (4, bytes),     // of 32
        5 | 8 => (8, bytes), // of 64, a time
        9 => (16, bytes),    // a UUID
        6 | 7 => {
            let (length, bytes) = bytes.split_first_chunk::<2>()?; // bytes, text
            (usize::from(u16::from_be_bytes(*length)), bytes)
        }
        _ => return None,
    };
    let (value, rest) = bytes.split_at_checked(length)?;
    let text = if *kind == 7 { Some(std::str::from_utf8(value).ok()?) } else { None };
    Some(((std::str::from_utf8(name).ok()?, text), rest))
}

#[cfg(test)]
mod tests {
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_types::event_stream as aws;
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = aws::HeaderValue> {
        use aws::HeaderValue::*;
        prop_oneof![
            any::<bool>().prop_map(Bool),
            any::<i8>().prop_map(Byte),
            any::<i16>().prop_map(Int16),
            any::<i32>().prop_map(Int32),
            any::<i64>().prop_map(Int64),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| ByteArray(bytes.into())),
            "\\PC{0,20}".prop_map(|text| String(text.into())),
            any::<u32>().prop_map(|second| Timestamp(aws_smithy_types::DateTime::from_secs(second.into()))),
            any::<u128>().prop_map(Uuid),
        ]
    }

    fn message() -> impl Strategy<Value = aws::Message> {
        let header = (":?[a-z-]{1,20}", value()).prop_map(|(name, value)| aws::Header::new(name, value));
        (prop::collection::vec(header, 0..5), prop::collection::vec(any::<u8>(), 0..60))
            .prop_map(|(headers, payload)| aws::Message::new_from_parts(headers, payload))
    }

    fn written(messages: &[aws::Message]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for message in messages {
            write_message_to(message, &mut bytes).unwrap();
        }
        bytes
    }

    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Message>, Fault> {
        let mut decoder = Decoder::default();
        let mut messages = Vec::new();
        for piece in pieces {
            decoder.feed(piece);
            while let Some(message) = decoder.next()? {
                messages.push(message);
            }
        }
        if decoder.is_amid_message() { Err(Fault::Malformed) } else { Ok(messages) }
    }

    fn assert_same(read: &[Message], sent: &[aws::Message]) {
        assert_eq!(read.len(), sent.len());
        for (read, sent) in read.iter().zip(sent) {
            assert_eq!(&read.payload, sent.payload());
            let names: Vec<_> = Headers(&read.headers).flatten().map(|(name, _)| name).collect();
            assert_eq!(names, sent.headers().iter().map(|header| header.name().as_str()).collect::<Vec<_>>());
            for header in sent.headers() {
                let name = header.name().as_str();
                let first = sent.headers().iter().find(|header| header.name().as_str() == name).unwrap();
                let text = first.value().as_string().ok().map(aws_smithy_types::str_bytes::StrBytes::as_str);
                assert_eq!(read.header(name), text);
            }
        }
    }

    proptest! {
        #[test]
        fn what_aws_writes_is_read_the_same_at_any_split(sent in prop::collection::vec(message(), 1..4)) {
            let bytes = written(&sent);
            assert_same(&read(bytes.chunks(1)).unwrap(), &sent);
            for at in 0..=bytes.len() {
                assert_same(&read([&bytes[..at], &bytes[at..]]).unwrap(), &sent);
            }
        }

        #[test]
        fn a_bit_that_has_flipped_is_noticed_wherever_it_is(sent in message(), at in any::<prop::sample::Index>(), bit in 0_u32..8) {
            let mut bytes = written(&[sent]);
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            // A length that has grown is noticed by the checksum beside it, before more is waited for.
            prop_assert_eq!(read([&bytes[..]]).unwrap_err(), Fault::Checksum);
        }

        #[test]
        fn a_stream_that_ends_too_early_is_noticed(sent in message(), at in any::<prop::sample::Index>()) {
            let bytes = written(&[sent]);
            let at = at.index(bytes.len() - 1) + 1;
            prop_assume!(at < bytes.len());
            prop_assert!(read([&bytes[..at]]).is_err());
        }

        #[test]
        fn no_bytes_at_all_are_too_wild(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(bytes.chunks(7));
            let _: Vec<_> = Headers(&bytes).collect();
        }
    }

    /// A message of these lengths, with checksums that hold.
    fn sealed(length: u32, headers: u32, rest: &[u8]) -> Vec<u8> {
        let mut bytes = [length.to_be_bytes(), headers.to_be_bytes()].concat();
        bytes.extend(crc32(&bytes).to_be_bytes());
        bytes.extend_from_slice(rest);
        bytes.extend(crc32(&bytes).to_be_bytes());
        bytes
    }

    #[test]
    fn lengths_that_cannot_be_are_refused_before_anything_is_waited_for() {
        for (length, headers, fault) in [
            (15, 0, Fault::Malformed),
            (20, 5, Fault::Malformed),
            (16, u32::MAX, Fault::Malformed),
            (u32::try_from(LONGEST_MESSAGE).unwrap() + 1, 0, Fault::TooLong),
        ] {
            assert_eq!(read([&sealed(length, headers, b"")[..12]]), Err(fault), "{length} {headers}");
        }
    }

    #[test]
    fn headers_that_cannot_be_are_refused() {
        for headers in [&b"\x05:a"[..], b"\x01a\x0a", b"\x01a\x07\x00\x09x", b"\x01a\x07\x00\x01\xff", b"\x01\xff\x00"]
        {
            let length = u32::try_from(headers.len()).unwrap();
            assert_eq!(read([&sealed(length + 16, length, headers)[..]]), Err(Fault::Malformed), "{headers:?}");
        }
    }
}
