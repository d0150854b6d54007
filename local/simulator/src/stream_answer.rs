//! A completion as server-sent events, rendered before the first is sent.

use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::answer::{Answer, Tokens, ToolCall};
use crate::behaviour::{Behaviour, UsageFault, UsageMode};
use crate::catalogue::SYSTEM_FINGERPRINT;
use crate::error::ApiError;
use crate::script::{self, Frame, Script};
use crate::usage;

/// Azure's verdict on a prompt.
pub const PROMPT_FILTER: &str = r#"[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"},"jailbreak":{"filtered":false,"detected":false},"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}}}]"#;
/// Azure's verdict on an answer.
pub const CONTENT_FILTER: &str = r#"{"hate":{"filtered":false,"severity":"safe"},"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}}"#;

const MALFORMED: &str = r#"{"id":"chatcmpl-broken","choices":[{"index":0,"delta":{"content":"#;

/// Renders `answer` as `chat.completion.chunk` frames. `asked` is the request's `stream_options.include_usage`.
pub fn render(answer: &Answer, id: &str, model: &str, created: u64, asked: bool, behaviour: &Behaviour) -> Script {
    let mut renderer = Renderer::new(id, model, created, asked, behaviour);
    if let Some(frames) = &behaviour.frames {
        renderer.literally(frames);
    } else {
        renderer.chunks(answer, asked);
    }
    renderer.finish()
}

struct Renderer<'a> {
    behaviour: &'a Behaviour,
    buffer: Vec<u8>,
    frames: Vec<Frame>,
    newline: &'static str,
    /// What every chunk starts with, up to its `choices`.
    head: String,
    /// What follows the `choices`.
    tail: &'static str,
    /// The wait of the next frame.
    wait: Option<Duration>,
}

impl<'a> Renderer<'a> {
    fn new(id: &str, model: &str, created: u64, asked: bool, behaviour: &'a Behaviour) -> Self {
        let model = serde_json::to_string(model).unwrap_or_default();
        let head = format!(
            "{{\"id\":\"{id}\",\"object\":\"chat.completion.chunk\",\"created\":{created},\"model\":{model},\
             \"service_tier\":\"default\",\"system_fingerprint\":\"{SYSTEM_FINGERPRINT}\",\"choices\":["
        );
        let tail = if asked { "],\"usage\":null}" } else { "]}" };
        let newline = if behaviour.crlf { "\r\n" } else { "\n" };
        let wait = (!behaviour.role_first).then(|| millis(behaviour.first_token_ms)).flatten();
        Self { behaviour, buffer: Vec::new(), frames: Vec::new(), newline, head, tail, wait }
    }

    /// All frames of a complete answer, `[DONE]` included.
    fn chunks(&mut self, answer: &Answer, asked: bool) {
        self.buffer.reserve((self.head.len() + 120) * (answer.counts.completion + 4));
        self.frames.reserve(answer.counts.completion + 4);
        if self.behaviour.azure {
            self.prompt_filter();
        }
        self.role(answer);
        self.wait = self.behaviour.role_first.then(|| millis(self.behaviour.first_token_ms)).flatten();
        self.deltas("reasoning_content", &answer.reasoning);
        self.deltas("content", &answer.text);
        if let Some(refusal) = &answer.refusal {
            self.deltas("refusal", refusal);
        }
        for (index, call) in answer.tool_calls.iter().enumerate() {
            self.tool_call(index, call);
        }
        self.wait = None;
        self.ending(answer, asked);
    }

    fn ending(&mut self, answer: &Answer, asked: bool) {
        let mode = &self.behaviour.usage;
        let usage = usage::render(answer.counts, mode);
        let on_last = *mode == UsageMode::Named(UsageFault::LastContent);
        if !self.behaviour.no_finish_reason {
            self.last_choice(&answer.finish_reason, usage.as_deref().filter(|_| on_last));
        }
        if self.behaviour.azure {
            self.late_filter();
        }
        if let Some(usage) = usage
            && !on_last
            && (asked || *mode == UsageMode::Named(UsageFault::Always))
        {
            let chunk = format!("{}],\"usage\":{}}}", self.head, usage.get());
            self.frame(0, |buffer| buffer.extend_from_slice(chunk.as_bytes()));
        }
        if !self.behaviour.no_done {
            self.frame(0, |buffer| buffer.extend_from_slice(b"[DONE]"));
        }
    }

    fn role(&mut self, answer: &Answer) {
        let content = if answer.tool_calls.is_empty() && answer.refusal.is_none() { "\"\"" } else { "null" };
        let delta = format!("{{\"role\":\"assistant\",\"content\":{content},\"refusal\":null}}");
        self.delta(0, |buffer| buffer.extend_from_slice(delta.as_bytes()));
    }

    /// One frame for each token, under the given name.
    fn deltas(&mut self, name: &str, tokens: &Tokens) {
        let open = format!("{{\"{name}\":");
        for token in tokens.iter() {
            self.delta(1, |buffer| {
                buffer.extend_from_slice(open.as_bytes());
                write_json(buffer, token);
                buffer.push(b'}');
            });
            self.wait = millis(self.behaviour.interval_ms);
        }
    }

    /// The frame that opens the call, then one for each token of its arguments.
    fn tool_call(&mut self, index: usize, call: &ToolCall) {
        let name = serde_json::to_string(&call.name).unwrap_or_default();
        let opening = format!(
            "{{\"tool_calls\":[{{\"index\":{index},\"id\":\"{}\",\"type\":\"function\",\"function\":{{\"name\":{name},\
             \"arguments\":\"\"}}}}]}}",
            call.id
        );
        self.delta(1, |buffer| buffer.extend_from_slice(opening.as_bytes()));
        self.wait = millis(self.behaviour.interval_ms);
        let open = format!("{{\"tool_calls\":[{{\"index\":{index},\"function\":{{\"arguments\":");
        for token in call.arguments.iter() {
            self.delta(1, |buffer| {
                buffer.extend_from_slice(open.as_bytes());
                write_json(buffer, token);
                buffer.extend_from_slice(b"}}]}");
            });
            self.wait = millis(self.behaviour.interval_ms);
        }
    }

    /// A chunk with one choice, whose `delta` is written by `delta`.
    fn delta(&mut self, tokens: usize, delta: impl FnOnce(&mut Vec<u8>)) {
        let head = std::mem::take(&mut self.head);
        let (tail, azure) = (self.tail, self.behaviour.azure);
        self.frame(tokens, |buffer| {
            buffer.extend_from_slice(head.as_bytes());
            buffer.extend_from_slice(b"{\"index\":0,\"delta\":");
            delta(buffer);
            buffer.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":null");
            if azure {
                buffer.extend_from_slice(b",\"content_filter_results\":");
                buffer.extend_from_slice(CONTENT_FILTER.as_bytes());
            }
            buffer.push(b'}');
            buffer.extend_from_slice(tail.as_bytes());
        });
        self.head = head;
    }

    fn last_choice(&mut self, reason: &str, usage: Option<&RawValue>) {
        let reason = serde_json::to_string(reason).unwrap_or_default();
        let tail = usage.map_or_else(|| self.tail.to_owned(), |usage| format!("],\"usage\":{}}}", usage.get()));
        let chunk =
            format!("{}{{\"index\":0,\"delta\":{{}},\"logprobs\":null,\"finish_reason\":{reason}}}{tail}", self.head);
        self.frame(0, |buffer| buffer.extend_from_slice(chunk.as_bytes()));
    }

    fn prompt_filter(&mut self) {
        let chunk = format!(
            "{{\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\",\
             \"prompt_filter_results\":{PROMPT_FILTER}}}"
        );
        self.frame(0, |buffer| buffer.extend_from_slice(chunk.as_bytes()));
        self.wait = None;
    }

    /// What Azure's asynchronous filter sends: a choice without `delta`.
    fn late_filter(&mut self) {
        let chunk = format!(
            "{{\"choices\":[{{\"content_filter_offsets\":{{\"check_offset\":0,\"start_offset\":0,\"end_offset\":120}},\
             \"content_filter_results\":{CONTENT_FILTER},\"finish_reason\":null,\"index\":0}}],\"created\":0,\"id\":\"\",\
             \"model\":\"\",\"object\":\"\"}}"
        );
        self.frame(0, |buffer| buffer.extend_from_slice(chunk.as_bytes()));
    }

    /// Frames as the test wrote them.
    fn literally(&mut self, frames: &[String]) {
        for frame in frames {
            self.buffer.extend_from_slice(frame.as_bytes());
            self.end_frame(1);
            self.wait = millis(self.behaviour.interval_ms);
        }
    }

    /// `data: `, what `payload` writes, and the blank line.
    fn frame(&mut self, tokens: usize, payload: impl FnOnce(&mut Vec<u8>)) {
        if self.behaviour.malformed_after == Some(self.frames.len()) {
            self.event(|buffer| buffer.extend_from_slice(MALFORMED.as_bytes()));
            self.end_frame(0);
        }
        self.event(payload);
        self.end_frame(tokens);
    }

    fn event(&mut self, payload: impl FnOnce(&mut Vec<u8>)) {
        let newline = self.newline.as_bytes();
        if self.behaviour.comments {
            self.buffer.extend_from_slice(b": still here");
            self.buffer.extend_from_slice(newline);
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
        self.frames.push(Frame { end: self.buffer.len(), wait: self.wait.take(), tokens });
    }

    /// Breaks off where it is to, and lays the writes out.
    fn finish(mut self) -> Script {
        let (end, fails) = script::break_off(&mut self.buffer, &mut self.frames, self.behaviour);
        if fails {
            self.error_event();
        }
        Script::lay_out(&Bytes::from(self.buffer), &self.frames, end, self.behaviour)
    }

    fn error_event(&mut self) {
        let error = ApiError::of(self.behaviour).body();
        self.event(|buffer| buffer.extend_from_slice(&error));
        self.end_frame(0);
    }
}

fn millis(milliseconds: u64) -> Option<Duration> {
    (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
}

fn write_json(buffer: &mut Vec<u8>, text: &str) {
    // Writing to memory cannot fail, and neither can a string be unserialisable.
    let _ = serde_json::to_writer(buffer, text);
}
