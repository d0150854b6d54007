//! Server-sent events, laid out before the first is sent, with the framing, the pace and the breaks of a behaviour.

use std::time::Duration;

use bytes::Bytes;

use crate::behaviour::Behaviour;
use crate::script::{self, Frame, Script};

/// A stream that is being laid out, frame by frame.
pub struct EventStream<'a> {
    behaviour: &'a Behaviour,
    buffer: Vec<u8>,
    frames: Vec<Frame>,
    newline: &'static str,
    /// The wait of the next frame.
    wait: Option<Duration>,
}

const MALFORMED: &str = r#"{"id":"chatcmpl-broken","choices":[{"index":0,"delta":{"content":"#;

impl<'a> EventStream<'a> {
    pub fn new(behaviour: &'a Behaviour) -> Self {
        let newline = if behaviour.crlf { "\r\n" } else { "\n" };
        let wait = (!behaviour.role_first).then(|| millis(behaviour.first_token_ms)).flatten();
        Self { behaviour, buffer: Vec::new(), frames: Vec::new(), newline, wait }
    }

    /// Makes room for this many bytes and frames.
    pub fn reserve(&mut self, bytes: usize, frames: usize) {
        self.buffer.reserve(bytes);
        self.frames.reserve(frames);
    }

    /// The first frame is there: the first token comes when the behaviour says.
    pub fn begun(&mut self) {
        self.wait = self.behaviour.role_first.then(|| millis(self.behaviour.first_token_ms)).flatten();
    }

    /// The next frame comes after the pause between tokens.
    pub fn pace(&mut self) {
        self.wait = millis(self.behaviour.interval_ms);
    }

    /// The next frame comes at once.
    pub fn at_once(&mut self) {
        self.wait = None;
    }

    /// An event of this name, if it has one: `data: `, what `payload` writes, and the blank line.
    pub fn frame(&mut self, name: Option<&str>, tokens: usize, payload: impl FnOnce(&mut Vec<u8>)) {
        if self.behaviour.malformed_after == Some(self.frames.len()) {
            self.event(name, |buffer| buffer.extend_from_slice(MALFORMED.as_bytes()));
            self.end_frame(0);
        }
        self.event(name, payload);
        self.end_frame(tokens);
    }

    /// Applies the break that comes first, and lays the writes out. `error` is the event of a stream that fails.
    pub fn finish(mut self, name: Option<&str>, error: &[u8]) -> Script {
        if let Some(frames) = &self.behaviour.frames {
            self.literally(frames);
        }
        let (end, fails) = script::break_off(&mut self.buffer, &mut self.frames, self.behaviour);
        if fails {
            self.event(name, |buffer| buffer.extend_from_slice(error));
            self.end_frame(0);
        }
        Script::lay_out(&Bytes::from(self.buffer), &self.frames, end, self.behaviour)
    }

    /// Frames as the test wrote them, instead of all others.
    fn literally(&mut self, frames: &[String]) {
        self.buffer.clear();
        self.frames.clear();
        self.wait = (!self.behaviour.role_first).then(|| millis(self.behaviour.first_token_ms)).flatten();
        for frame in frames {
            self.buffer.extend_from_slice(frame.as_bytes());
            self.end_frame(1);
            self.pace();
        }
    }

    fn event(&mut self, name: Option<&str>, payload: impl FnOnce(&mut Vec<u8>)) {
        let newline = self.newline.as_bytes();
        if self.behaviour.comments {
            self.buffer.extend_from_slice(b": still here");
            self.buffer.extend_from_slice(newline);
            self.buffer.extend_from_slice(newline);
        }
        let (name_field, field): (&[u8], &[u8]) =
            if self.behaviour.no_space { (b"event:", b"data:") } else { (b"event: ", b"data: ") };
        if let Some(name) = name {
            self.buffer.extend_from_slice(name_field);
            self.buffer.extend_from_slice(name.as_bytes());
            self.buffer.extend_from_slice(newline);
        }
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
        self.frames.push(Frame { end: self.buffer.len(), wait: self.wait.take(), tokens });
    }
}

fn millis(milliseconds: u64) -> Option<Duration> {
    (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
}
