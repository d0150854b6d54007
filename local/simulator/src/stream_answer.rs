//! A completion as server-sent events, rendered before the first is sent.

use serde_json::value::RawValue;

use crate::answer::{Answer, Tokens, ToolCall};
use crate::behaviour::{Behaviour, UsageFault, UsageMode};
use crate::catalogue::SYSTEM_FINGERPRINT;
use crate::error::ApiError;
use crate::event_stream::EventStream;
use crate::script::Script;
use crate::usage;

/// Azure's verdict on a prompt.
pub const PROMPT_FILTER: &str = r#"[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"},"jailbreak":{"filtered":false,"detected":false},"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}}}]"#;
/// Azure's verdict on an answer.
pub const CONTENT_FILTER: &str = r#"{"hate":{"filtered":false,"severity":"safe"},"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}}"#;

/// Renders `answer` as `chat.completion.chunk` frames. `asked` is the request's `stream_options.include_usage`.
pub fn render(answer: &Answer, id: &str, model: &str, created: u64, asked: bool, behaviour: &Behaviour) -> Script {
    let mut renderer = Renderer::new(id, model, created, asked, behaviour);
    renderer.chunks(answer, asked);
    renderer.events.finish(None, &ApiError::of(behaviour).body())
}

struct Renderer<'a> {
    behaviour: &'a Behaviour,
    events: EventStream<'a>,
    /// What every chunk starts with, up to its `choices`.
    head: String,
    /// What follows the `choices`.
    tail: &'static str,
}

impl<'a> Renderer<'a> {
    fn new(id: &str, model: &str, created: u64, asked: bool, behaviour: &'a Behaviour) -> Self {
        let model = serde_json::to_string(model).unwrap_or_default();
        let head = format!(
            "{{\"id\":\"{id}\",\"object\":\"chat.completion.chunk\",\"created\":{created},\"model\":{model},\
             \"service_tier\":\"default\",\"system_fingerprint\":\"{SYSTEM_FINGERPRINT}\",\"choices\":["
        );
        let tail = if asked { "],\"usage\":null}" } else { "]}" };
        Self { behaviour, events: EventStream::new(behaviour), head, tail }
    }

    /// All frames of a complete answer, `[DONE]` included.
    fn chunks(&mut self, answer: &Answer, asked: bool) {
        let count = answer.counts.completion + 4;
        self.events.reserve((self.head.len() + 120) * count, count);
        if self.behaviour.azure {
            self.prompt_filter();
        }
        self.role(answer);
        self.events.begun();
        self.deltas("reasoning_content", &answer.reasoning);
        self.deltas("content", &answer.text);
        if let Some(refusal) = &answer.refusal {
            self.deltas("refusal", refusal);
        }
        for (index, call) in answer.tool_calls.iter().enumerate() {
            self.tool_call(index, call);
        }
        self.events.at_once();
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
            self.events.frame(None, 0, |buffer| buffer.extend_from_slice(chunk.as_bytes()));
        }
        if !self.behaviour.no_done {
            self.events.frame(None, 0, |buffer| buffer.extend_from_slice(b"[DONE]"));
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
            self.events.pace();
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
        self.events.pace();
        let open = format!("{{\"tool_calls\":[{{\"index\":{index},\"function\":{{\"arguments\":");
        for token in call.arguments.iter() {
            self.delta(1, |buffer| {
                buffer.extend_from_slice(open.as_bytes());
                write_json(buffer, token);
                buffer.extend_from_slice(b"}}]}");
            });
            self.events.pace();
        }
    }

    /// A chunk with one choice, whose `delta` is written by `delta`.
    fn delta(&mut self, tokens: usize, delta: impl FnOnce(&mut Vec<u8>)) {
        let head = std::mem::take(&mut self.head);
        let (tail, azure) = (self.tail, self.behaviour.azure);
        self.events.frame(None, tokens, |buffer| {
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
        self.events.frame(None, 0, |buffer| buffer.extend_from_slice(chunk.as_bytes()));
    }

    fn prompt_filter(&mut self) {
        let chunk = format!(
            "{{\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\",\
             \"prompt_filter_results\":{PROMPT_FILTER}}}"
        );
        self.events.frame(None, 0, |buffer| buffer.extend_from_slice(chunk.as_bytes()));
        self.events.at_once();
    }

    /// What Azure's asynchronous filter sends: a choice without `delta`.
    fn late_filter(&mut self) {
        let chunk = format!(
            "{{\"choices\":[{{\"content_filter_offsets\":{{\"check_offset\":0,\"start_offset\":0,\"end_offset\":120}},\
             \"content_filter_results\":{CONTENT_FILTER},\"finish_reason\":null,\"index\":0}}],\"created\":0,\"id\":\"\",\
             \"model\":\"\",\"object\":\"\"}}"
        );
        self.events.frame(None, 0, |buffer| buffer.extend_from_slice(chunk.as_bytes()));
    }
}

fn write_json(buffer: &mut Vec<u8>, text: &str) {
    // Writing to memory cannot fail, and neither can a string be unserialisable.
    let _ = serde_json::to_writer(buffer, text);
}
