//! Token counts and what they cost.

use serde::Deserialize;
use serde_json::value::RawValue;

/// How many tokens a call used. Cached tokens are part of the input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) cached_input: u64,
}

/// What one token costs on a route, in nano-dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Price {
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) cached_input: u64,
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
        #[derive(Deserialize)]
        struct Details {
            cached_tokens: Option<u64>,
        }
        let usage: Usage = serde_json::from_str(usage.get()).ok()?;
        if usage.prompt_tokens.is_none() && usage.completion_tokens.is_none() {
            return None;
        }
        let input = usage.prompt_tokens.unwrap_or(0);
        let cached = usage.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0);
        Some(Self { input, output: usage.completion_tokens.unwrap_or(0), cached_input: cached.min(input) })
    }

    /// An estimate from bytes of text: one token per four bytes, rounded up. English prose has about 4.5 bytes per
    /// token, so the estimate is a little high; JSON escapes make it higher.
    pub(crate) fn estimated(bytes: u64) -> u64 {
        bytes.div_ceil(4)
    }
}

impl Price {
    /// What `tokens` cost, in nano-dollars. Saturates far beyond any bill.
    pub(crate) fn cost(&self, tokens: Tokens) -> i64 {
        let fresh = tokens.input.saturating_sub(tokens.cached_input);
        let parts = [(fresh, self.input), (tokens.cached_input, self.cached_input), (tokens.output, self.output)];
        let sum: u128 = parts.iter().map(|(count, price)| u128::from(*count) * u128::from(*price)).sum();
        i64::try_from(sum).unwrap_or(i64::MAX)
    }
}

/// Nano-dollars as dollars, exactly, without trailing zeros: `0.00012`.
pub(crate) fn dollars(nano: i64) -> String {
    let text = format!("{}.{:09}", nano / 1_000_000_000, nano.unsigned_abs() % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(json: &str) -> Option<Tokens> {
        Tokens::reported(&RawValue::from_string(json.to_owned()).unwrap())
    }

    #[test]
    fn reads_what_providers_report_and_takes_zero_for_zero() {
        let usage = r#"{"prompt_tokens":10,"completion_tokens":0,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":4},"x":null}"#;
        assert_eq!(reported(usage), Some(Tokens { input: 10, output: 0, cached_input: 4 }));
        assert_eq!(reported(r#"{"prompt_tokens":0,"completion_tokens":0}"#), Some(Tokens::default()));
        assert_eq!(
            reported(r#"{"prompt_tokens":3,"prompt_tokens_details":null}"#),
            Some(Tokens { input: 3, output: 0, cached_input: 0 })
        );
        assert_eq!(reported("{}"), None);
        assert_eq!(reported(r#"{"prompt_tokens":-1}"#), None);
    }

    #[test]
    fn more_cached_than_input_tokens_are_cut_to_the_input() {
        let usage = r#"{"prompt_tokens":2,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":9}}"#;
        assert_eq!(reported(usage).unwrap().cached_input, 2);
    }

    #[test]
    fn cached_tokens_have_their_own_price() {
        let price = Price { input: 150, output: 600, cached_input: 75 };
        assert_eq!(price.cost(Tokens { input: 100, output: 10, cached_input: 40 }), 60 * 150 + 40 * 75 + 10 * 600);
    }

    #[test]
    fn absurd_counts_saturate() {
        let price = Price { input: u64::MAX, output: u64::MAX, cached_input: 0 };
        assert_eq!(price.cost(Tokens { input: u64::MAX / 2, output: 1, cached_input: 0 }), i64::MAX);
    }

    #[test]
    fn dollars_are_exact_decimals() {
        assert_eq!(
            [0, 1, 120_000, 1_500_000_000, 2_000_000_000].map(dollars),
            ["0", "0.000000001", "0.00012", "1.5", "2"]
        );
    }
}
