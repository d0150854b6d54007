//! Messages, whole or as events: <https://docs.claude.com/en/api/messages-streaming>.

use std::borrow::Cow;

use platform::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Reading, Verdict, inner, text_bytes, truthy};
use crate::ending::Ending;
use crate::error_words::ErrorWords;
use crate::measure::Measure;
use crate::observation::Observation;
use crate::tokens::{Tokens, written_for_an_hour};

/// A `message`, by itself or as a stream begins with it.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    stop_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
}

/// Of a content block or of the message.
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

/// What was read from a cache or written to one is not part of `input_tokens`.
#[derive(Deserialize)]
struct Usage<'a> {
    input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    #[serde(borrow)]
    cache_creation: Option<&'a RawValue>,
    output_tokens: Option<u64>,
}

/// Takes note of a message. `false` if it is none.
pub(super) fn whole(json: &[u8], seen: &mut Observation, now: Timestamp) -> bool {
    let Reading::Known(message) = Reading::<Message>::of(json) else { return false };
    let Some(content) = message.content.filter(|content| content.get().starts_with('[')) else { return false };
    if truthy(message.error).is_some() {
        return false;
    }
    seen.name(message.model);
    seen.tokens = inner::<Usage>(message.usage).and_then(|usage| usage.tokens(None));
    seen.finish(0, message.stop_reason);
    let text = Measure::of(content.get().as_bytes()).text_bytes;
    seen.content(usize::try_from(text).unwrap_or(usize::MAX), now);
    true
}

/// Takes note of one event.
pub(super) fn event(data: &[u8], seen: &mut Observation, now: Timestamp) -> Verdict {
    let event = match Reading::<Event>::of(data) {
        Reading::Malformed => return Verdict::End(Ending::Malformed),
        Reading::Other => return Verdict::Pass,
        Reading::Known(event) => event,
    };
    if let Some(error) = truthy(event.error) {
        return Verdict::End(Ending::Reported(ErrorWords::of(error)));
    }
    match event.kind.as_deref().unwrap_or_default() {
        "message_start" => {
            seen.begin(0);
            if let Some(message) = inner::<Message>(event.message) {
                seen.name(message.model);
                seen.prompt = inner::<Usage>(message.usage).and_then(|usage| usage.tokens(None));
            }
        }
        "content_block_start" if begins(event.content_block) => seen.start(now),
        "content_block_delta" => seen.content(inner::<Delta>(event.delta).map_or(0, |delta| delta.bytes()), now),
        "message_delta" => {
            seen.finish(0, inner::<Delta>(event.delta).and_then(|delta| delta.stop_reason));
            if let Some(tokens) = inner::<Usage>(event.usage).and_then(|usage| usage.tokens(seen.prompt)) {
                seen.tokens = Some(tokens);
            }
        }
        "message_stop" => return Verdict::End(Ending::Done),
        "error" => return Verdict::End(Ending::Reported(ErrorWords::default())),
        _ => (),
    }
    Verdict::Pass
}

/// Whether with this block something has come that is not empty at first: the call of a tool, a redacted thought.
fn begins(block: Option<&RawValue>) -> bool {
    let block: Option<Block> = inner(block);
    block.and_then(|block| block.kind).is_some_and(|kind| !matches!(&*kind, "text" | "thinking"))
}

impl Delta<'_> {
    fn bytes(&self) -> usize {
        [self.text, self.thinking, self.partial_json].into_iter().flatten().map(text_bytes).sum()
    }
}

impl Usage<'_> {
    /// `prompt` is what was told before, for a report that counts the output only, or does not tell cache writes apart.
    /// `None` if there is no count of the output; an explicit zero is zero.
    fn tokens(self, prompt: Option<Tokens>) -> Option<Tokens> {
        let output = self.output_tokens?;
        let Some(fresh) = self.input_tokens else { return Some(Tokens { output, ..prompt? }) };
        let (read, written) =
            (self.cache_read_input_tokens.unwrap_or(0), self.cache_creation_input_tokens.unwrap_or(0));
        let input = fresh.saturating_add(read).saturating_add(written);
        let told = self.cache_creation.and_then(written_for_an_hour);
        let hour = told.or(prompt.map(|prompt| prompt.cache_write_1h)).unwrap_or(0);
        Some(Tokens { input, output, cached_input: read, cache_write: written, cache_write_1h: hour.min(written) })
    }
}
