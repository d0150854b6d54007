use std::time::Duration;

use http::StatusCode;
use http::header::{HeaderMap, RETRY_AFTER, WWW_AUTHENTICATE};
use platform::{BodyError, SendError};
use problem::{Kind, Problem, kinds};
use serde::Deserialize;
use thiserror::Error;

use crate::Identity;

/// Longer texts of ours do not exist; whatever claims to be one is cut.
const MAX_MESSAGE_CHARS: usize = 200;
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Why a call gave no result. It carries codes for the log, and texts only where they are our own.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// One of our database functions refused, by `raise sqlstate 'PT4xx'`.
    #[error("the database function refused with {status}: {message}")]
    Domain {
        /// The status after `PT`, 400 to 499.
        status: u16,
        /// The function's words.
        message: String,
        /// The argument that is wrong (`details`), if the function names one.
        field: Option<String>,
    },
    /// The user's access token was refused.
    #[error("the user's token was refused ({code})")]
    CredentialRefused {
        /// PostgREST's code, or empty.
        code: String,
    },
    /// The edge's own key was refused: the configuration is wrong.
    #[error("the project's key was refused ({status} {code})")]
    KeyRefused {
        /// The answer's status.
        status: u16,
        /// PostgREST's code, or empty.
        code: String,
    },
    /// The user has to sign in with a second factor first (`PT403` with the detail `aal2`).
    #[error("a second factor is required")]
    SecondFactorRequired,
    /// The role may not do this (42501).
    #[error("permission denied")]
    PermissionDenied,
    /// It exists already, or something still refers to it (23505, 23503).
    #[error("conflict ({code})")]
    Conflict {
        /// The SQLSTATE.
        code: String,
    },
    /// Two transactions met (40001, 40P01): the same call may succeed at once.
    #[error("contention ({code})")]
    Contention {
        /// The SQLSTATE.
        code: String,
    },
    /// Another answer that is no success.
    #[error("the answer was {status} {code}")]
    Failed {
        /// The answer's status.
        status: u16,
        /// PostgREST's code, or empty.
        code: String,
    },
    /// It cannot be reached, or said 503.
    #[error("unavailable: {reason}")]
    Unavailable {
        /// For the log.
        reason: String,
        /// What it asked for.
        retry_after: Option<Duration>,
    },
    /// It did not answer in time.
    #[error("no answer in time")]
    Timeout,
    /// A request that cannot be sent, or an answer that is too large or of another form.
    #[error("unusable: {0}")]
    Unusable(String),
}

/// PostgREST's error body, of which the gateway in front may send less, or something else entirely.
#[derive(Default, Deserialize)]
struct ErrorBody {
    #[serde(default, deserialize_with = "text_or_nothing")]
    code: String,
    #[serde(default, deserialize_with = "text_or_nothing")]
    message: String,
    #[serde(default, deserialize_with = "text_or_nothing")]
    details: String,
}

fn text_or_nothing<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_str().unwrap_or_default().to_owned())
}

impl Error {
    /// The same refusal of a database function, its words as a sentence that names no place in the request. Other errors
    /// stay as they are.
    #[must_use]
    pub fn without_place(self) -> Self {
        match self {
            Self::Domain { status, message, .. } => Self::Domain { status, message: sentence(&message), field: None },
            other => other,
        }
    }

    /// What an answer without success means to who called as `identity`.
    pub(crate) fn of_answer(status: StatusCode, headers: &HeaderMap, body: &[u8], identity: &Identity<'_>) -> Self {
        let body: ErrorBody = serde_json::from_slice(body).unwrap_or_default();
        if let Some(refused) = domain_status(&body.code) {
            if refused == 403 && body.details == "aal2" {
                return Self::SecondFactorRequired;
            }
            let field = Some(body.details).filter(|details| !details.is_empty()).map(|details| cut(&details));
            return Self::Domain { status: refused, message: cut(&body.message), field };
        }
        let (status, code) = (status.as_u16(), cut(&body.code));
        match (code.as_str(), status) {
            ("40001" | "40P01", _) => Self::Contention { code },
            ("23503" | "23505", _) => Self::Conflict { code },
            ("42501", _) => Self::PermissionDenied,
            (_, 401) if matches!(identity, Identity::User(_)) => Self::CredentialRefused { code },
            (_, 401 | 403) => Self::KeyRefused { status, code },
            (_, 503) => Self::Unavailable { reason: format!("503 {code}"), retry_after: retry_after(headers) },
            (_, 504) => Self::Timeout,
            _ => Self::Failed { status, code },
        }
    }

    /// Whether the same call may succeed at once.
    pub(crate) fn is_worth_a_retry(&self) -> bool {
        matches!(self, Self::Contention { .. } | Self::Unavailable { retry_after: None, .. })
    }
}

/// `PT404` is a refusal of ours with 404.
fn domain_status(code: &str) -> Option<u16> {
    let status = code.strip_prefix("PT")?.parse().ok()?;
    (400..500).contains(&status).then_some(status)
}

fn cut(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(MAX_MESSAGE_CHARS).collect()
}

/// `Retry-After` in seconds; the other form, a date, is not used by Supabase.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Unreachable(reason) => Self::Unavailable { reason, retry_after: None },
            SendError::Refused(reason) => Self::Unusable(reason),
        }
    }
}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { .. } => Self::Unusable(error.to_string()),
            BodyError::Interrupted(reason) => Self::Unavailable { reason, retry_after: None },
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Domain { status, message, field } => domain_problem(status, message, field),
            Error::CredentialRefused { .. } => Self::new(kinds::CREDENTIAL_INVALID)
                .header(WWW_AUTHENTICATE, r#"Bearer realm="qlp-edge", error="invalid_token""#),
            Error::KeyRefused { .. } => Self::new(kinds::MISCONFIGURED),
            Error::SecondFactorRequired => Self::new(kinds::SECOND_FACTOR_REQUIRED),
            Error::PermissionDenied => Self::new(kinds::PERMISSION_DENIED),
            Error::Conflict { .. } => Self::new(kinds::CONFLICT),
            Error::Failed { status: 400, code } if code.starts_with("22") || code.starts_with("23") => {
                Self::new(kinds::UNPROCESSABLE).detail("A value is not one that can be stored.")
            }
            Error::Failed { .. } | Error::Unusable(_) => Self::new(kinds::UPSTREAM_FAILED),
            Error::Contention { .. } => unavailable(Some(Duration::from_secs(1))),
            Error::Unavailable { retry_after, .. } => unavailable(retry_after),
            Error::Timeout => Self::new(kinds::UPSTREAM_TIMEOUT),
        }
    }
}

fn domain_problem(status: u16, message: String, field: Option<String>) -> Problem {
    let problem = Problem::new(domain_kind(status));
    match field {
        _ if message.is_empty() => problem,
        Some(field) => problem.at(field, message),
        None => problem.detail(message),
    }
}

fn domain_kind(status: u16) -> &'static Kind {
    match status {
        400 => kinds::INVALID_REQUEST,
        401 => kinds::CREDENTIAL_INVALID,
        403 => kinds::PERMISSION_DENIED,
        404 => kinds::NOT_FOUND,
        409 => kinds::CONFLICT,
        413 => kinds::BODY_TOO_LARGE,
        429 => kinds::RATE_LIMITED,
        _ => kinds::UNPROCESSABLE,
    }
}

fn unavailable(retry_after: Option<Duration>) -> Problem {
    let seconds = retry_after.unwrap_or(DEFAULT_RETRY_AFTER).as_secs().max(1);
    Problem::new(kinds::UPSTREAM_UNAVAILABLE).header(RETRY_AFTER, &seconds.to_string())
}

/// `the name is taken` as `The name is taken.`
fn sentence(message: &str) -> String {
    let mut rest = message.chars();
    let first = rest.next().map(|first| first.to_uppercase().collect::<String>());
    first.map_or_else(String::new, |first| format!("{first}{}.", rest.as_str()))
}

#[cfg(test)]
mod tests {
    use problem::Dialect;

    use super::*;

    fn error(status: u16, body: &str) -> Error {
        let status = StatusCode::from_u16(status).unwrap();
        Error::of_answer(status, &HeaderMap::new(), body.as_bytes(), &Identity::Service)
    }

    fn answer(error: Error) -> (u16, String) {
        let response = Problem::from(error).into_response(Dialect::ProblemJson, "r-1");
        (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
    }

    #[test]
    fn a_domain_error_keeps_its_status_words_and_field() {
        let body = r#"{"code":"PT400","message":"group_by must be day or model","details":"group_by","hint":null}"#;
        let (status, text) = answer(error(400, body));
        assert_eq!(status, 400);
        assert!(
            text.contains(r#""errors":[{"detail":"group_by must be day or model","pointer":"group_by"}]"#),
            "{text}"
        );
        for (status, expected) in [(402, 422), (404, 404), (409, 409), (422, 422), (429, 429)] {
            let body = format!(r#"{{"code":"PT{status}","message":"no"}}"#);
            assert_eq!(answer(error(status, &body)).0, expected);
        }
    }

    #[test]
    fn a_missing_second_factor_is_a_kind_of_its_own() {
        let (status, text) = answer(error(403, r#"{"code":"PT403","message":"no","details":"aal2"}"#));
        assert!(status == 403 && text.contains("/problems/second-factor-required"), "{text}");
        let (status, text) = answer(error(403, r#"{"code":"PT403","message":"no","details":"members:write"}"#));
        assert!(status == 403 && text.contains("/problems/permission-denied"), "{text}");
    }

    #[test]
    fn other_codes_become_our_words_without_theirs() {
        for (status, code, expected) in [
            (409, "23505", 409),
            (409, "23503", 409),
            (403, "42501", 403),
            (401, "42501", 403),
            (400, "23514", 422),
            (400, "22P02", 422),
            (404, "PGRST202", 502),
            (400, "P0001", 502),
            (500, "57014", 502),
            (500, "40001", 503),
            (503, "53300", 503),
            (401, "PGRST301", 503),
        ] {
            let body = format!(r#"{{"code":"{code}","message":"relation secret","details":"secret","hint":"secret"}}"#);
            let (status, text) = answer(error(status, &body));
            assert_eq!(status, expected, "{code}");
            assert!(!text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn gateways_that_answer_in_another_form_are_understood_by_their_status() {
        let bodies = [
            "",
            "<html>secret</html>",
            "[]",
            "null",
            "\"secret\"",
            r#"{"code":503,"message":["secret"]}"#,
            r#"{"message":"secret","hint":"secret"}"#,
        ];
        for body in bodies {
            for (status, expected) in [(500, 502), (502, 502), (503, 503), (504, 504), (404, 502), (301, 502)] {
                let (status, text) = answer(error(status, body));
                assert_eq!(status, expected, "{body}");
                assert!(!text.contains("secret"));
            }
        }
    }

    #[test]
    fn a_refused_token_is_the_user_s_matter_and_a_refused_key_ours() {
        let token = secrecy::SecretString::from("a.b.c");
        let as_user = Error::of_answer(StatusCode::UNAUTHORIZED, &HeaderMap::new(), b"{}", &Identity::User(&token));
        assert_eq!(answer(as_user).0, 401);
        assert_eq!(answer(error(401, "{}")).0, 503);
    }

    #[test]
    fn retry_after_is_passed_on() {
        let headers = [(RETRY_AFTER, "7".parse().unwrap())].into_iter().collect();
        let error = Error::of_answer(StatusCode::SERVICE_UNAVAILABLE, &headers, b"", &Identity::Service);
        assert!(!error.is_worth_a_retry());
        let response = Problem::from(error).into_response(Dialect::ProblemJson, "r-1");
        assert_eq!(response.headers()[RETRY_AFTER], "7");
    }
}
