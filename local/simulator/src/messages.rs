//! `POST /v1/messages`, Anthropic's: the answer that a chat completion would have, as a message or its events.
#![expect(clippy::indexing_slicing, reason = "to index JSON by a name reads null where there is none")]

use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::{Answer, Tokens};
use crate::behaviour::Behaviour;
use crate::error::ApiError;
use crate::frames::Frames;
use crate::script::Script;
use crate::usage::{self, Counts};

/// What the request asks for, as a request for a chat completion.
pub fn as_chat(body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let request: Value = serde_json::from_slice(body).map_err(|error| ApiError::unreadable(&error))?;
    if !request["max_tokens"].is_u64() {
        return Err(ApiError::missing("max_tokens"));
    }
    let system = Some(&request["system"]).filter(|system| !system.is_null());
    let system = system.map(|system| json!({"role": "system", "content": system}));
    let messages = request["messages"].as_array().cloned().unwrap_or_default();
    let function = |tool: &Value| json!({"function": {"name": tool["name"], "parameters": tool["input_schema"]}});
    let tools: Option<Vec<_>> = request["tools"].as_array().map(|tools| tools.iter().map(function).collect());
    let choice = match request["tool_choice"]["type"].as_str() {
        Some("tool") => json!({"function": {"name": request["tool_choice"]["name"]}}),
        Some("any") => json!("required"),
        Some("none") => json!("none"),
        _ => Value::Null,
    };
    let chat = json!({
        "model": request["model"],
        "stream": request["stream"],
        "messages": if messages.is_empty() { messages } else { system.into_iter().chain(messages).collect() },
        "max_tokens": request["max_tokens"],
        "tools": tools,
        "tool_choice": choice,
    });
    Ok(chat.to_string().into_bytes())
}

/// Renders `answer` as a `message`.
pub fn json(answer: &Answer, id: &str, model: &str, behaviour: &Behaviour) -> Bytes {
    let content: Vec<_> = blocks(answer).into_iter().map(|block| block.whole).collect();
    let usage = usage::render_as(answer.counts, &behaviour.usage, usage_object);
    let mut message = message(id, model, &content.into(), &usage);
    message["stop_reason"] = stop_reason(answer).into();
    message.to_string().into()
}

/// Renders `answer` as the events of a message.
pub fn stream(answer: &Answer, id: &str, model: &str, behaviour: &Behaviour) -> Script {
    let mut events = Events(Frames::new(behaviour));
    if !events.0.literally() {
        events.message(answer, id, model, behaviour);
    }
    events.0.finish(&ApiError::of(behaviour).anthropic_body())
}

struct Events<'a>(Frames<'a>);

/// A block of the content: as it starts, its tokens, the kind of delta and the member in which they come, and the whole.
struct Block<'a> {
    start: Value,
    tokens: &'a Tokens,
    delta: [&'static str; 2],
    whole: Value,
}

fn blocks(answer: &Answer) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    if answer.reasoning.len() > 0 {
        let block = |text: &str| json!({"type": "thinking", "thinking": text, "signature": ""});
        blocks.push(Block {
            start: block(""),
            tokens: &answer.reasoning,
            delta: ["thinking_delta", "thinking"],
            whole: block(answer.reasoning.text()),
        });
    }
    if answer.tool_calls.is_empty() {
        let tokens = answer.refusal.as_ref().unwrap_or(&answer.text);
        let block = |text: &str| json!({"type": "text", "text": text});
        blocks.push(Block { start: block(""), tokens, delta: ["text_delta", "text"], whole: block(tokens.text()) });
    }
    blocks.extend(answer.tool_calls.iter().map(|call| {
        let id = call.id.replace("call_", "toolu_");
        let block = |input: Value| json!({"type": "tool_use", "id": id, "name": call.name, "input": input});
        Block {
            start: block(json!({})),
            tokens: &call.arguments,
            delta: ["input_json_delta", "partial_json"],
            whole: block(serde_json::from_str(call.arguments.text()).unwrap_or_default()),
        }
    }));
    blocks
}

impl Events<'_> {
    fn message(&mut self, answer: &Answer, id: &str, model: &str, behaviour: &Behaviour) {
        let at_start = Counts { completion: 1, ..answer.counts };
        let usage = usage::render_as(at_start, &behaviour.usage, usage_object);
        self.send("message_start", 0, json!({"message": message(id, model, &json!([]), &usage)}));
        self.0.before_content();
        for (index, block) in blocks(answer).iter().enumerate() {
            self.send("content_block_start", 0, json!({"index": index, "content_block": block.start}));
            if index == 0 {
                self.send("ping", 0, json!({}));
            }
            let [kind, member] = block.delta;
            for token in block.tokens.iter() {
                self.send("content_block_delta", 1, json!({"index": index, "delta": {"type": kind, member: token}}));
                self.0.after_token();
            }
            self.send("content_block_stop", 0, json!({"index": index}));
        }
        self.0.wait = None;
        if !behaviour.no_finish_reason {
            let delta = json!({"stop_reason": stop_reason(answer), "stop_sequence": null});
            let usage = usage::render_as(
                answer.counts,
                &behaviour.usage,
                |counts| json!({"output_tokens": usage_object(counts)["output_tokens"]}),
            );
            self.send("message_delta", 0, json!({"delta": delta, "usage": usage}));
        }
        if !behaviour.no_done {
            self.send("message_stop", 0, json!({}));
        }
    }

    fn send(&mut self, kind: &str, tokens: usize, mut event: Value) {
        event["type"] = kind.into();
        let data = event.to_string();
        self.0.frame(Some(kind), tokens, |buffer| buffer.extend_from_slice(data.as_bytes()));
    }
}

fn message(id: &str, model: &str, content: &Value, usage: &Value) -> Value {
    json!({
        "id": id, "type": "message", "role": "assistant", "model": model, "content": content, "stop_reason": null,
        "stop_sequence": null, "usage": usage,
    })
}

fn stop_reason(answer: &Answer) -> &str {
    match answer.finish_reason.as_str() {
        "stop" => "end_turn",
        "length" => "max_tokens",
        "tool_calls" => "tool_use",
        "content_filter" => "refusal",
        other => other,
    }
}

fn usage_object(Counts { prompt, completion, .. }: Counts) -> Value {
    json!({
        "input_tokens": prompt, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
        "output_tokens": completion, "service_tier": "standard",
    })
}
