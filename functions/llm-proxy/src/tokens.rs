//! Token counts.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::members::Members;

/// How many tokens a call used. What the provider's cache gave or took is part of the input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) input: u64,
    pub(crate) output: u64,
    /// Read from the provider's cache.
    pub(crate) cached_input: u64,
    /// Written into it.
    pub(crate) cache_write: u64,
    /// Of these, the ones that it keeps for an hour, at a price of their own. Never more than all.
    pub(crate) cache_write_1h: u64,
}

impl Tokens {
    /// The provider's `usage` member. `None` if it has neither count; an explicit zero is zero.
    pub(crate) fn reported(usage: &RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        struct Usage {
            prompt_tokens: Option<u64>,
            completion_tokens: Option<u64>,
            prompt_tokens_details: Option<Details>,
        }
        #[derive(Deserialize, Default)]
        #[expect(clippy::struct_field_names, reason = "the names are the providers'")]
        struct Details {
            cached_tokens: Option<u64>,
            cache_write_tokens: Option<u64>,
            cache_write_1h_tokens: Option<u64>,
        }
        let usage: Usage = serde_json::from_str(usage.get()).ok()?;
        if usage.prompt_tokens.is_none() && usage.completion_tokens.is_none() {
            return None;
        }
        let input = usage.prompt_tokens.unwrap_or(0);
        let details = usage.prompt_tokens_details.unwrap_or_default();
        let cached_input = details.cached_tokens.unwrap_or(0).min(input);
        let cache_write = details.cache_write_tokens.unwrap_or(0).min(input - cached_input);
        let cache_write_1h = details.cache_write_1h_tokens.unwrap_or(0).min(cache_write);
        let output = usage.completion_tokens.unwrap_or(0);
        Some(Self { input, output, cached_input, cache_write, cache_write_1h })
    }

    /// An estimate from bytes of text: one token per four bytes, rounded up. English prose has about 4.5 bytes per
    /// token, so the estimate is a little high; JSON escapes make it higher.
    pub(crate) fn estimated(bytes: u64) -> u64 {
        bytes.div_ceil(4)
    }
}

/// Of what went into the cache, in Anthropic's `cache_creation`.
pub(crate) fn written_for_an_hour(cache_creation: &RawValue) -> Option<u64> {
    Members::of(cache_creation.get())?.get("ephemeral_1h_input_tokens")?.get().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(json: &str) -> Option<Tokens> {
        Tokens::reported(&RawValue::from_string(json.to_owned()).unwrap())
    }

    #[test]
    fn reads_what_providers_report_and_takes_zero_for_zero() {
        let usage = r#"{"prompt_tokens":10,"completion_tokens":0,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":3,"cache_write_1h_tokens":2},"x":null}"#;
        let tokens = Tokens { input: 10, output: 0, cached_input: 4, cache_write: 3, cache_write_1h: 2 };
        assert_eq!(reported(usage), Some(tokens));
        assert_eq!(reported(r#"{"prompt_tokens":0,"completion_tokens":0}"#), Some(Tokens::default()));
        assert_eq!(
            reported(r#"{"prompt_tokens":3,"prompt_tokens_details":null}"#),
            Some(Tokens { input: 3, ..Tokens::default() })
        );
        assert_eq!(reported("{}"), None);
        assert_eq!(reported(r#"{"prompt_tokens":-1}"#), None);
    }

    #[test]
    fn more_cached_than_input_tokens_are_cut_to_the_input() {
        let cut = |cached: u64, written: u64| {
            let details =
                format!(r#"{{"cached_tokens":{cached},"cache_write_tokens":{written},"cache_write_1h_tokens":9}}"#);
            let usage = format!(r#"{{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{details}}}"#);
            let tokens = reported(&usage).unwrap();
            (tokens.cached_input, tokens.cache_write, tokens.cache_write_1h)
        };
        let expected = [(5, 0, 0), (2, 3, 3), (0, 5, 5), (2, 1, 1)];
        assert_eq!([cut(9, 9), cut(2, 9), cut(0, 9), cut(2, 1)], expected);
    }
}
