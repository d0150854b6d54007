//! The frames of a stream, each a server-sent event, with the framing and the breaks that a behaviour asks for.

use std::time::Duration;

use bytes::Bytes;

use crate::behaviour::Behaviour;
use crate::script::{End, Frame, Script};

/// Frames, rendered before the first is sent.
pub struct Frames<'a> {
    behaviour: &'a Behaviour,
    buffer: Vec<u8>,
    ends: Vec<Frame>,
    newline: &'static str,
    /// The wait of the next frame.
    pub wait: Option<Duration>,
}

const MALFORMED: &str = r#"{"id":"chatcmpl-broken","choices":[{"index":0,"delta":{"content":"#;

impl<'a> Frames<'a> {
    /// None yet.
    pub fn new(behaviour: &'a Behaviour) -> Self {
        let newline = if behaviour.crlf { "\r\n" } else { "\n" };
        let wait = (!behaviour.role_first).then(|| millis(behaviour.first_token_ms)).flatten();
        Self { behaviour, buffer: Vec::new(), ends: Vec::new(), newline, wait }
    }

    /// Makes room for so many frames of so many bytes.
    pub fn reserve(&mut self, frames: usize, bytes: usize) {
        self.buffer.reserve(frames * bytes);
        self.ends.reserve(frames);
    }

    /// What opens the answer has been written; its first token comes next.
    pub fn before_content(&mut self) {
        self.wait = self.behaviour.role_first.then(|| millis(self.behaviour.first_token_ms)).flatten();
    }

    /// A token has been written.
    pub fn after_token(&mut self) {
        self.wait = millis(self.behaviour.interval_ms);
    }

    /// The frames as the test wrote them, if it did.
    pub fn literally(&mut self) -> bool {
        let Some(frames) = &self.behaviour.frames else { return false };
        for frame in frames {
            self.buffer.extend_from_slice(frame.as_bytes());
            self.end_frame(1);
            self.after_token();
        }
        true
    }

    /// `event: ` and the name, if there is one, `data: `, what `payload` writes, and the blank line.
    pub fn frame(&mut self, name: Option<&str>, tokens: usize, payload: impl FnOnce(&mut Vec<u8>)) {
        if self.behaviour.malformed_after == Some(self.ends.len()) {
            self.event(name, |buffer| buffer.extend_from_slice(MALFORMED.as_bytes()));
            self.end_frame(0);
        }
        self.event(name, payload);
        self.end_frame(tokens);
    }

    fn event(&mut self, name: Option<&str>, payload: impl FnOnce(&mut Vec<u8>)) {
        let newline = self.newline.as_bytes();
        if self.behaviour.comments {
            self.buffer.extend_from_slice(b": still here");
            self.buffer.extend_from_slice(newline);
            self.buffer.extend_from_slice(newline);
        }
        if let Some(name) = name {
            self.buffer.extend_from_slice(if self.behaviour.no_space { b"event:" } else { b"event: " });
            self.buffer.extend_from_slice(name.as_bytes());
            self.buffer.extend_from_slice(newline);
        }
        let field: &[u8] = if self.behaviour.no_space { b"data:" } else { b"data: " };
        self.buffer.extend_from_slice(field);
        let start = self.buffer.len();
        payload(&mut self.buffer);
        if self.behaviour.multi_line && self.buffer.get(start) == Some(&b'{') {
            // A line break after the opening brace is white space to JSON, and a second `data:` line to the event.
            let rest = self.buffer.split_off(start + 1);
            self.buffer.extend_from_slice(newline);
            self.buffer.extend_from_slice(field);
            self.buffer.extend_from_slice(&rest);
        }
        self.buffer.extend_from_slice(newline);
        self.buffer.extend_from_slice(newline);
    }

    fn end_frame(&mut self, tokens: usize) {
        self.ends.push(Frame { end: self.buffer.len(), wait: self.wait.take(), tokens });
    }

    /// Applies the break that comes first, and lays the writes out. `error` is the data of an error's frame, whose name
    /// is its `type`.
    pub fn finish(mut self, error: &[u8]) -> Script {
        let Behaviour { cut_after, reset_after, eof_after, stall_after, error_after, .. } = *self.behaviour;
        let breaks = [
            (cut_after, End::Cut),
            (reset_after, End::Reset),
            (eof_after, End::Early),
            (stall_after, End::Stall),
            (error_after, End::Early),
        ];
        let count = self.ends.len();
        let first = breaks.into_iter().filter_map(|(after, end)| Some((after.filter(|n| *n < count)?, end)));
        let mut end = End::Complete;
        if let Some((after, kind)) = first.min_by_key(|(after, _)| *after) {
            self.ends.truncate(after);
            self.buffer.truncate(self.ends.last().map_or(0, |frame| frame.end));
            end = kind;
            if error_after == Some(after) {
                let named = error.starts_with(br#"{"type":"error""#);
                self.event(named.then_some("error"), |buffer| buffer.extend_from_slice(error));
                self.end_frame(0);
            }
        }
        Script::lay_out(&Bytes::from(self.buffer), &self.ends, end, self.behaviour)
    }
}

/// Appends `text` as JSON.
pub fn write_json(buffer: &mut Vec<u8>, text: &str) {
    // Writing to memory cannot fail, and neither can a string be unserialisable.
    let _ = serde_json::to_writer(buffer, text);
}

fn millis(milliseconds: u64) -> Option<Duration> {
    (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
}
