//! The events of ConverseStream as chunks of a chat completion.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer;
use super::event_stream::Message;
use super::refusal;
use super::usage::{TokenUsage, Usage, finish_reason};
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

/// The members of all kinds of events.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(default)]
    content_block_index: u64,
    #[serde(borrow)]
    start: Option<Start<'a>>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    stop_reason: Option<Cow<'a, str>>,
    usage: Option<TokenUsage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start<'a> {
    #[serde(borrow)]
    tool_use: Option<ToolUse<'a>>,
}

#[derive(Deserialize)]
struct ToolUse<'a> {
    #[serde(borrow, rename = "toolUseId")]
    id: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delta<'a> {
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tool_use: Option<Input<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<Reasoning<'a>>,
}

#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow)]
    input: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Reasoning<'a> {
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
}

/// Its event cannot be read.
pub(super) struct Unreadable;

#[derive(Serialize, Default)]
struct Said<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[Call<'a>; 1]>,
}

#[derive(Serialize)]
struct Call<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

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
        let event: Event<'_> = serde_json::from_slice(&message.payload).map_err(|_| Unreadable)?;
        match kind {
            "messageStart" => {
                self.said(&Said { role: Some("assistant"), content: Some(""), ..Said::default() }, events);
            }
            "contentBlockStart" => self.start(&event, events)?,
            "contentBlockDelta" => self.delta(&event, events)?,
            "messageStop" => self.stop(&event.stop_reason.ok_or(Unreadable)?, events),
            _ => self.meter(event.usage, events),
        }
        Ok(())
    }

    fn start(&mut self, event: &Event<'_>, events: &mut Vec<u8>) -> Result<(), Unreadable> {
        let Some(tool) = event.start.as_ref().and_then(|start| start.tool_use.as_ref()) else { return Ok(()) };
        let index = self.calls.len();
        if index == MOST_CALLS {
            return Err(Unreadable);
        }
        self.calls.push(event.content_block_index);
        let function = Function { name: Some(&tool.name), arguments: "" };
        self.called(Call { index, id: Some(&tool.id), r#type: Some("function"), function }, events);
        Ok(())
    }

    fn delta(&mut self, event: &Event<'_>, events: &mut Vec<u8>) -> Result<(), Unreadable> {
        let Some(delta) = &event.delta else { return Err(Unreadable) };
        if let Some(text) = &delta.text {
            self.said(&Said { content: Some(text), ..Said::default() }, events);
        } else if let Some(tool) = &delta.tool_use {
            let begun = |block: &u64| *block == event.content_block_index;
            let index = self.calls.iter().rposition(begun).ok_or(Unreadable)?;
            let function = Function { name: None, arguments: &tool.input };
            self.called(Call { index, id: None, r#type: None, function }, events);
        } else if let Some(text) = delta.reasoning_content.as_ref().and_then(|reasoning| reasoning.text.as_deref()) {
            self.said(&Said { reasoning_content: Some(text), ..Said::default() }, events);
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

    fn meter(&mut self, usage: Option<TokenUsage>, events: &mut Vec<u8>) {
        if let Some(usage) = usage {
            let usage = serde_json::to_string(&Usage::from(usage)).unwrap_or_default();
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

    fn called(&self, call: Call<'_>, events: &mut Vec<u8>) {
        self.said(&Said { tool_calls: Some([call]), ..Said::default() }, events);
    }

    fn said(&self, delta: &Said<'_>, events: &mut Vec<u8>) {
        self.choice(delta, None, events);
    }

    fn choice(&self, delta: &impl Serialize, finish_reason: Option<&str>, events: &mut Vec<u8>) {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason});
        event(&format!("{}{choice}]}}", self.head), events);
    }
}

fn event(data: &str, events: &mut Vec<u8>) {
    events.extend_from_slice(b"data: ");
    events.extend_from_slice(data.as_bytes());
    events.extend_from_slice(b"\n\n");
}
