//! The events of ConverseStream as chunks of a chat completion.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>

use serde_json::{Value, json};

use super::answer;
use super::event_stream::Message;
use super::refusal;
use super::usage::{finish_reason, usage};
use crate::providers::Identity;

/// Writes each message as soon as it is there.
pub(super) struct Chunks {
    /// What every chunk begins with, up to its choices.
    head: String,
    /// The blocks that are calls, in order. Their indexes have gaps where there was text; OpenAI's have none.
    calls: Vec<u64>,
    stopped: bool,
    metered: bool,
    /// An error or the end has been told.
    ended: bool,
}

/// Its event cannot be read.
pub(super) struct Unreadable;

/// More calls than this in one answer are no answer; their indexes are kept.
const MOST_CALLS: usize = 1_000;

impl Chunks {
    pub(super) fn of(identity: &Identity) -> Self {
        let head = format!(
            r#"{{"id":"{}","object":"chat.completion.chunk","created":{},"model":{},"choices":["#,
            answer::name(identity),
            identity.created.as_second(),
            Value::from(identity.model.as_str()),
        );
        Self { head, calls: Vec::new(), stopped: false, metered: false, ended: false }
    }

    /// Writes what `message` says to `events`.
    pub(super) fn write(&mut self, message: &Message, events: &mut Vec<u8>) -> Result<(), Unreadable> {
        if self.ended {
            return Ok(());
        }
        match message.header(":message-type") {
            Some("event") => self.event(message, events),
            Some("exception") => {
                self.fail(message.header(":exception-type").unwrap_or_default(), &message.payload, events);
                Ok(())
            }
            Some("error") => {
                self.fail(message.header(":error-code").unwrap_or_default(), b"", events);
                Ok(())
            }
            _ => Err(Unreadable),
        }
    }

    fn event(&mut self, message: &Message, events: &mut Vec<u8>) -> Result<(), Unreadable> {
        let kind = message.header(":event-type").ok_or(Unreadable)?;
        if !matches!(kind, "messageStart" | "contentBlockStart" | "contentBlockDelta" | "messageStop" | "metadata") {
            return Ok(()); // contentBlockStop says nothing that OpenAI does
        }
        let event: Value = serde_json::from_slice(&message.payload).map_err(|_| Unreadable)?;
        if !event.is_object() {
            return Err(Unreadable);
        }
        let block = event.get("contentBlockIndex").map_or(Some(0), Value::as_u64).ok_or(Unreadable)?;
        match kind {
            "messageStart" => self.said(&json!({"role": "assistant", "content": ""}), events),
            "contentBlockStart" => self.start(block, event.pointer("/start/toolUse"), events)?,
            "contentBlockDelta" => self.delta(block, event.get("delta").ok_or(Unreadable)?, events)?,
            "messageStop" => {
                self.stop(event.get("stopReason").and_then(Value::as_str).ok_or(Unreadable)?, events);
            }
            _ => self.meter(event.get("usage"), events),
        }
        Ok(())
    }

    fn start(&mut self, block: u64, tool: Option<&Value>, events: &mut Vec<u8>) -> Result<(), Unreadable> {
        let Some(tool) = tool else { return Ok(()) };
        let text = |name| tool.get(name).and_then(Value::as_str).ok_or(Unreadable);
        let index = self.calls.len();
        if index == MOST_CALLS {
            return Err(Unreadable);
        }
        self.calls.push(block);
        let function = json!({"name": text("name")?, "arguments": ""});
        let call = json!({"index": index, "id": text("toolUseId")?, "type": "function", "function": function});
        self.said(&json!({"tool_calls": [call]}), events);
        Ok(())
    }

    fn delta(&mut self, block: u64, delta: &Value, events: &mut Vec<u8>) -> Result<(), Unreadable> {
        let text = |pointer: &str| delta.pointer(pointer).and_then(Value::as_str);
        if let Some(text) = text("/text") {
            self.said(&json!({"content": text}), events);
        } else if let Some(input) = text("/toolUse/input") {
            let index = self.calls.iter().rposition(|begun| *begun == block).ok_or(Unreadable)?;
            let call = json!({"index": index, "function": {"arguments": input}});
            self.said(&json!({"tool_calls": [call]}), events);
        } else if let Some(text) = text("/reasoningContent/text") {
            self.said(&json!({"reasoning_content": text}), events);
        }
        Ok(())
    }

    fn stop(&mut self, stop_reason: &str, events: &mut Vec<u8>) {
        match finish_reason(stop_reason) {
            Some(reason) => {
                self.choice(&json!({}), Some(reason), events);
                self.stopped = true;
                self.end(events);
            }
            None => self.fail("modelStreamErrorException", b"", events),
        }
    }

    fn meter(&mut self, told: Option<&Value>, events: &mut Vec<u8>) {
        if let Some(told) = told {
            let usage = usage(told);
            event(&format!(r#"{}],"usage":{usage}}}"#, self.head), events);
        }
        self.metered = true;
        self.end(events);
    }

    /// The answer is whole once both its end and its usage have been told.
    fn end(&mut self, events: &mut Vec<u8>) {
        if self.stopped && self.metered {
            event("[DONE]", events);
            self.ended = true;
        }
    }

    /// An exception that came after the status, in OpenAI's words.
    fn fail(&mut self, kind: &str, payload: &[u8], events: &mut Vec<u8>) {
        tracing::warn!(kind, "the provider's stream failed");
        event(&refusal::of_exception(kind, payload).to_string(), events);
        self.ended = true;
    }

    fn said(&self, delta: &Value, events: &mut Vec<u8>) {
        self.choice(delta, None, events);
    }

    fn choice(&self, delta: &Value, finish_reason: Option<&str>, events: &mut Vec<u8>) {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason});
        event(&format!("{}{choice}]}}", self.head), events);
    }
}

fn event(data: &str, events: &mut Vec<u8>) {
    events.extend_from_slice(b"data: ");
    events.extend_from_slice(data.as_bytes());
    events.extend_from_slice(b"\n\n");
}
