//! A request of the Messages API: what the real one refuses is refused, and the rest is said in OpenAI's terms.

use std::collections::BTreeSet;

use http::HeaderMap;
use serde_json::{Value, json};

use crate::error::ApiError;

const MEMBERS: [&str; 17] = [
    "model",
    "messages",
    "max_tokens",
    "system",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "metadata",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "service_tier",
    "container",
    "cache_control",
];

/// The same request as a chat completion, or what is wrong with it.
pub fn chat_request(body: &[u8], headers: &HeaderMap) -> Result<Vec<u8>, ApiError> {
    if !headers.contains_key("anthropic-version") {
        return Err(wrong("anthropic-version", "header is required"));
    }
    let request: Value = serde_json::from_slice(body).map_err(|error| wrong("body", &error.to_string()))?;
    check(&request)?;
    let mut messages = Vec::new();
    if let Some(system) = request.get("system") {
        messages.push(json!({"role": "system", "content": system}));
    }
    for message in elements(&request, "messages") {
        translate(message, &mut messages);
    }
    let tool = |tool: &Value| json!({"type": "function", "function": {"name": tool.get("name"), "parameters": tool.get("input_schema")}});
    let tools: Vec<Value> = elements(&request, "tools").iter().map(tool).collect();
    let choice = request.get("tool_choice");
    let alone = choice.and_then(|choice| choice.get("disable_parallel_tool_use")) == Some(&Value::Bool(true));
    let chat = json!({
        "model": request.get("model"),
        "messages": messages,
        "max_tokens": request.get("max_tokens"),
        "stream": request.get("stream"),
        "tools": tools,
        "tool_choice": choice.map(tool_choice),
        "parallel_tool_calls": !alone,
        "response_format": request.pointer("/output_config/format").map(response_format),
    });
    Ok(chat.to_string().into_bytes())
}

fn wrong(place: &str, what: &str) -> ApiError {
    ApiError::invalid(&format!("{place}: {what}"), None)
}

fn check(request: &Value) -> Result<(), ApiError> {
    let members = request.as_object().ok_or_else(|| wrong("body", "Input should be a valid dictionary"))?;
    if let Some(unknown) = members.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
        return Err(wrong(unknown, "Extra inputs are not permitted"));
    }
    if !request.get("model").is_some_and(Value::is_string) {
        return Err(wrong("model", "Field required"));
    }
    if request.get("max_tokens").and_then(Value::as_u64).is_none_or(|tokens| tokens == 0) {
        return Err(wrong("max_tokens", "Input should be a positive integer"));
    }
    let temperature = request.get("temperature").map(|temperature| temperature.as_f64().unwrap_or(f64::NAN));
    if temperature.is_some_and(|temperature| !(0.0..=1.0).contains(&temperature)) {
        return Err(wrong("temperature", "range: 0..1"));
    }
    let metadata = request.get("metadata").and_then(Value::as_object);
    if metadata.is_some_and(|metadata| metadata.keys().any(|name| name != "user_id")) {
        return Err(wrong("metadata", "Extra inputs are not permitted"));
    }
    let tools = elements(request, "tools");
    if tools.iter().any(|tool| !tool.pointer("/input_schema/type").is_some_and(Value::is_string)) {
        return Err(wrong("tools.0.custom.input_schema.type", "Field required"));
    }
    if tools.is_empty() && request.get("tool_choice").is_some() {
        return Err(wrong("tool_choice", "may only be specified while providing tools"));
    }
    check_turns(elements(request, "messages"))
}

/// The turns of a conversation: who speaks, in which blocks, and that every call of a tool has its result next.
fn check_turns(messages: &[Value]) -> Result<(), ApiError> {
    let Some(first) = messages.first() else { return Err(wrong("messages", "at least one message is required")) };
    if first.get("role") != Some(&json!("user")) {
        return Err(wrong("messages", "first message must use the \"user\" role"));
    }
    let mut called = BTreeSet::new();
    for (index, message) in messages.iter().enumerate() {
        let place = format!("messages.{index}");
        let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
        if !["user", "assistant"].contains(&role) {
            return Err(wrong(&format!("{place}.role"), "Input should be 'user' or 'assistant'"));
        }
        let blocks = elements(message, "content");
        let said = message.get("content").and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        if blocks.is_empty() && !said {
            return Err(wrong(&place, "all messages must have non-empty content"));
        }
        let text = |block: &&Value| block.get("type") == Some(&json!("text"));
        if blocks.iter().filter(text).any(|block| block.get("text").is_none_or(|text| text == "" || !text.is_string()))
        {
            return Err(wrong("messages", "text content blocks must be non-empty"));
        }
        if ids(blocks, "tool_result", "tool_use_id") != called {
            return Err(wrong(&place, "each `tool_use` must have a single `tool_result` in the next message"));
        }
        if blocks.iter().any(|block| block.get("input").is_some_and(|input| !input.is_object())) {
            return Err(wrong(&place, "tool_use.input: Input should be a valid dictionary"));
        }
        called = ids(blocks, "tool_use", "id");
    }
    Ok(())
}

/// The ids that blocks of this kind have.
fn ids(blocks: &[Value], kind: &str, member: &str) -> BTreeSet<String> {
    let of_kind = blocks.iter().filter(|block| block.get("type") == Some(&json!(kind)));
    of_kind.filter_map(|block| Some(block.get(member)?.as_str()?.to_owned())).collect()
}

fn elements<'a>(object: &'a Value, name: &str) -> &'a [Value] {
    object.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Results of tools are messages of their own in OpenAI's terms; text and images stay together.
fn translate(message: &Value, into: &mut Vec<Value>) {
    let mut parts = Vec::new();
    if let Some(text) = message.get("content").and_then(Value::as_str) {
        parts.push(json!({"type": "text", "text": text}));
    }
    for block in elements(message, "content") {
        match block.get("type").and_then(Value::as_str) {
            Some("text" | "image") => parts.push(block.clone()),
            Some("tool_result") => into.push(json!({"role": "tool", "content": block.get("content")})),
            _ => (),
        }
    }
    if !parts.is_empty() {
        into.push(json!({"role": message.get("role"), "content": parts}));
    }
}

fn tool_choice(choice: &Value) -> Value {
    match choice.get("type").and_then(Value::as_str) {
        Some("any") => json!("required"),
        Some("none") => json!("none"),
        Some("tool") => json!({"type": "function", "function": {"name": choice.get("name")}}),
        _ => json!("auto"),
    }
}

fn response_format(format: &Value) -> Value {
    json!({"type": "json_schema", "json_schema": {"schema": format.get("schema")}})
}
