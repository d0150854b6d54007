//! The events of a message as chunks of a chat completion, each as soon as it is complete:
//! <https://docs.claude.com/en/docs/build-with-claude/streaming>.
//!
//! The reason for which the answer ends is held back until `message_stop`, so that a stream without it is none that has
//! ended.

use bytes::Bytes;
use futures_util::stream::StreamExt as _;
use platform::ByteStream;
use serde_json::value::RawValue;

use super::answer::{call, is_tool_use};
use super::usage::Usage;
use super::{finish_reason, head, is_text, quoted};
use crate::members::Members;
use crate::observation;
use crate::providers::Identity;
use crate::relay::LONGEST_EVENT;
use crate::sse::{self, Framer};

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
        let head = head(CHUNK, &Members::default(), &identity);
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
            let event = std::str::from_utf8(&data).ok().and_then(Members::of);
            translated.push_str(&event.and_then(|event| self.event(&event)).unwrap_or_else(|| MALFORMED.to_owned()));
        }
        if framer.pending() > LONGEST_EVENT {
            translated.push_str(MALFORMED);
        }
        translated
    }

    /// What becomes of `event`; of many nothing does. `None` if it lacks what it must have.
    fn event(&mut self, event: &Members<'_>) -> Option<String> {
        let part = |name| event.get(name).and_then(|raw| Members::of(raw.get()));
        let index = || event.get("index").and_then(|raw| raw.get().parse().ok());
        Some(match event.get("type")?.get() {
            "\"message_start\"" => self.start(&part("message")?),
            "\"content_block_start\"" => return self.start_block(index()?, &part("content_block")?),
            "\"content_block_delta\"" => self.continue_block(index()?, &part("delta")?),
            "\"content_block_stop\"" => self.stop_block(index()?),
            "\"message_delta\"" => {
                self.usage.update(event.get("usage"));
                if let Some(reason) = part("delta")?.get("stop_reason").and_then(observation::text) {
                    self.finish_reason = Some(finish_reason(&reason));
                }
                String::new()
            }
            "\"message_stop\"" => return self.stop(),
            "\"ping\"" => ": ping\n\n".to_owned(),
            "\"error\"" => {
                let error = part("error")?;
                let word = |name| error.get(name).filter(|raw| is_text(raw)).map_or("null", RawValue::get);
                format!("data: {{\"error\":{{\"type\":{},\"message\":{}}}}}\n\n", word("type"), word("message"))
            }
            _ => String::new(),
        })
    }

    fn start(&mut self, message: &Members<'_>) -> String {
        self.head = head(CHUNK, message, &self.identity);
        self.usage.update(message.get("usage"));
        self.delta(r#""role":"assistant","content":"""#)
    }

    fn start_block(&mut self, index: u64, block: &Members<'_>) -> Option<String> {
        if !is_tool_use(block) {
            return Some(self.text(block));
        }
        let input = block.get("input").map(RawValue::get).filter(|input| *input != "{}");
        let arguments = input.map_or_else(|| "\"\"".to_owned(), quoted);
        let told = format!(r#""tool_calls":[{{"index":{},{}}}]"#, self.calls, call(block, &arguments)?);
        self.call = Some(Call { block: index, number: self.calls, has_arguments: input.is_some() });
        self.calls = self.calls.saturating_add(1);
        Some(self.delta(&told))
    }

    fn continue_block(&mut self, index: u64, delta: &Members<'_>) -> String {
        let call = self.call.as_mut().filter(|call| call.block == index);
        match (delta.get("partial_json").filter(|json| is_text(json)), call) {
            (Some(json), Some(call)) => {
                call.has_arguments = true;
                let number = call.number;
                self.arguments(number, json.get())
            }
            _ => self.text(delta),
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

    /// What a block or a delta says.
    fn text(&self, said: &Members<'_>) -> String {
        let named = [("reasoning_content", said.get("thinking")), ("content", said.get("text"))];
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
