//! What has been seen of an answer so far. Its size does not grow with the answer.

use platform::Timestamp;
use serde_json::value::RawValue;

use crate::tokens::Tokens;

/// Seen so far.
#[derive(Debug, Default)]
pub(crate) struct Observation {
    /// Who answers, in the provider's words.
    pub(crate) model: Option<String>,
    /// The last usage that the provider reported.
    pub(crate) tokens: Option<Tokens>,
    /// In which service tier, as the provider calls it.
    pub(crate) service_tier: Option<String>,
    /// What it reported of the input before there was an answer.
    pub(crate) prompt: Option<Tokens>,
    /// The last reason for which a choice ended.
    pub(crate) finish_reason: Option<String>,
    /// Generated text, in bytes of JSON.
    pub(crate) content_bytes: u64,
    /// When the first generated text arrived.
    pub(crate) first_token_at: Option<Timestamp>,
    /// Whether the model has called a tool.
    pub(crate) calls_tools: bool,
    /// The number of the last event, where events have one.
    pub(crate) sequence_number: Option<u64>,
    begun: Choices,
    finished: Choices,
}

/// A set of choice indexes. OpenAI allows 128; higher ones share the last place.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Choices(u128);

/// As the accounts have room for it.
const LONGEST_MODEL: usize = 200;
const LONGEST_NAME: usize = 100;

impl Observation {
    /// Who answers; the first name that is one counts.
    pub(crate) fn name(&mut self, model: Option<&RawValue>) {
        if self.model.is_none() {
            self.model = model.and_then(text).filter(|model| is_name(model, LONGEST_MODEL));
        }
    }

    /// The answer at `index` has begun, perhaps without any text so far.
    pub(crate) fn begin(&mut self, index: u32) {
        self.begun.insert(index);
    }

    /// So many bytes of generated text have come.
    pub(crate) fn content(&mut self, bytes: usize, now: Timestamp) {
        if bytes > 0 {
            self.content_bytes += bytes as u64;
            self.start(now);
        }
    }

    /// Something that is more than a beginning has come, without text.
    pub(crate) fn start(&mut self, now: Timestamp) {
        self.first_token_at.get_or_insert(now);
    }

    /// In which service tier it is answered; the first name that is one counts.
    pub(crate) fn tier(&mut self, tier: Option<&RawValue>) {
        if self.service_tier.is_none() {
            self.service_tier = tier.and_then(name);
        }
    }

    /// The answer at `index` has ended, if `reason` is one.
    pub(crate) fn finish(&mut self, index: u32, reason: Option<&RawValue>) {
        if let Some(reason) = reason.and_then(name) {
            self.finished.insert(index);
            self.finish_reason = Some(reason);
        }
    }

    /// Whether there is one choice, the first.
    pub(crate) fn is_single(&self) -> bool {
        self.begun == Choices(1)
    }

    /// Whether every choice that has begun has ended: the answer is complete even without `[DONE]`.
    pub(crate) fn is_finished(&self) -> bool {
        self.begun != Choices::default() && self.begun == self.finished
    }
}

impl Choices {
    fn insert(&mut self, index: u32) {
        self.0 |= 1 << index.min(127);
    }
}

/// A JSON string that can be the name of something. `None` if it is something else.
pub(crate) fn name(raw: &RawValue) -> Option<String> {
    text(raw).filter(|text| is_name(text, LONGEST_NAME))
}

/// A JSON string as text. `None` if it is something else.
pub(crate) fn text(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// Whether `text` has a length that a name may have, and nothing in it that a log would break at.
fn is_name(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && !text.contains(char::is_control)
}
