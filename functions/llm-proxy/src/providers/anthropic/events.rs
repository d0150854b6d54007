//! The events of a message as chunks of a chat completion, each as soon as it is complete:
//! <https://docs.claude.com/en/docs/build-with-claude/streaming>.
//!
//! The reason for which the answer ends is held back until `message_stop`, so that a stream without it is none that has
//! ended.

use bytes::Bytes;
use futures_util::stream::StreamExt as _;
use platform::ByteStream;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::Block;
use super::usage::Usage;
use super::{finish_reason, head, is_text, quoted};
use crate::observation;
use crate::providers::Identity;
use crate::relay::LONGEST_EVENT;
use crate::sse::{self, Framer};

/// Any event; of the members those are there that its type has.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: &'a RawValue,
    #[serde(borrow)]
    message: Option<Start<'a>>,
    index: Option<u64>,
    #[serde(borrow)]
    content_block: Option<Block<'a>>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<Failure<'a>>,
}

#[derive(Deserialize)]
struct Start<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    partial_json: Option<&'a RawValue>,
    #[serde(borrow)]
    stop_reason: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Failure<'a> {
    #[serde(borrow, rename = "type")]
    kind: &'a RawValue,
    #[serde(borrow)]
    message: &'a RawValue,
}

/// What has been told of a message so far. Its size does not grow with the message.
struct Translation {
    identity: Identity,
    /// The members that every chunk begins with.
    head: String,
    usage: Usage,
    finish_reason: Option<&'static str>,
    /// How many tools have been called.
    calls: u32,
    /// The call that is being told.
    call: Option<Call>,
}

/// A call of a tool; blocks of another kind are not counted in its number.
struct Call {
    block: u64,
    number: u32,
    has_arguments: bool,
}

const CHUNK: &str = "chat.completion.chunk";
/// What is no event is passed on as one that nobody can read.
const MALFORMED: &str = "data: malformed\n\n";

/// The stream that OpenAI would send. Dropping it drops `body`.
pub(super) fn translated(body: ByteStream, identity: Identity) -> ByteStream {
    let (mut framer, mut translation) = (Framer::default(), Translation::new(identity));
    // What comes to nothing is passed on too: it is a sign of life.
    Box::pin(body.map(move |chunk| chunk.map(|chunk| Bytes::from(translation.all_of(&mut framer, chunk)))))
}

impl Translation {
    fn new(identity: Identity) -> Self {
        let head = head(CHUNK, None, None, &identity);
        Self { identity, head, usage: Usage::default(), finish_reason: None, calls: 0, call: None }
    }

    /// The events that `chunk` completes.
    fn all_of(&mut self, framer: &mut Framer, chunk: Bytes) -> String {
        let block = framer.feed(chunk);
        let (mut translated, mut start) = (String::new(), 0);
        for &end in framer.ends() {
            let event = block.get(start..end).unwrap_or_default();
            start = end;
            let Some(data) = sse::data(event).filter(|data| !data.is_empty()) else { continue };
            let event = serde_json::from_slice(&data).ok();
            translated.push_str(&event.and_then(|event| self.event(&event)).unwrap_or_else(|| MALFORMED.to_owned()));
        }
        if framer.pending() > LONGEST_EVENT {
            translated.push_str(MALFORMED);
        }
        translated
    }

    /// What becomes of `event`; of many nothing does. `None` if it lacks what it must have.
    fn event(&mut self, event: &Event<'_>) -> Option<String> {
        match event.kind.get() {
            "\"message_start\"" => Some(self.start(event.message.as_ref()?)),
            "\"content_block_start\"" => self.start_block(event.index?, event.content_block.as_ref()?),
            "\"content_block_delta\"" => Some(self.continue_block(event.index?, event.delta.as_ref()?)),
            "\"content_block_stop\"" => Some(self.stop_block(event.index?)),
            "\"message_delta\"" => {
                self.usage.update(event.usage);
                if let Some(reason) = event.delta.as_ref()?.stop_reason.and_then(observation::text) {
                    self.finish_reason = Some(finish_reason(&reason));
                }
                Some(String::new())
            }
            "\"message_stop\"" => self.stop(),
            "\"ping\"" => Some(": ping\n\n".to_owned()),
            "\"error\"" => {
                let Failure { kind, message } = event.error.as_ref()?;
                Some(format!("data: {{\"error\":{{\"type\":{},\"message\":{}}}}}\n\n", word(kind), word(message)))
            }
            _ => Some(String::new()),
        }
    }

    fn start(&mut self, message: &Start<'_>) -> String {
        self.head = head(CHUNK, message.id, message.model, &self.identity);
        self.usage.update(message.usage);
        self.delta(r#""role":"assistant","content":"""#)
    }

    fn start_block(&mut self, index: u64, block: &Block<'_>) -> Option<String> {
        if !block.is_tool_use() {
            return Some(self.text(block.text, block.thinking));
        }
        let input = block.input.map(RawValue::get).filter(|input| *input != "{}");
        let call = Call { block: index, number: self.calls, has_arguments: input.is_some() };
        let arguments = input.map_or_else(|| "\"\"".to_owned(), quoted);
        let told = format!(r#""tool_calls":[{{"index":{},{}}}]"#, call.number, block.call(&arguments)?);
        self.call = Some(call);
        self.calls = self.calls.saturating_add(1);
        Some(self.delta(&told))
    }

    fn continue_block(&mut self, index: u64, delta: &Delta<'_>) -> String {
        let call = self.call.as_mut().filter(|call| call.block == index);
        match (delta.partial_json.filter(|json| is_text(json)), call) {
            (Some(json), Some(call)) => {
                call.has_arguments = true;
                let number = call.number;
                self.arguments(number, json.get())
            }
            _ => self.text(delta.text, delta.thinking),
        }
    }

    /// A call without arguments has an empty object, which not every stream says.
    fn stop_block(&mut self, index: u64) -> String {
        let call = self.call.take_if(|call| call.block == index).filter(|call| !call.has_arguments);
        call.map(|call| self.arguments(call.number, "\"{}\"")).unwrap_or_default()
    }

    fn stop(&self) -> Option<String> {
        let head = &self.head;
        let reason = self.finish_reason?;
        let last = format!(
            "data: {{{head},\"choices\":[{{\"index\":0,\"delta\":{{}},\"logprobs\":null,\"finish_reason\":\"{reason}\"}}]}}\n\n"
        );
        let usage = self.usage.to_json().map(|usage| format!("data: {{{head},\"choices\":[],\"usage\":{usage}}}\n\n"));
        Some([&last, usage.as_deref().unwrap_or_default(), "data: [DONE]\n\n"].concat())
    }

    fn text(&self, text: Option<&RawValue>, thinking: Option<&RawValue>) -> String {
        let named = [("reasoning_content", thinking), ("content", text)];
        let told = named.into_iter().filter_map(|(name, text)| Some((name, text.filter(|text| is_text(text))?)));
        told.map(|(name, text)| self.delta(&format!("\"{name}\":{}", text.get()))).collect()
    }

    fn arguments(&self, number: u32, json: &str) -> String {
        self.delta(&format!(r#""tool_calls":[{{"index":{number},"function":{{"arguments":{json}}}}}]"#))
    }

    /// A chunk with these members in its delta.
    fn delta(&self, members: &str) -> String {
        let head = &self.head;
        format!(
            "data: {{{head},\"choices\":[{{\"index\":0,\"delta\":{{{members}}},\"logprobs\":null,\"finish_reason\":null}}]}}\n\n"
        )
    }
}

/// A JSON string as it is written; anything else as `null`.
fn word(raw: &RawValue) -> &str {
    if is_text(raw) { raw.get() } else { "null" }
}
