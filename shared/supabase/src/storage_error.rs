use http::StatusCode;
use http::header::HeaderName;
use problem::{Problem, kinds};
use serde_json::Value;
use thiserror::Error;

use crate::client::Answer;
use crate::error::retry_after;
use crate::{Error, Identity};

/// Storage's own words are short; whatever claims to be one is cut.
const MAX_CODE_CHARS: usize = 64;

/// Why Storage gave no result.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StorageError {
    /// Bucket or path cannot name an object; nothing was sent.
    #[error("the object's name is not allowed")]
    InvalidPath,
    /// The value cannot stand in this header; nothing was sent.
    #[error("the value of {0} is not allowed")]
    InvalidHeader(HeaderName),
    /// No such object or bucket, or none that the caller may see.
    #[error("no such object")]
    NotFound,
    /// There is an object of this name.
    #[error("the object exists already")]
    AlreadyExists,
    /// The object is larger than the bucket or the project allows.
    #[error("the object is too large")]
    TooLarge,
    /// The policies do not allow this.
    #[error("permission denied")]
    PermissionDenied,
    /// The user's access token was refused.
    #[error("the user's token was refused ({code})")]
    CredentialRefused {
        /// Storage's word, or empty.
        code: String,
    },
    /// Another refusal of the request itself, such as the media type, the name or the range.
    #[error("Storage answered {status} {code}")]
    Rejected {
        /// The status that Storage meant, 4xx.
        status: u16,
        /// Storage's word, or empty.
        code: String,
    },
    /// No answer, or none that can be used.
    #[error(transparent)]
    Upstream(#[from] Error),
}

/// Storage's error body. Most refusals come with 400, and the status that is meant stands in here.
struct Refusal<'a> {
    status: u16,
    code: &'a str,
    message: &'a str,
}

impl<'a> Refusal<'a> {
    /// Nothing if the body is not Storage's: then a gateway answered.
    fn read(status: StatusCode, body: &'a Value) -> Option<Self> {
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let meant = body.get("statusCode").and_then(|meant| match meant {
            Value::String(meant) => meant.parse().ok(),
            meant => meant.as_u64().and_then(|meant| u16::try_from(meant).ok()),
        });
        let code = text("code").or_else(|| text("error"));
        if meant.is_none() && code.is_none() {
            return None;
        }
        Some(Self {
            status: meant.unwrap_or(status.as_u16()),
            code: code.unwrap_or_default(),
            message: text("message").unwrap_or_default(),
        })
    }

    /// Storage refuses a token with the codes of a policy's refusal; only its message tells them apart.
    fn is_about_the_token(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        let words = ["jwt", "jws", r#""exp" claim"#, "signature verification failed"];
        self.status == 401 || self.code == "InvalidJWT" || words.iter().any(|word| message.contains(word))
    }
}

impl StorageError {
    /// What an answer without success means to who called as `identity`.
    pub(crate) fn of_answer(answer: &Answer, identity: &Identity<'_>) -> Self {
        let body = serde_json::from_slice(&answer.body).unwrap_or_default();
        match Refusal::read(answer.status, &body) {
            Some(refusal) => Self::of_refusal(&refusal, answer, identity),
            None if answer.status == StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            None => Self::of_status(answer.status, answer, identity, ""),
        }
    }

    fn of_refusal(refusal: &Refusal<'_>, answer: &Answer, identity: &Identity<'_>) -> Self {
        let code: String = refusal.code.chars().filter(|c| !c.is_control()).take(MAX_CODE_CHARS).collect();
        match (refusal.code, refusal.status) {
            ("NoSuchKey" | "NoSuchBucket" | "not_found", _) | (_, 404) => Self::NotFound,
            ("KeyAlreadyExists" | "ResourceAlreadyExists" | "Duplicate", _) | ("", 409) => Self::AlreadyExists,
            ("EntityTooLarge" | "Payload too large", _) | (_, 413) => Self::TooLarge,
            (_, 400 | 401 | 403) if refusal.is_about_the_token() => {
                Self::of_status(StatusCode::UNAUTHORIZED, answer, identity, &code)
            }
            (_, 403) => Self::PermissionDenied,
            ("DatabaseTimeout", _) | (_, 544) => Self::Upstream(Error::Timeout),
            (_, 423 | 429) => Self::of_status(StatusCode::SERVICE_UNAVAILABLE, answer, identity, &code),
            (_, status @ 400..=499) => Self::Rejected { status, code },
            (_, status) => {
                Self::of_status(StatusCode::from_u16(status).unwrap_or(answer.status), answer, identity, &code)
            }
        }
    }

    /// The body is not for [`crate::Error`] to read: its codes are not PostgREST's.
    fn of_status(status: StatusCode, answer: &Answer, identity: &Identity<'_>, code: &str) -> Self {
        let code = code.to_owned();
        match Error::of_answer(status, &answer.headers, b"", identity) {
            Error::CredentialRefused { .. } => Self::CredentialRefused { code },
            Error::KeyRefused { status, .. } => Self::Upstream(Error::KeyRefused { status, code }),
            Error::Failed { status, .. } => Self::Upstream(Error::Failed { status, code }),
            Error::Unavailable { .. } => Self::Upstream(Error::Unavailable {
                reason: format!("{} {code}", answer.status.as_u16()),
                retry_after: retry_after(&answer.headers),
            }),
            error => Self::Upstream(error),
        }
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::InvalidPath => Self::new(kinds::INVALID_REQUEST).detail(
                "The object's name must be at most 1024 bytes of segments between slashes, none of them empty, `.` or \
                 `..`, without backslashes and control characters.",
            ),
            StorageError::InvalidHeader(name) => {
                Self::new(kinds::INVALID_REQUEST).at(name.as_str(), "must be a valid header value")
            }
            StorageError::NotFound => Self::new(kinds::NOT_FOUND).detail("There is no such object."),
            StorageError::AlreadyExists => Self::new(kinds::CONFLICT)
                .detail("There is an object of this name: choose another, or remove it first."),
            StorageError::TooLarge => {
                Self::new(kinds::BODY_TOO_LARGE).detail("The object is larger than its bucket allows.")
            }
            StorageError::PermissionDenied => Self::new(kinds::PERMISSION_DENIED),
            StorageError::CredentialRefused { code } => Error::CredentialRefused { code }.into(),
            StorageError::Rejected { status: 415, .. } => {
                Self::new(kinds::UNSUPPORTED_MEDIA_TYPE).detail("The bucket does not take objects of this media type.")
            }
            StorageError::Rejected { .. } => Self::new(kinds::UNPROCESSABLE)
                .detail("The storage refused this request: check the object's name, its media type and the range."),
            StorageError::Upstream(error) => error.into(),
        }
    }
}
