//! What is kept of an answer.

use bytes::Bytes;
use memchr::memchr;
use serde::{Deserialize, Serialize};

use crate::tokens::Tokens;

/// An answer in the cache: a line of JSON about it, and behind it the answer as its provider gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) about: About,
    pub(crate) answer: Bytes,
}

/// Who gave an answer, and what it had cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) form: Form,
    pub(crate) provider: String,
    pub(crate) model: String,
    input_tokens: u64,
    output_tokens: u64,
    cached_input_tokens: u64,
    cache_write_tokens: u64,
    /// Older entries have none.
    #[serde(default)]
    cache_write_1h_tokens: u64,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Form {
    /// A `chat.completion`, or a list of embeddings.
    Whole,
    /// A `chat.completion.chunk` on each line.
    Chunks,
}

impl About {
    pub(crate) fn new(form: Form, provider: &str, model: &str, tokens: Tokens) -> Self {
        Self {
            form,
            provider: provider.to_owned(),
            model: model.to_owned(),
            input_tokens: tokens.input,
            output_tokens: tokens.output,
            cached_input_tokens: tokens.cached_input,
            cache_write_tokens: tokens.cache_write,
            cache_write_1h_tokens: tokens.cache_write_1h,
        }
    }

    /// What the answer had used.
    pub(crate) fn tokens(&self) -> Tokens {
        Tokens {
            input: self.input_tokens,
            output: self.output_tokens,
            cached_input: self.cached_input_tokens,
            cache_write: self.cache_write_tokens,
            cache_write_1h: self.cache_write_1h_tokens,
        }
    }
}

impl Entry {
    /// The entry that was written as `bytes`. Nothing if it is none of this version.
    pub(crate) fn read(bytes: &Bytes) -> Option<Self> {
        let end = memchr(b'\n', bytes)?;
        let about = serde_json::from_slice(bytes.get(..end)?).ok()?;
        Some(Self { about, answer: bytes.slice(end + 1..) })
    }

    /// The answer, or each of its chunks.
    pub(super) fn documents(&self) -> impl Iterator<Item = &[u8]> {
        let is_whole = self.about.form == Form::Whole;
        self.answer.split(move |byte| !is_whole && *byte == b'\n').filter(|document| !document.is_empty())
    }

    /// As it is kept.
    pub(crate) fn write(&self) -> Option<Bytes> {
        let mut bytes = serde_json::to_vec(&self.about).ok()?;
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.answer);
        Some(bytes.into())
    }
}
