//! What a provider says about an error, as far as it may be repeated.

use http::StatusCode;
use problem::{Dialect, Problem};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

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

    /// The words of an event that is an error itself: its `type` says only that.
    pub(crate) fn of_event(event: &[u8]) -> Self {
        let words = serde_json::from_slice::<&RawValue>(event).map(Self::of).unwrap_or_default();
        Self { kind: None, ..words }
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

    /// The status that an error event would have had, had it come before the answer's head: too many requests, or a request
    /// that is wrong. For every other failure the provider is to blame.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        let kind = self.kind.as_deref();
        let is_too_many = |code: &Value| *code == "rate_limit_exceeded" || *code == "429" || *code == 429;
        if self.code.as_ref().is_some_and(is_too_many) || kind == Some("rate_limit_error") {
            return Some(StatusCode::TOO_MANY_REQUESTS);
        }
        (kind == Some("invalid_request_error")).then_some(StatusCode::BAD_REQUEST)
    }

    /// The provider's sentence. It may be repeated only where it speaks of the caller's own request.
    pub(crate) fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// An error body in `dialect` with `message`, and with `problem`'s words where the provider has none.
    pub(crate) fn body(&self, problem: &Problem, message: &str, dialect: Dialect, request_id: &str) -> Value {
        let mut body = problem.body(dialect, request_id);
        if let Some(error) = body.get_mut("error").and_then(Value::as_object_mut) {
            let code = self.code.clone().filter(|_| error.contains_key("code"));
            let param = error.contains_key("param").then(|| self.param.clone().into());
            let kind = self.kind.clone().map(Value::from);
            let words = [("message", Some(message.into())), ("type", kind), ("code", code), ("param", param)];
            error.extend(words.into_iter().filter_map(|(name, word)| Some((name.to_owned(), word?))));
        }
        body
    }
}

/// `rate_limit_exceeded`, `messages[0].content`, `messages.0.role`.
fn is_word(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']');
    (1..=LONGEST_WORD).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use problem::kinds;
    use serde_json::json;

    use super::*;

    fn body(error: &str) -> Value {
        let words = ErrorWords::of(&RawValue::from_string(error.to_owned()).unwrap());
        words.body(&Problem::new(kinds::UPSTREAM_FAILED), "Ours.", Dialect::OpenAi, "r-1")["error"].clone()
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

    #[test]
    fn too_many_requests_and_wrong_ones_are_known_by_code_or_type() {
        let status = |error: &str| {
            let words = ErrorWords::of(&RawValue::from_string(error.to_owned()).unwrap());
            words.status().map(|status| status.as_u16())
        };
        for error in [
            r#"{"type":"tokens","code":"rate_limit_exceeded"}"#,
            r#"{"type":"rate_limit_error","message":"x"}"#,
            r#"{"code":"429"}"#,
            r#"{"code":429}"#,
        ] {
            assert_eq!(status(error), Some(429), "{error}");
        }
        assert_eq!(status(r#"{"type":"invalid_request_error","code":"context_length_exceeded"}"#), Some(400));
        for error in [
            r#"{"type":"overloaded_error"}"#,
            r#"{"code":500,"type":"server_error"}"#,
            r#"{"message":"rate_limit_error"}"#,
            r#"{"code":"invalid_request_error"}"#,
        ] {
            assert_eq!(status(error), None, "{error}");
        }
    }

    #[test]
    fn anthropics_shape_has_only_its_members() {
        let words =
            ErrorWords::of_body(br#"{"type":"error","error":{"type":"overloaded_error","message":"x","code":"y"}}"#);
        let body = words.body(&Problem::new(kinds::UPSTREAM_FAILED), "Ours.", Dialect::Anthropic, "r-1");
        let error = json!({"type": "overloaded_error", "message": "Ours."});
        assert_eq!(body, json!({"type": "error", "error": error, "request_id": "r-1"}));
    }

    #[test]
    fn an_event_that_is_the_error_has_no_type_of_an_error() {
        let words = ErrorWords::of_event(br#"{"type":"error","code":"server_error","message":"secret","param":null}"#);
        assert_eq!(
            words,
            ErrorWords { code: Some("server_error".into()), message: Some("secret".into()), ..ErrorWords::default() }
        );
    }
}
