//! What a provider says about an error, as far as it may be repeated.

use problem::Problem;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// `error.type`, `error.code` and `error.param` of a provider, each only if it is a single word.
///
/// Clients decide by these; the sentence beside them may name accounts, keys or hosts of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ErrorWords {
    kind: Option<String>,
    code: Option<Value>,
    param: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(rename = "type")]
    kind: Option<Value>,
    code: Option<Value>,
    param: Option<Value>,
    message: Option<Value>,
}

const LONGEST_WORD: usize = 100;
const LONGEST_MESSAGE: usize = 2_000;

impl ErrorWords {
    /// The words of the object under `error`; none if it is something else.
    pub(crate) fn of(error: &RawValue) -> Self {
        let Ok(wire) = serde_json::from_str::<Wire>(error.get()) else { return Self::default() };
        let text = |value: Option<Value>| match value {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let code = wire.code.filter(|code| code.is_u64() || code.as_str().is_some_and(is_word));
        Self {
            kind: text(wire.kind).filter(|kind| is_word(kind)),
            code,
            param: text(wire.param).filter(|param| is_word(param)),
            message: text(wire.message).filter(|message| (1..=LONGEST_MESSAGE).contains(&message.len())),
        }
    }

    /// The words of a whole body, where they stand under `error`.
    pub(crate) fn of_body(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Wire<'a> {
            #[serde(borrow)]
            error: Option<&'a RawValue>,
        }
        let wire: Option<Wire> = serde_json::from_slice(body).ok();
        wire.and_then(|wire| wire.error).map(Self::of).unwrap_or_default()
    }

    /// The same with another type.
    pub(crate) fn with_kind(self, kind: &str) -> Self {
        Self { kind: Some(kind.into()), ..self }
    }

    /// The same with another code.
    pub(crate) fn with_code(self, code: &str) -> Self {
        Self { code: Some(code.into()), ..self }
    }

    /// The same with another sentence.
    pub(crate) fn with_message(self, message: &str) -> Self {
        Self { message: Some(message.into()), ..self }
    }

    /// The provider's sentence. It may be repeated only where it speaks of the caller's own request.
    pub(crate) fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// An OpenAI error body with `message`, and with `problem`'s words where the provider has none.
    pub(crate) fn body(&self, problem: &Problem, message: &str) -> Value {
        let own: Value = serde_json::from_str(&problem.openai_body()).unwrap_or_default();
        let own = |name: &str| own.pointer(&format!("/error/{name}")).cloned().unwrap_or_default();
        json!({"error": {
            "message": message,
            "type": self.kind.as_deref().map_or_else(|| own("type"), Value::from),
            "param": self.param,
            "code": self.code.clone().unwrap_or_else(|| own("code")),
        }})
    }
}

/// `rate_limit_exceeded`, `messages[0].content`, `messages.0.role`.
fn is_word(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']');
    (1..=LONGEST_WORD).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use problem::kinds;

    fn body(error: &str) -> Value {
        let words = ErrorWords::of(&RawValue::from_string(error.to_owned()).unwrap());
        words.body(&Problem::new(kinds::UPSTREAM_FAILED), "Ours.")["error"].clone()
    }

    #[test]
    fn words_are_kept_and_sentences_are_not() {
        let error =
            r#"{"message":"org-123 is over its limit","type":"tokens","param":null,"code":"rate_limit_exceeded"}"#;
        assert_eq!(
            body(error),
            json!({"message": "Ours.", "type": "tokens", "param": null, "code": "rate_limit_exceeded"})
        );
        let sentences = r#"{"type":"see https://internal","code":"a b","param":"<x>"}"#;
        assert_eq!(
            body(sentences),
            json!({"message": "Ours.", "type": "server_error", "param": null, "code": "upstream_failed"})
        );
    }

    #[test]
    fn an_error_of_another_shape_has_our_words() {
        for error in [r#""overloaded""#, "{}", "[1]", r#"{"code":null,"type":7}"#] {
            assert_eq!(body(error)["code"], "upstream_failed", "{error}");
        }
        assert_eq!(body(r#"{"code":429}"#)["code"], 429);
    }
}
