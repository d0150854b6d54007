//! Token counts, of which Anthropic's input leaves out what the cache read or wrote.

use serde_json::value::RawValue;

use crate::members::Members;
use crate::tokens::written_for_an_hour;

/// A `usage` member; in a stream the last word on each count.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Usage {
    input: Option<u64>,
    output: Option<u64>,
    cache_read: Option<u64>,
    cache_written: Option<u64>,
    cache_written_1h: Option<u64>,
}

impl Usage {
    /// What a later event says counts for more.
    pub(super) fn update(&mut self, later: Option<&RawValue>) {
        let Some(later) = later.and_then(|raw| Members::of(raw.get())) else { return };
        for (name, count) in [
            ("input_tokens", &mut self.input),
            ("output_tokens", &mut self.output),
            ("cache_read_input_tokens", &mut self.cache_read),
            ("cache_creation_input_tokens", &mut self.cache_written),
        ] {
            *count = later.get(name).and_then(|raw| raw.get().parse().ok()).or(*count);
        }
        self.cache_written_1h = later.get("cache_creation").and_then(written_for_an_hour).or(self.cache_written_1h);
    }

    /// OpenAI's `usage`, whose prompt has the cached tokens in it, and where OpenAI has no word for what was written for
    /// an hour. `None` if nothing was told.
    pub(super) fn to_json(self) -> Option<String> {
        let (input, output) = (self.input?, self.output?);
        let (read, written) = (self.cache_read.unwrap_or(0), self.cache_written.unwrap_or(0));
        let prompt = input.saturating_add(read).saturating_add(written);
        let total = prompt.saturating_add(output);
        let hour = match self.cache_written_1h.unwrap_or(0).min(written) {
            0 => String::new(),
            hour => format!(r#","cache_write_1h_tokens":{hour}"#),
        };
        Some(format!(
            r#"{{"prompt_tokens":{prompt},"completion_tokens":{output},"total_tokens":{total},"prompt_tokens_details":{{"cached_tokens":{read},"cache_write_tokens":{written}{hour}}}}}"#
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(parts: &[&str]) -> Option<String> {
        let mut usage = Usage::default();
        for part in parts {
            usage.update(Some(&RawValue::from_string((*part).to_owned()).unwrap()));
        }
        usage.to_json()
    }

    #[test]
    fn the_prompt_is_what_was_read_anew_from_the_cache_and_into_it() {
        let told = r#"{"input_tokens":10,"cache_read_input_tokens":400,"cache_creation_input_tokens":30,"output_tokens":5,"service_tier":"standard"}"#;
        let expected = r#"{"prompt_tokens":440,"completion_tokens":5,"total_tokens":445,"prompt_tokens_details":{"cached_tokens":400,"cache_write_tokens":30}}"#;
        assert_eq!(usage(&[told]).unwrap(), expected);
    }

    #[test]
    fn what_was_written_for_an_hour_is_told_apart_and_is_not_more_than_all() {
        let details = |hour: &str| {
            let start = format!(
                r#"{{"input_tokens":10,"cache_creation_input_tokens":30,"cache_creation":{hour},"output_tokens":1}}"#
            );
            let usage = usage(&[&start, r#"{"cache_creation_input_tokens":30,"output_tokens":5}"#]).unwrap();
            usage.split_once(r#""cache_write_tokens":"#).unwrap().1.to_owned()
        };
        for (told, expected) in [
            (
                r#"{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20}"#,
                r#"30,"cache_write_1h_tokens":20}}"#,
            ),
            (r#"{"ephemeral_1h_input_tokens":99}"#, r#"30,"cache_write_1h_tokens":30}}"#),
            (r#"{"ephemeral_5m_input_tokens":30,"ephemeral_1h_input_tokens":0}"#, "30}}"),
            (r#"{"ephemeral_1h_input_tokens":-1}"#, "30}}"),
            ("[]", "30}}"),
            ("null", "30}}"),
        ] {
            assert_eq!(details(told), expected, "{told}");
        }
    }

    #[test]
    fn later_counts_replace_earlier_ones_and_silence_and_nonsense_do_not() {
        let start = r#"{"input_tokens":10,"cache_read_input_tokens":null,"output_tokens":1}"#;
        let parts = [start, r#"{"output_tokens":7}"#, r#"{"input_tokens":null}"#, r#"{"output_tokens":-1}"#, "[]"];
        assert!(usage(&parts).unwrap().starts_with(r#"{"prompt_tokens":10,"completion_tokens":7,"#));
    }

    #[test]
    fn a_count_that_nobody_told_is_not_made_up() {
        assert_eq!(usage(&[r#"{"input_tokens":10}"#]), None);
        assert_eq!(usage(&[]), None);
    }

    #[test]
    fn absurd_counts_saturate() {
        let most = u64::MAX;
        let told = format!(r#"{{"input_tokens":{most},"cache_read_input_tokens":{most},"output_tokens":{most}}}"#);
        assert!(usage(&[&told]).unwrap().contains(&format!("\"total_tokens\":{most}")));
    }
}
