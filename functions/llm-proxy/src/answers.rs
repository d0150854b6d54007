//! What the answers of each endpoint say, whole or event by event, as far as the proxy looks at them.

mod chat;
mod embeddings;
mod messages;
mod responses;
mod texts;

use platform::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::ending::Ending;
use crate::endpoint::Endpoint;
use crate::observation::Observation;

pub(crate) use texts::texts;

/// What is to be done with one event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the caller's.
    Pass,
    /// It carries only usage, for which the caller may not have asked.
    Usage,
    /// The stream ends: with this event, which is passed on itself ([`Ending::Done`]), or before it.
    End(Ending),
}

/// What a JSON document turned out to be.
enum Reading<T> {
    /// What was expected.
    Known(T),
    /// JSON of another shape.
    Other,
    /// Not JSON, or not UTF-8.
    Malformed,
}

/// Takes note of a whole answer. `false` if it is none.
pub(crate) fn whole(endpoint: Endpoint, json: &[u8], seen: &mut Observation, now: Timestamp) -> bool {
    match endpoint {
        Endpoint::ChatCompletions => chat::whole(json, seen, now),
        Endpoint::Embeddings => embeddings::whole(json, seen),
        Endpoint::Responses => responses::whole(json, seen, now),
        Endpoint::Messages => messages::whole(json, seen, now),
    }
}

/// Takes note of the data of one event.
pub(crate) fn event(endpoint: Endpoint, data: &[u8], seen: &mut Observation, now: Timestamp) -> Verdict {
    match endpoint {
        Endpoint::ChatCompletions => chat::event(data, seen, now),
        Endpoint::Responses => responses::event(data, seen, now),
        Endpoint::Messages => messages::event(data, seen, now),
        Endpoint::Embeddings => Verdict::Pass, // it has no streams
    }
}

impl<'a, T: Deserialize<'a>> Reading<T> {
    fn of(json: &'a [u8]) -> Self {
        let Ok(text) = std::str::from_utf8(json) else { return Self::Malformed };
        match serde_json::from_str(text) {
            Ok(known) => Self::Known(known),
            // After a member of an unexpected type the rest has not been looked at yet.
            Err(error) if error.is_data() && serde_json::from_str::<&RawValue>(text).is_ok() => Self::Other,
            Err(_) => Self::Malformed,
        }
    }
}

/// The value, unless it is one of the empty ones that clients take for none.
fn truthy(raw: Option<&RawValue>) -> Option<&RawValue> {
    raw.filter(|raw| !matches!(raw.get(), "false" | "0" | "\"\"" | "{}" | "[]"))
}

/// A member read for itself, so that one of another shape hides nothing else.
fn inner<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

/// Bytes of a JSON string, as they are written.
fn text_bytes(raw: &RawValue) -> usize {
    if raw.get().starts_with('"') { raw.get().len().saturating_sub(2) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_other_json_from_what_is_no_json() {
        type Strings = Vec<String>;
        assert!(matches!(Reading::<Strings>::of(br#"["a"]"#), Reading::Known(_)));
        for other in ["42", "{}", r#"[{"choices":"none"}]"#] {
            assert!(matches!(Reading::<Strings>::of(other.as_bytes()), Reading::Other), "{other}");
        }
        for broken in [&b""[..], b"{", b"[1", b"[\"\xff\"]", b"[1}"] {
            assert!(matches!(Reading::<Strings>::of(broken), Reading::Malformed));
        }
    }

    #[test]
    fn an_empty_value_is_none() {
        let raw = |json: &str| RawValue::from_string(json.to_owned()).unwrap();
        for empty in ["false", "0", "\"\"", "{}", "[]"] {
            assert!(truthy(Some(&raw(empty))).is_none(), "{empty}");
        }
        assert!(truthy(Some(&raw(r#"{"message":"x"}"#))).is_some());
    }
}
