//! Supabase Auth's errors, in both shapes: the first one, and the one of API version 2024-01-01 that supabase-js asks for.

use deadpool_postgres::PoolError;
use http::{HeaderName, StatusCode};
use serde_json::{Value, json};

use crate::answer::{self, Response};
use crate::log;
use crate::signing::Flaw;

/// The header by which a caller asks for a version, and by which the version is confirmed.
pub(super) const API_VERSION: &str = "x-supabase-api-version";
const VERSION_2024: &str = "2024-01-01";

/// One error.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
    weak_password: Option<&'static str>,
}

impl Failure {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), weak_password: None }
    }

    /// A request that is wrong in itself.
    pub(super) fn bad_request(code: &'static str, message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// A request that is right and cannot be done.
    pub(super) fn unprocessable(code: &'static str, message: &str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    pub(super) fn weak_password(message: String, reason: &'static str) -> Self {
        let failure = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "weak_password", message);
        Self { weak_password: Some(reason), ..failure }
    }

    pub(super) fn bad_json(error: &serde_json::Error) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_json", format!("Could not parse request body as JSON: {error}"))
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "unknown", "Method not allowed")
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown", "404 page not found")
    }

    pub(super) fn no_token() -> Self {
        let message = "This endpoint requires a valid Bearer token";
        Self::new(StatusCode::UNAUTHORIZED, "no_authorization", message)
    }

    pub(super) fn token(flaw: Flaw) -> Self {
        let reason = match flaw {
            Flaw::Malformed => "token is malformed",
            Flaw::UnknownKey => "unrecognized JWT kid for algorithm ES256",
            Flaw::Signature => "signature is invalid",
            Flaw::Expired => "token has invalid claims: token is expired",
        };
        let message = format!("invalid JWT: unable to parse or verify signature, {reason}");
        Self::new(StatusCode::FORBIDDEN, "bad_jwt", message)
    }

    pub(super) fn no_session() -> Self {
        let message = "Session from session_id claim in JWT does not exist";
        Self::new(StatusCode::FORBIDDEN, "session_not_found", message)
    }

    pub(super) fn bad_session() -> Self {
        Self::new(StatusCode::FORBIDDEN, "bad_jwt", "invalid claim: session_id claim must be a UUID")
    }

    /// Something on this side; the reason goes to the log.
    pub(super) fn unexpected(message: &str, reason: &str) -> Self {
        log::error("auth", &format!("{message}: {reason}"));
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unexpected_failure", message)
    }

    pub(super) fn into_response(self, wanted_version: Option<&str>) -> Response {
        let is_2024 = wanted_version.is_some_and(|wanted| wanted >= VERSION_2024);
        let mut body = if is_2024 {
            json!({ "code": self.code, "message": self.message })
        } else {
            json!({ "code": self.status.as_u16(), "error_code": self.code, "msg": self.message })
        };
        if let (Some(reason), Value::Object(fields)) = (self.weak_password, &mut body) {
            fields.insert("weak_password".into(), json!({ "reasons": [reason] }));
        }
        let mut response = answer::json(self.status, &body);
        answer::set(&mut response, HeaderName::from_static("x-sb-error-code"), self.code);
        if is_2024 {
            answer::set(&mut response, HeaderName::from_static(API_VERSION), VERSION_2024);
        }
        response
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let reason = error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string);
        Self::unexpected("Database error", &reason)
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        Self::unexpected("Database error", &error.to_string())
    }
}
