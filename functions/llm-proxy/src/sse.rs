//! The framing of server-sent events (WHATWG HTML, section 9.2), whatever the places at which the network splits them.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

/// Cuts a stream of bytes into blocks of complete events, without copying those that arrive in one piece.
///
/// An event ends after its blank line. Lines end with LF, CRLF or CR; a CR that is the last byte so far is taken as
/// half of a CRLF unless the stream has been seen to use bare CRs.
#[derive(Default)]
pub(crate) struct Framer {
    /// What has arrived of the next event.
    pending: BytesMut,
    scanner: Scanner,
}

#[derive(Default)]
struct Scanner {
    /// Everything before it has been looked at.
    position: usize,
    line_start: usize,
    bare_cr: bool,
    /// Where the events of the present block end.
    ends: Vec<usize>,
}

impl Framer {
    /// Takes the next `chunk` and returns the events that it completes, as one block.
    pub(crate) fn feed(&mut self, mut chunk: Bytes) -> Bytes {
        self.scanner.ends.clear();
        if self.pending.is_empty() {
            let complete = self.scanner.scan(&chunk);
            let block = chunk.split_to(complete);
            self.pending.extend_from_slice(&chunk);
            block
        } else {
            self.pending.extend_from_slice(&chunk);
            let complete = self.scanner.scan(&self.pending);
            self.pending.split_to(complete).freeze()
        }
    }

    /// Where each event of the block last returned ends in it.
    pub(crate) fn ends(&self) -> &[usize] {
        &self.scanner.ends
    }

    /// How many bytes of an unfinished event are held back.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The stream has ended: what is left, completed to an event. Nothing if there is nothing.
    pub(crate) fn finish(&mut self) -> Bytes {
        self.scanner.ends.clear();
        let mut rest = std::mem::take(&mut self.pending);
        if !rest.is_empty() {
            rest.extend_from_slice(b"\n\n");
            self.scanner.ends.push(rest.len());
        }
        rest.freeze()
    }
}

impl Scanner {
    /// Records the ends of the complete events in `buffer`, returns the last one, and counts positions from there on.
    fn scan(&mut self, buffer: &[u8]) -> usize {
        self.find_ends(buffer);
        let complete = self.ends.last().copied().unwrap_or(0);
        self.position -= complete;
        self.line_start -= complete;
        complete
    }

    fn find_ends(&mut self, buffer: &[u8]) {
        while let Some(found) = buffer.get(self.position..).and_then(|rest| memchr2(b'\n', b'\r', rest)) {
            let at = self.position + found;
            let mut next = at + 1;
            if buffer.get(at) == Some(&b'\r') {
                match buffer.get(next) {
                    Some(b'\n') => next += 1,
                    Some(_) => self.bare_cr = true,
                    None if self.bare_cr => (),
                    None => {
                        self.position = at;
                        return;
                    }
                }
            }
            if at == self.line_start {
                self.ends.push(next);
            }
            self.line_start = next;
            self.position = next;
        }
        self.position = buffer.len();
    }
}

/// The event's data: its `data` lines joined by line feeds. `None` if it has none, as a comment.
pub(crate) fn data(event: &[u8]) -> Option<Cow<'_, [u8]>> {
    let event = event.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(event);
    let trimmed = event.trim_ascii_end();
    if let Some(value) = trimmed.strip_prefix(b"data:")
        && memchr2(b'\n', b'\r', value).is_none()
    {
        return Some(Cow::Borrowed(value.strip_prefix(b" ").unwrap_or(value)));
    }
    let mut joined: Option<Vec<u8>> = None;
    for value in event.split(|byte| matches!(byte, b'\n' | b'\r')).filter_map(data_line) {
        match &mut joined {
            Some(data) => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            None => joined = Some(value.to_vec()),
        }
    }
    joined.map(Cow::Owned)
}

/// The value of a line that is `data`, `data:…` or `data: …`.
fn data_line(line: &[u8]) -> Option<&[u8]> {
    match line.strip_prefix(b"data")? {
        [] => Some(b""),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAMS: [&str; 6] = [
        "data: {\"a\":1}\n\ndata: {\"b\":\"é🦀\"}\n\ndata: [DONE]\n\n",
        "data:{\"a\":1}\r\n\r\ndata:{\"b\":2}\r\n\r\ndata:[DONE]\r\n\r\n",
        "data: one\r\rdata: two\r\rdata: [DONE]\r\r",
        ": a comment\n\nevent: message\nid: 7\ndata: line one\ndata: line two\nretry: 10\n\ndata\n\n",
        "\n\ndata: after blank lines\n\n:\n\ndata: x\n\n",
        "\u{FEFF}data: after a byte order mark\n\ndata:  two spaces\n\n",
    ];

    /// Every event with its data, for a stream that arrives in these pieces.
    fn events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut framer = Framer::default();
        let mut events = Vec::new();
        let mut take = |block: &[u8], ends: &[usize]| {
            let mut start = 0;
            for &end in ends {
                events.push((block[start..end].to_vec(), data(&block[start..end]).map(Cow::into_owned)));
                start = end;
            }
            assert_eq!(start, block.len());
        };
        for piece in pieces {
            let block = framer.feed(Bytes::copy_from_slice(piece));
            take(&block, framer.ends());
        }
        let block = framer.finish();
        take(&block, framer.ends());
        events
    }

    #[test]
    fn the_same_events_whatever_the_two_pieces_a_stream_arrives_in() {
        for stream in STREAMS.map(str::as_bytes) {
            let whole = events([stream]);
            assert_eq!(whole.iter().flat_map(|(raw, _)| raw.clone()).collect::<Vec<_>>(), stream);
            for at in 0..=stream.len() {
                let (head, tail) = stream.split_at(at);
                assert_eq!(events([head, tail]), whole, "{:?} split at {at}", String::from_utf8_lossy(stream));
            }
            assert_eq!(events(stream.chunks(1)), whole);
        }
    }

    #[test]
    fn data_lines_are_joined_and_other_fields_left_out() {
        let data: Vec<_> = events([STREAMS[3].as_bytes()]).into_iter().map(|(_, data)| data).collect();
        assert_eq!(data, [None, Some(b"line one\nline two".to_vec()), Some(Vec::new())]);
        assert_eq!(super::data(b"data: [DONE]\r\n\r\n").as_deref(), Some(&b"[DONE]"[..]));
        assert_eq!(super::data(b"data:  two\n\n").as_deref(), Some(&b" two"[..]));
        assert_eq!(super::data(b"database: x\n\n"), None);
    }

    #[test]
    fn an_event_is_complete_at_its_blank_line_and_not_before() {
        let mut framer = Framer::default();
        assert_eq!(framer.feed(Bytes::from_static(b"data: 1\n")), "");
        assert_eq!(framer.feed(Bytes::from_static(b"\ndata: 2\n\ndata")), "data: 1\n\ndata: 2\n\n");
        assert_eq!((framer.ends(), framer.pending()), (&[9, 18][..], 4));
    }

    #[test]
    fn complete_events_of_one_chunk_are_passed_on_without_a_copy() {
        let chunk = Bytes::from(b"data: 1\n\ndata: 2\n\n".to_vec());
        assert_eq!(Framer::default().feed(chunk.clone()).as_ptr(), chunk.as_ptr());
    }

    #[test]
    fn bare_carriage_returns_do_not_delay_an_event() {
        let mut framer = Framer::default();
        assert_eq!(framer.feed(Bytes::from_static(b"data: 1\r\r")), "data: 1\r\r");
    }

    #[test]
    fn an_event_without_a_blank_line_is_completed_at_the_end() {
        let mut framer = Framer::default();
        assert_eq!(framer.feed(Bytes::from_static(b"data: [DONE]")), "");
        assert_eq!(framer.finish(), "data: [DONE]\n\n");
        assert_eq!(framer.finish(), "");
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_or_changed(pieces in proptest::collection::vec("[a:\\r\\n ]{0,6}", 0..20)) {
            let whole: Vec<u8> = pieces.concat().into_bytes();
            let mut passed: Vec<u8> = events(pieces.iter().map(String::as_bytes)).into_iter().flat_map(|(raw, _)| raw).collect();
            passed.truncate(whole.len());
            prop_assert_eq!(passed, whole);
        }
    }
}
