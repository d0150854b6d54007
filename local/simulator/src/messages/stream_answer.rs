//! A message as server-sent events.

use serde_json::{Map, Value, json};

use super::{error_body, stop_reason, usage};
use crate::answer::{Answer, Tokens, ToolCall};
use crate::behaviour::Behaviour;
use crate::error::ApiError;
use crate::event_stream::EventStream;
use crate::script::Script;

/// Renders `answer` as the events of a message, of which `message_start` is the first frame.
pub fn render(answer: &Answer, id: &str, model: &str, behaviour: &Behaviour) -> Script {
    let mut renderer = Renderer { behaviour, events: EventStream::new(behaviour), blocks: 0 };
    renderer.message(answer, id, model);
    let mut error = ApiError::of(behaviour);
    if behaviour.status.is_none() && behaviour.message.is_none() {
        (error.status, error.message) = (529, "Overloaded".to_owned());
    }
    renderer.events.finish(Some("error"), &error_body(&error, behaviour, id))
}

struct Renderer<'a> {
    behaviour: &'a Behaviour,
    events: EventStream<'a>,
    blocks: usize,
}

impl Renderer<'_> {
    fn message(&mut self, answer: &Answer, id: &str, model: &str) {
        let usage = usage(answer.counts, &self.behaviour.usage);
        self.start(id, model, usage.clone());
        self.events.begun();
        let thinking = json!({"type": "thinking", "thinking": "", "signature": ""});
        if self.block(&thinking, &answer.reasoning, |text| json!({"type": "thinking_delta", "thinking": text})) {
            self.delta(0, &json!({"type": "signature_delta", "signature": "c2ln"}));
            self.end_block();
        }
        let text = answer.refusal.as_ref().unwrap_or(&answer.text);
        if self.block(&json!({"type": "text", "text": ""}), text, |text| json!({"type": "text_delta", "text": text})) {
            self.end_block();
        }
        for call in &answer.tool_calls {
            self.tool_use(call);
        }
        self.events.at_once();
        if !self.behaviour.no_finish_reason {
            let delta = json!({"stop_reason": stop_reason(&answer.finish_reason), "stop_sequence": null});
            let output = usage.as_ref().and_then(|usage| usage.get("output_tokens")).cloned();
            let mut event = json!({"type": "message_delta", "delta": delta});
            if let (Some(output), Some(event)) = (output, event.as_object_mut()) {
                event.insert("usage".to_owned(), json!({"output_tokens": output}));
            }
            self.event("message_delta", 0, &event);
        }
        if !self.behaviour.no_done {
            self.event("message_stop", 0, &json!({"type": "message_stop"}));
        }
    }

    /// At the start one token has been produced, whatever the whole will have.
    fn start(&mut self, id: &str, model: &str, usage: Option<Map<String, Value>>) {
        let mut message = json!({
            "id": id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
        });
        if let (Some(mut usage), Some(message)) = (usage, message.as_object_mut()) {
            usage.insert("output_tokens".to_owned(), 1.into());
            message.insert("usage".to_owned(), usage.into());
        }
        self.event("message_start", 0, &json!({"type": "message_start", "message": message}));
    }

    /// A block that begins as `start`, with one delta for each token; `false` if there are none. It is not ended.
    fn block(&mut self, start: &Value, tokens: &Tokens, delta: impl Fn(&str) -> Value) -> bool {
        if tokens.len() == 0 {
            return false;
        }
        self.begin_block(0, start);
        for token in tokens.iter() {
            self.delta(1, &delta(token));
            self.events.pace();
        }
        true
    }

    /// A call without arguments has an empty delta alone.
    fn tool_use(&mut self, call: &ToolCall) {
        self.begin_block(1, &json!({"type": "tool_use", "id": call.id, "name": call.name, "input": {}}));
        self.events.pace();
        let delta = |json: &str| json!({"type": "input_json_delta", "partial_json": json});
        self.delta(0, &delta(""));
        for token in call.arguments.iter().filter(|_| call.arguments.text() != "{}") {
            self.delta(1, &delta(token));
            self.events.pace();
        }
        self.end_block();
    }

    /// A ping follows the first one.
    fn begin_block(&mut self, tokens: usize, block: &Value) {
        let event = json!({"type": "content_block_start", "index": self.blocks, "content_block": block});
        self.event("content_block_start", tokens, &event);
        if self.blocks == 0 {
            self.event("ping", 0, &json!({"type": "ping"}));
        }
    }

    fn delta(&mut self, tokens: usize, delta: &Value) {
        let event = json!({"type": "content_block_delta", "index": self.blocks, "delta": delta});
        self.event("content_block_delta", tokens, &event);
    }

    fn end_block(&mut self) {
        self.event("content_block_stop", 0, &json!({"type": "content_block_stop", "index": self.blocks}));
        self.blocks += 1;
    }

    fn event(&mut self, name: &str, tokens: usize, data: &Value) {
        self.events.frame(Some(name), tokens, |buffer| buffer.extend_from_slice(data.to_string().as_bytes()));
    }
}
