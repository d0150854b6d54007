//! `POST /v1/responses`: the answer that a chat completion would have, as a response or its events.
#![expect(clippy::indexing_slicing, reason = "to index JSON by a name reads null where there is none")]

use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::{Answer, Tokens, ToolCall};
use crate::behaviour::Behaviour;
use crate::error::ApiError;
use crate::event_stream::EventStream;
use crate::script::Script;
use crate::usage::{self, Counts};

/// What the request asks for, as a request for a chat completion.
pub fn chat_request(body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let request: Value = serde_json::from_slice(body).map_err(|error| ApiError::unreadable(&error))?;
    let instructions = request["instructions"].as_str().map(|text| json!({"role": "system", "content": text}));
    let input = match &request["input"] {
        Value::String(text) => vec![json!({"role": "user", "content": text})],
        Value::Array(items) => items.iter().filter(|item| item["role"].is_string()).cloned().collect(),
        _ => Vec::new(),
    };
    if input.is_empty() {
        return Err(ApiError::missing("input"));
    }
    let function = |tool: &Value| json!({"function": {"name": tool["name"], "parameters": tool["parameters"]}});
    let tools: Option<Vec<_>> = request["tools"].as_array().map(|tools| tools.iter().map(function).collect());
    let choice = match &request["tool_choice"] {
        Value::Object(choice) => json!({"function": {"name": choice.get("name")}}),
        choice => choice.clone(),
    };
    let format = &request["text"]["format"];
    let chat = json!({
        "model": request["model"],
        "stream": request["stream"],
        "messages": instructions.into_iter().chain(input).collect::<Vec<_>>(),
        "max_tokens": request["max_output_tokens"],
        "tools": tools,
        "tool_choice": choice,
        "parallel_tool_calls": request["parallel_tool_calls"],
        "response_format": {"type": format["type"], "json_schema": format},
    });
    Ok(chat.to_string().into_bytes())
}

/// Renders `answer` as a `response`.
pub fn render_json(answer: &Answer, id: &str, model: &str, created: u64, behaviour: &Behaviour) -> Bytes {
    Response { answer, id, model, created, behaviour }.ended().to_string().into()
}

/// Renders `answer` as the events of a response.
pub fn render_stream(answer: &Answer, id: &str, model: &str, created: u64, behaviour: &Behaviour) -> Script {
    let response = Response { answer, id, model, created, behaviour };
    let mut events = Events { frames: EventStream::new(behaviour), sequence: 0 };
    events.response(&response);
    let ApiError { message, code, param, .. } = ApiError::of(behaviour);
    let number = behaviour.error_after;
    let error = json!({"type": "error", "code": code, "message": message, "param": param, "sequence_number": number});
    events.frames.finish(Some("error"), error.to_string().as_bytes())
}

struct Response<'a> {
    answer: &'a Answer,
    id: &'a str,
    model: &'a str,
    created: u64,
    behaviour: &'a Behaviour,
}

struct Events<'a> {
    frames: EventStream<'a>,
    sequence: u64,
}

/// One item of the output: when it is added, and when it is done.
struct Item {
    added: Value,
    done: Value,
}

impl Response<'_> {
    /// The response at its end.
    fn ended(&self) -> Value {
        let output: Vec<_> = self.items().into_iter().map(|(item, _)| item.done).collect();
        let reason = match self.answer.finish_reason.as_str() {
            "length" => Some("max_output_tokens"),
            "content_filter" => Some("content_filter"),
            _ => None,
        };
        let status = if reason.is_some() { "incomplete" } else { "completed" };
        let mut response = self.begun(status, &output.into());
        response["incomplete_details"] = reason.map_or(Value::Null, |reason| json!({"reason": reason}));
        response["usage"] = usage::render_as(self.answer.counts, &self.behaviour.usage, usage_object);
        response
    }

    fn begun(&self, status: &str, output: &Value) -> Value {
        json!({
            "id": self.id, "object": "response", "created_at": self.created, "status": status, "background": false,
            "error": null, "incomplete_details": null, "instructions": null, "max_output_tokens": null,
            "model": self.model, "output": output, "parallel_tool_calls": true, "previous_response_id": null,
            "reasoning": {"effort": null, "summary": null}, "service_tier": "default", "store": true,
            "temperature": 1.0, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_p": 1.0,
            "truncation": "disabled", "usage": null, "user": null, "metadata": {},
        })
    }

    /// The output, each with the tokens that it streams.
    fn items(&self) -> Vec<(Item, &Tokens)> {
        let answer = self.answer;
        let mut items = Vec::new();
        if answer.reasoning.len() > 0 {
            let item = |summary: Value| json!({"id": "rs_1", "type": "reasoning", "summary": summary});
            let summary = json!([{"type": "summary_text", "text": answer.reasoning.text()}]);
            items.push((Item { added: item(json!([])), done: item(summary) }, &answer.reasoning));
        }
        if answer.tool_calls.is_empty() {
            let text = answer.refusal.as_ref().unwrap_or(&answer.text);
            let part = self.part(text.text());
            items.push((
                Item { added: message("in_progress", &json!([])), done: message("completed", &json!([part])) },
                text,
            ));
        }
        items.extend(answer.tool_calls.iter().map(|call| {
            let arguments = call.arguments.text();
            (
                Item { added: function(call, "in_progress", ""), done: function(call, "completed", arguments) },
                &call.arguments,
            )
        }));
        items
    }

    fn part(&self, text: &str) -> Value {
        if self.answer.refusal.is_some() {
            return json!({"type": "refusal", "refusal": text});
        }
        json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text})
    }
}

impl Events<'_> {
    fn response(&mut self, response: &Response<'_>) {
        for kind in ["response.created", "response.in_progress"] {
            self.send(kind, 0, json!({"response": response.begun("in_progress", &json!([]))}));
        }
        self.frames.begun();
        for (index, (item, tokens)) in response.items().into_iter().enumerate() {
            self.item(response, index, &item, tokens);
        }
        self.frames.at_once();
        if !response.behaviour.no_finish_reason {
            let ended = response.ended();
            let kind = if ended["status"] == "incomplete" { "response.incomplete" } else { "response.completed" };
            self.send(kind, 0, json!({"response": ended}));
        }
    }

    fn item(&mut self, response: &Response<'_>, index: usize, item: &Item, tokens: &Tokens) {
        self.send("response.output_item.added", 0, json!({"output_index": index, "item": item.added}));
        let is_message = item.added["type"] == "message";
        let place = json!({"item_id": item.added["id"], "output_index": index});
        let with = |name: &str, value: Value| {
            let mut event = place.clone();
            event[name] = value;
            if is_message {
                event["content_index"] = 0.into();
            }
            event
        };
        if is_message {
            self.send("response.content_part.added", 0, with("part", response.part("")));
        }
        let (kind, whole) = match item.added["type"].as_str() {
            Some("reasoning") => ("response.reasoning_summary_text", "text"),
            Some("function_call") => ("response.function_call_arguments", "arguments"),
            _ if response.answer.refusal.is_some() => ("response.refusal", "refusal"),
            _ => ("response.output_text", "text"),
        };
        for token in tokens.iter() {
            self.send(&format!("{kind}.delta"), 1, with("delta", token.into()));
            self.frames.pace();
        }
        self.send(&format!("{kind}.done"), 0, with(whole, tokens.text().into()));
        if is_message {
            self.send("response.content_part.done", 0, with("part", response.part(tokens.text())));
        }
        self.send("response.output_item.done", 0, json!({"output_index": index, "item": item.done}));
    }

    fn send(&mut self, kind: &str, tokens: usize, mut event: Value) {
        event["type"] = kind.into();
        event["sequence_number"] = self.sequence.into();
        self.sequence += 1;
        let data = event.to_string();
        self.frames.frame(Some(kind), tokens, |buffer| buffer.extend_from_slice(data.as_bytes()));
    }
}

fn message(status: &str, content: &Value) -> Value {
    json!({"id": "msg_1", "type": "message", "status": status, "role": "assistant", "content": content})
}

fn function(call: &ToolCall, status: &str, arguments: &str) -> Value {
    let id = format!("fc_{}", call.id);
    json!({"id": id, "type": "function_call", "status": status, "call_id": call.id, "name": call.name, "arguments": arguments})
}

fn usage_object(Counts { prompt, completion, reasoning }: Counts) -> Value {
    json!({
        "input_tokens": prompt, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": reasoning}, "total_tokens": prompt + completion,
    })
}
