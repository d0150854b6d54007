//! What has been seen of an answer so far. Its size does not grow with the answer.

use platform::Timestamp;

use crate::chunk::{Choice, Chunk, text};
use crate::tokens::Tokens;

/// Seen so far.
#[derive(Debug, Default)]
pub(crate) struct Observation {
    /// Who answers, in the provider's words.
    pub(crate) model: Option<String>,
    /// The last usage that the provider reported.
    pub(crate) tokens: Option<Tokens>,
    /// The last reason for which a choice ended.
    pub(crate) finish_reason: Option<String>,
    /// Generated text, in bytes of JSON.
    pub(crate) content_bytes: u64,
    /// When the first generated text arrived.
    pub(crate) first_token_at: Option<Timestamp>,
    /// Whether the model has called a tool.
    pub(crate) calls_tools: bool,
    begun: Choices,
    finished: Choices,
}

/// A set of choice indexes. OpenAI allows 128; higher ones share the last place.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Choices(u128);

/// As the accounts have room for it.
const LONGEST_MODEL: usize = 200;
const LONGEST_REASON: usize = 100;

impl Observation {
    /// Takes note of `chunk`, which arrived at `now`.
    pub(crate) fn see(&mut self, chunk: &Chunk<'_>, now: Timestamp) {
        if self.model.is_none() {
            self.model = chunk.model.and_then(text).filter(|model| is_name(model, LONGEST_MODEL));
        }
        if let Some(tokens) = chunk.usage.and_then(Tokens::reported) {
            self.tokens = Some(tokens);
        }
        for choice in chunk.choices.iter().flatten() {
            self.see_choice(choice, now);
        }
    }

    fn see_choice(&mut self, choice: &Choice<'_>, now: Timestamp) {
        let index = choice.index.unwrap_or(0);
        self.begun.insert(index);
        self.calls_tools |= choice.calls_tools();
        let bytes = choice.content_bytes();
        if bytes > 0 {
            self.content_bytes += bytes as u64;
            self.first_token_at.get_or_insert(now);
        }
        if let Some(reason) = choice.finish_reason.and_then(text).filter(|reason| is_name(reason, LONGEST_REASON)) {
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

fn is_name(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Reading;

    fn observe(chunks: &[&str]) -> Observation {
        let mut observation = Observation::default();
        for chunk in chunks {
            let Reading::Chunk(chunk) = Reading::of(chunk.as_bytes()) else { panic!("not a chunk") };
            observation.see(&chunk, Timestamp::UNIX_EPOCH);
        }
        observation
    }

    #[test]
    fn an_answer_is_finished_when_every_choice_is() {
        let first = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"#;
        let second = r#"{"choices":[{"index":1,"delta":{"content":"b"},"finish_reason":null}]}"#;
        let end = [
            r#"{"choices":[{"index":0,"finish_reason":"stop"}]}"#,
            r#"{"choices":[{"index":1,"finish_reason":"length"}]}"#,
        ];
        assert!(!observe(&[]).is_finished());
        assert!(observe(&[first, end[0]]).is_finished());
        assert!(!observe(&[first, second, end[0]]).is_finished());
        let both = observe(&[first, second, end[0], end[1]]);
        assert!(both.is_finished());
        assert_eq!(both.finish_reason.as_deref(), Some("length"));
    }

    #[test]
    fn the_last_usage_counts_and_a_null_does_not_erase_it() {
        let seen = observe(&[
            r#"{"usage":{"prompt_tokens":5,"completion_tokens":1}}"#,
            r#"{"usage":{"prompt_tokens":5,"completion_tokens":2}}"#,
            r#"{"usage":null}"#,
        ]);
        assert_eq!(seen.tokens, Some(Tokens { input: 5, output: 2, cached_input: 0 }));
    }

    #[test]
    fn an_empty_model_name_is_no_answer_to_who_answers() {
        assert_eq!(
            observe(&[r#"{"model":""}"#, r#"{"model":"m-1"}"#, r#"{"model":"m-2"}"#]).model.as_deref(),
            Some("m-1")
        );
    }

    #[test]
    fn a_role_without_text_is_not_the_first_token() {
        assert!(observe(&[r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#]).first_token_at.is_none());
    }
}
