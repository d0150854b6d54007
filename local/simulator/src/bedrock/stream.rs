//! An answer as the messages of ConverseStream, rendered before the first is sent.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{message, stop_reason, text, usage};
use crate::answer::{Answer, Tokens};
use crate::behaviour::Behaviour;
use crate::error::ApiError;
use crate::script::{self, Frame, Script};

/// The exception of a stream that fails without the test's saying how.
const FAILURE: &str = "internalServerException";

struct Renderer<'a> {
    behaviour: &'a Behaviour,
    buffer: Vec<u8>,
    frames: Vec<Frame>,
    /// The wait of the next frame.
    wait: Option<Duration>,
    /// The index of the next block.
    block: usize,
}

/// Renders `answer`.
pub fn render(answer: &Answer, behaviour: &Behaviour) -> Script {
    let wait = (!behaviour.role_first).then(|| millis(behaviour.first_token_ms)).flatten();
    let mut renderer = Renderer { behaviour, buffer: Vec::new(), frames: Vec::new(), wait, block: 0 };
    match &behaviour.frames {
        Some(frames) => renderer.literally(frames),
        None => renderer.answer(answer),
    }
    renderer.finish()
}

impl Renderer<'_> {
    fn answer(&mut self, answer: &Answer) {
        self.event("messageStart", &json!({"p": "abcd", "role": "assistant"}), 0);
        self.wait = self.behaviour.role_first.then(|| millis(self.behaviour.first_token_ms)).flatten();
        if answer.reasoning.len() > 0 {
            self.deltas(&answer.reasoning, |text| json!({"reasoningContent": {"text": text}}));
            self.end_block();
        }
        if let Some(text) = text(answer) {
            self.deltas(text, |text| json!({"text": text}));
            self.end_block();
        }
        for call in &answer.tool_calls {
            let start = json!({"toolUse": {"name": call.name, "toolUseId": call.id}});
            self.event("contentBlockStart", &json!({"contentBlockIndex": self.block, "start": start}), 1);
            self.wait = millis(self.behaviour.interval_ms);
            self.deltas(&call.arguments, |text| json!({"toolUse": {"input": text}}));
            self.end_block();
        }
        self.wait = None;
        if !self.behaviour.no_finish_reason {
            self.event("messageStop", &json!({"stopReason": stop_reason(answer)}), 0);
        }
        if !self.behaviour.no_done {
            let mut metadata = Map::from_iter([("metrics".to_owned(), json!({"latencyMs": 1}))]);
            metadata.extend(usage(answer.counts, self.behaviour));
            self.event("metadata", &metadata.into(), 0);
        }
    }

    /// One message for each token.
    fn deltas(&mut self, tokens: &Tokens, delta: impl Fn(&str) -> Value) {
        for token in tokens.iter() {
            let payload = json!({"contentBlockIndex": self.block, "delta": delta(token), "p": "ab"});
            self.event("contentBlockDelta", &payload, 1);
            self.wait = millis(self.behaviour.interval_ms);
        }
    }

    fn end_block(&mut self) {
        self.event("contentBlockStop", &json!({"contentBlockIndex": self.block}), 0);
        self.block += 1;
    }

    /// Frames as the test wrote them.
    fn literally(&mut self, frames: &[String]) {
        for frame in frames {
            self.frame(frame.as_bytes(), 1);
            self.wait = millis(self.behaviour.interval_ms);
        }
    }

    fn event(&mut self, kind: &str, payload: &Value, tokens: usize) {
        let message = message::event(kind, &payload.to_string());
        if self.behaviour.malformed_after == Some(self.frames.len()) {
            let mut broken = message.clone();
            if let Some(last) = broken.last_mut() {
                *last ^= 1;
            }
            self.frame(&broken, 0);
        }
        self.frame(&message, tokens);
    }

    fn frame(&mut self, bytes: &[u8], tokens: usize) {
        self.buffer.extend_from_slice(bytes);
        self.frames.push(Frame { end: self.buffer.len(), wait: self.wait.take(), tokens });
    }

    /// Breaks off where it is to, and lays the writes out.
    fn finish(mut self) -> Script {
        let (end, fails) = script::break_off(&mut self.buffer, &mut self.frames, self.behaviour);
        if fails {
            let kind = self.behaviour.kind.as_deref().unwrap_or(FAILURE);
            let message = ApiError::of(self.behaviour).message;
            self.frame(&message::exception(kind, &json!({"message": message}).to_string()), 0);
        }
        Script::lay_out(&Bytes::from(self.buffer), &self.frames, end, self.behaviour)
    }
}

fn millis(milliseconds: u64) -> Option<Duration> {
    (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
}
