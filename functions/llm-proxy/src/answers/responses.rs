//! Responses, whole or as events: <https://platform.openai.com/docs/api-reference/responses>.

use std::borrow::Cow;

use platform::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Reading, Verdict, inner, text_bytes, truthy};
use crate::ending::Ending;
use crate::error_words::ErrorWords;
use crate::measure::Measure;
use crate::observation::Observation;
use crate::tokens::Tokens;

/// A `response`, by itself or in one of the events that bring it.
#[derive(Deserialize, Default)]
struct Response<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
    #[serde(borrow)]
    incomplete_details: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    sequence_number: Option<u64>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Incomplete<'a> {
    #[serde(borrow)]
    reason: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Usage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    input_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u64>,
}

/// Takes note of a response that is complete, or as complete as it will become. `false` if it is none.
pub(super) fn whole(json: &[u8], seen: &mut Observation, now: Timestamp) -> bool {
    let Reading::Known(response) = Reading::<Response>::of(json) else { return false };
    let ended = matches!(response.status.map(RawValue::get), Some(r#""completed""# | r#""incomplete""#));
    if !ended || truthy(response.error).is_some() || response.output.is_none() {
        return false;
    }
    response.observe(seen);
    let text = response.output.map_or(0, |output| Measure::of(output.get().as_bytes()).text_bytes);
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
    seen.sequence_number = event.sequence_number.or(seen.sequence_number);
    match event.kind.as_deref().unwrap_or_default() {
        "response.completed" | "response.incomplete" => {
            inner::<Response>(event.response).unwrap_or_default().observe(seen);
            return Verdict::End(Ending::Done);
        }
        "response.failed" => {
            let response = inner::<Response>(event.response).unwrap_or_default();
            return Verdict::End(Ending::Reported(response.error.map(ErrorWords::of).unwrap_or_default()));
        }
        "error" => {
            // The words stand under `error`, or beside `type` as they are documented.
            let words = truthy(event.error).map_or_else(|| ErrorWords::of_event(data), ErrorWords::of);
            return Verdict::End(Ending::Reported(words));
        }
        "response.created" | "response.in_progress" => {
            seen.name(inner::<Response>(event.response).and_then(|response| response.model));
        }
        "response.output_item.added" if begins(event.item) => seen.start(now),
        kind if kind.rsplit_once('.').is_some_and(|(_, last)| last == "delta") => {
            seen.content(event.delta.map_or(0, text_bytes), now);
        }
        _ => {
            if let Some(error) = truthy(event.error) {
                return Verdict::End(Ending::Reported(ErrorWords::of(error)));
            }
        }
    }
    Verdict::Pass
}

/// Whether with this item something has been done that must not be done again. A message or a reasoning is empty at
/// first; any other item is the call of a tool.
fn begins(item: Option<&RawValue>) -> bool {
    let item: Option<Item> = inner(item);
    item.and_then(|item| item.kind).is_some_and(|kind| !matches!(&*kind, "message" | "reasoning"))
}

impl Response<'_> {
    /// Takes note of how it ended.
    fn observe(&self, seen: &mut Observation) {
        seen.name(self.model);
        seen.tier(self.service_tier);
        seen.tokens = inner::<Usage>(self.usage).and_then(Usage::tokens);
        let why = inner::<Incomplete>(self.incomplete_details).and_then(|incomplete| incomplete.reason);
        seen.finish(0, why.or(self.status));
    }
}

impl Usage {
    /// `None` if it has neither count; an explicit zero is zero.
    fn tokens(self) -> Option<Tokens> {
        if self.input_tokens.is_none() && self.output_tokens.is_none() {
            return None;
        }
        let input = self.input_tokens.unwrap_or(0);
        let cached = self.input_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0);
        let output = self.output_tokens.unwrap_or(0);
        Some(Tokens { input, output, cached_input: cached.min(input), ..Tokens::default() })
    }
}
