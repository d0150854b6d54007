//! Embeddings, which come whole.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{Reading, truthy};
use crate::observation::Observation;
use crate::tokens::Tokens;

/// A list of vectors.
#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    data: Option<Vec<IgnoredAny>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// Takes note of the list. `false` if it is none.
pub(super) fn whole(json: &[u8], seen: &mut Observation) -> bool {
    match Reading::<List>::of(json) {
        Reading::Known(list) if truthy(list.error).is_none() && list.data.is_some() => {
            seen.name(list.model);
            seen.tokens = list.usage.and_then(Tokens::reported);
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_a_model_and_the_tokens_of_its_input() {
        let mut seen = Observation::default();
        let list = br#"{"object":"list","model":"e-1","data":[{"embedding":[0.5]},{"embedding":"AAAA"}],"usage":{"prompt_tokens":7,"total_tokens":7}}"#;
        assert!(whole(list, &mut seen));
        assert_eq!(seen.model.as_deref(), Some("e-1"));
        assert_eq!(seen.tokens, Some(Tokens { input: 7, output: 0, ..Tokens::default() }));
    }

    #[test]
    fn what_has_no_vectors_is_no_answer() {
        for json in ["{}", "[]", r#"{"data":{}}"#, r#"{"data":[],"error":{"message":"x"}}"#, r#"{"data":["#] {
            assert!(!whole(json.as_bytes(), &mut Observation::default()), "{json}");
        }
    }
}
