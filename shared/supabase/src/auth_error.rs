use std::time::Duration;

use http::header::{HeaderMap, RETRY_AFTER, WWW_AUTHENTICATE};
use problem::{Problem, kinds};
use serde_json::Value;
use thiserror::Error;

use crate::Error;
use crate::client::Answer;
use crate::error::retry_after;

/// Auth says no when, not for how long.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_mins(1);

/// Why Supabase Auth refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuthError {
    /// Wrong password, or no such account: Auth does not tell them apart.
    #[error("invalid credentials")]
    InvalidCredentials,
    /// The password is right, but the address was never confirmed.
    #[error("the e-mail address is not confirmed")]
    EmailNotConfirmed,
    /// The account is banned.
    #[error("the user is banned")]
    UserBanned,
    /// There is an account with this address.
    #[error("the user exists already")]
    UserAlreadyExists,
    /// The password does not meet the project's rules.
    #[error("the password is too weak")]
    WeakPassword {
        /// `length`, `characters`, `pwned`.
        reasons: Vec<String>,
    },
    /// The address is not one that Auth accepts.
    #[error("the e-mail address is not accepted")]
    InvalidEmail,
    /// The project takes no new users, or none by e-mail.
    #[error("signing up is disabled")]
    SignupDisabled,
    /// The refresh token is unknown, used, revoked or its session has ended.
    #[error("the refresh token was refused ({code})")]
    RefreshRefused {
        /// Auth's `error_code`.
        code: String,
    },
    /// The access token is not valid, or its session has ended.
    #[error("the access token was refused ({code})")]
    TokenRefused {
        /// Auth's `error_code`.
        code: String,
    },
    /// Too many requests, or too many e-mails.
    #[error("rate limited")]
    RateLimited {
        /// What Auth asked for.
        retry_after: Option<Duration>,
    },
    /// Another refusal of the request itself.
    #[error("Auth answered {status} {code}")]
    Rejected {
        /// The answer's status, 4xx.
        status: u16,
        /// Auth's `error_code`, or empty.
        code: String,
    },
    /// No answer, or none that can be used.
    #[error(transparent)]
    Upstream(#[from] Error),
}

impl AuthError {
    /// What an answer without success means.
    pub(crate) fn of_answer(answer: &Answer, call: Error) -> Self {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let status = answer.status.as_u16();
        let code = error_code(&body);
        match code {
            "invalid_credentials" | "invalid_grant" => Self::InvalidCredentials,
            "email_not_confirmed" => Self::EmailNotConfirmed,
            "user_banned" => Self::UserBanned,
            "user_already_exists" | "email_exists" => Self::UserAlreadyExists,
            "weak_password" => Self::WeakPassword { reasons: weaknesses(&body) },
            "email_address_invalid" | "email_address_not_authorized" => Self::InvalidEmail,
            "signup_disabled" | "email_provider_disabled" => Self::SignupDisabled,
            "refresh_token_not_found" | "refresh_token_already_used" => Self::RefreshRefused { code: code.into() },
            "bad_jwt" | "no_authorization" | "session_not_found" | "session_expired" | "user_not_found" => {
                Self::TokenRefused { code: code.into() }
            }
            "over_request_rate_limit" | "over_email_send_rate_limit" => rate_limited(&answer.headers),
            _ if status == 429 => rate_limited(&answer.headers),
            // Without a code of Auth's own, a 401 or 403 is the gateway's word on our key.
            _ if matches!(status, 400 | 402 | 404..=499) || (matches!(status, 401 | 403) && !code.is_empty()) => {
                Self::Rejected { status, code: code.chars().take(64).collect() }
            }
            _ => Self::Upstream(call),
        }
    }
}

/// `error_code`; in newer API versions `code` is the same word, in older ones the status; OAuth's form has `error`.
fn error_code(body: &Value) -> &str {
    ["error_code", "code", "error"].iter().find_map(|name| body.get(name)?.as_str()).unwrap_or_default()
}

fn weaknesses(body: &Value) -> Vec<String> {
    let reasons = body.pointer("/weak_password/reasons").and_then(Value::as_array).into_iter().flatten();
    let known = reasons.filter_map(Value::as_str).filter(|reason| ["length", "characters", "pwned"].contains(reason));
    known.map(str::to_owned).collect()
}

fn rate_limited(headers: &HeaderMap) -> AuthError {
    AuthError::RateLimited { retry_after: retry_after(headers) }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::InvalidCredentials => Self::new(kinds::SIGN_IN_REFUSED),
            AuthError::EmailNotConfirmed => Self::new(kinds::PERMISSION_DENIED)
                .detail("The e-mail address is not confirmed yet: follow the link that was sent to it."),
            AuthError::UserBanned => Self::new(kinds::PERMISSION_DENIED).detail("The account is blocked."),
            AuthError::UserAlreadyExists => {
                Self::new(kinds::CONFLICT).detail("There is an account with this e-mail address: sign in instead.")
            }
            AuthError::WeakPassword { reasons } => weak_password(&reasons),
            AuthError::InvalidEmail => {
                Self::new(kinds::UNPROCESSABLE).at("/email", "must be an address that can receive e-mail")
            }
            AuthError::SignupDisabled => Self::new(kinds::PERMISSION_DENIED).detail("Signing up is closed."),
            AuthError::RefreshRefused { .. } | AuthError::TokenRefused { .. } => Self::new(kinds::CREDENTIAL_INVALID)
                .header(WWW_AUTHENTICATE, r#"Bearer realm="qlp-edge", error="invalid_token""#),
            AuthError::RateLimited { retry_after } => {
                let seconds = retry_after.unwrap_or(DEFAULT_RETRY_AFTER).as_secs().max(1);
                Self::new(kinds::RATE_LIMITED).header(RETRY_AFTER, &seconds.to_string())
            }
            AuthError::Rejected { .. } => {
                Self::new(kinds::UNPROCESSABLE).detail("The authentication service refused these values.")
            }
            AuthError::Upstream(error) => error.into(),
        }
    }
}

fn weak_password(reasons: &[String]) -> Problem {
    let known = |reason: &str| reasons.iter().any(|known| known == reason);
    let mut problem = Problem::new(kinds::UNPROCESSABLE);
    if known("characters") {
        problem = problem.at("/password", "must contain more kinds of characters");
    }
    if known("pwned") {
        problem = problem.at("/password", "is known from a leak: choose another");
    }
    if known("length") || reasons.is_empty() {
        problem = problem.at("/password", "must be longer");
    }
    problem
}
