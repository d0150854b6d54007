//! What is written to the connection, when, and how it ends.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use crate::behaviour::Behaviour;

/// A body laid out in full before its first byte goes out.
pub struct Script {
    pub writes: Vec<Write>,
    pub end: End,
}

/// One piece of a body.
pub struct Write {
    /// How long to wait before it; zero only lets what came before it go out first.
    pub wait: Option<Duration>,
    pub bytes: Bytes,
    /// How many frames are complete with it.
    pub frames: usize,
    /// How many tokens those frames carry.
    pub tokens: usize,
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As it should.
    Complete,
    /// Cleanly, before everything was said.
    Early,
    /// The connection is closed without the end of the body.
    Cut,
    /// The connection is reset.
    Reset,
    /// Not at all: nothing more comes.
    Stall,
}

/// Where a frame ends in the buffer, how long to wait before it, and how many tokens it carries.
pub struct Frame {
    pub end: usize,
    pub wait: Option<Duration>,
    pub tokens: usize,
}

const DEFAULT_GAP_MS: u64 = 2;

impl Script {
    /// Cuts `buffer` into the writes that `behaviour` asks for.
    pub fn lay_out(buffer: &Bytes, frames: &[Frame], end: End, behaviour: &Behaviour) -> Self {
        let mut script = Self { writes: Vec::with_capacity(frames.len()), end };
        if behaviour.writes_plainly() {
            script.write_each(buffer, frames);
        } else {
            script.write_split(buffer, frames, behaviour);
        }
        if let Some(limit) = behaviour.cut_after_bytes {
            script.cut_after(limit);
        }
        script
    }

    fn write_each(&mut self, buffer: &Bytes, frames: &[Frame]) {
        let mut start = 0;
        for frame in frames {
            let bytes = buffer.slice(start..frame.end);
            self.writes.push(Write { wait: frame.wait, bytes, frames: 1, tokens: frame.tokens });
            start = frame.end;
        }
    }

    fn write_split(&mut self, buffer: &Bytes, frames: &[Frame], behaviour: &Behaviour) {
        let gap = Some(Duration::from_millis(behaviour.write_gap_ms.unwrap_or(DEFAULT_GAP_MS)));
        let ends = write_ends(buffer, frames, behaviour);
        let mut start = 0;
        let mut frames = frames.iter().peekable();
        let mut wait = frames.peek().and_then(|frame| frame.wait);
        for end in ends {
            let mut write = Write { wait, bytes: buffer.slice(start..end), frames: 0, tokens: 0 };
            wait = gap;
            while let Some(frame) = frames.next_if(|frame| frame.end <= end) {
                write.frames += 1;
                write.tokens += frame.tokens;
                wait = frames.peek().and_then(|next| next.wait).or(gap);
            }
            self.writes.push(write);
            start = end;
        }
    }

    fn cut_after(&mut self, limit: usize) {
        let mut left = limit;
        for at in 0..self.writes.len() {
            let Some(write) = self.writes.get_mut(at) else { return };
            if write.bytes.len() <= left {
                left -= write.bytes.len();
                continue;
            }
            write.bytes.truncate(left);
            (write.frames, write.tokens) = (0, 0);
            self.writes.truncate(at + 1);
            self.end = End::Cut;
        }
    }
}

/// Takes away what comes after the first break that `behaviour` asks for. How the body ends, and whether the provider is
/// to say before that that it has failed.
pub fn break_off(buffer: &mut Vec<u8>, frames: &mut Vec<Frame>, behaviour: &Behaviour) -> (End, bool) {
    let Behaviour { cut_after, reset_after, eof_after, stall_after, error_after, .. } = *behaviour;
    let breaks = [
        (cut_after, End::Cut),
        (reset_after, End::Reset),
        (eof_after, End::Early),
        (stall_after, End::Stall),
        (error_after, End::Early),
    ];
    let count = frames.len();
    let wanted = breaks.into_iter().filter_map(|(after, end)| Some((after.filter(|n| *n < count)?, end)));
    let Some((after, end)) = wanted.min_by_key(|(after, _)| *after) else { return (End::Complete, false) };
    frames.truncate(after);
    buffer.truncate(frames.last().map_or(0, |frame| frame.end));
    (end, error_after == Some(after))
}

/// The offsets at which a write ends, in order, the end of the body included.
fn write_ends(buffer: &[u8], frames: &[Frame], behaviour: &Behaviour) -> BTreeSet<usize> {
    let length = frames.last().map_or(0, |frame| frame.end);
    let frame_ends = frames.iter().map(|frame| frame.end);
    let mut ends: BTreeSet<usize> = behaviour.split_at.iter().copied().collect();
    match behaviour.frames_per_write {
        Some(0) => {}
        Some(count) => ends.extend(frame_ends.skip(count - 1).step_by(count)),
        None => ends.extend(frame_ends),
    }
    if let Some(every) = behaviour.split_every {
        ends.extend((1..).map(|piece| piece * every.max(1)).take_while(|end| *end < length));
    }
    if behaviour.split_utf8 {
        // A byte 10xxxxxx continues a character: a write that ends before it ends inside that character.
        ends.extend(buffer.iter().enumerate().filter(|(_, byte)| **byte & 0xc0 == 0x80).map(|(at, _)| at));
    }
    ends.insert(length);
    ends.retain(|end| (1..=length).contains(end));
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "data: “a”\n\ndata: b\n\ndata: c\n\n";

    fn lay_out(behaviour: &str) -> Script {
        let ends = BODY.match_indices("\n\n").map(|(at, _)| at + 2);
        let frames: Vec<Frame> = ends.map(|end| Frame { end, wait: None, tokens: 1 }).collect();
        let buffer = Bytes::from_static(BODY.as_bytes());
        Script::lay_out(&buffer, &frames, End::Complete, &serde_json::from_str(behaviour).unwrap())
    }

    fn pieces(script: &Script) -> Vec<(usize, usize)> {
        let bytes: Vec<u8> = script.writes.iter().flat_map(|write| write.bytes.to_vec()).collect();
        assert!(BODY.as_bytes().starts_with(&bytes));
        script.writes.iter().map(|write| (write.bytes.len(), write.frames)).collect()
    }

    #[test]
    fn a_frame_is_a_write_unless_told_otherwise() {
        assert_eq!(pieces(&lay_out("{}")), [(15, 1), (9, 1), (9, 1)]);
        assert_eq!(pieces(&lay_out(r#"{"frames_per_write":2}"#)), [(24, 2), (9, 1)]);
        assert_eq!(pieces(&lay_out(r#"{"frames_per_write":0}"#)), [(33, 3)]);
    }

    #[test]
    fn splits_at_offsets_at_steps_and_inside_characters() {
        assert_eq!(pieces(&lay_out(r#"{"frames_per_write":0,"split_at":[3,20]}"#)), [(3, 0), (17, 1), (13, 2)]);
        assert_eq!(pieces(&lay_out(r#"{"frames_per_write":0,"split_every":11}"#)), [(11, 0), (11, 1), (11, 2)]);
        let inside = lay_out(r#"{"frames_per_write":0,"split_utf8":true}"#);
        assert!(inside.writes.iter().rev().skip(1).all(|write| std::str::from_utf8(&write.bytes).is_err()));
        assert_eq!(inside.writes.len(), 5);
    }

    #[test]
    fn cuts_inside_a_frame() {
        let script = lay_out(r#"{"cut_after_bytes":17}"#);
        assert_eq!((pieces(&script), script.end), (vec![(15, 1), (2, 0)], End::Cut));
    }
}
