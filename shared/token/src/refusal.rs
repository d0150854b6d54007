use std::time::Duration;

use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use problem::{Problem, kinds};
use thiserror::Error;

use crate::Reason;

/// Why a request was not let in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// No credential was sent: 401.
    #[error("no credential was sent")]
    Missing,
    /// A credential was sent and is not valid: 401. It never falls back to a weaker one.
    #[error("{0}")]
    Invalid(Reason),
    /// A cookie came with an unsafe request that another site may have made: 403.
    #[error("the request may come from another site")]
    ForgedRequest,
    /// The credential is valid and lacks this scope: 403.
    #[error("the credential lacks the scope {0}")]
    InsufficientScope(&'static str),
    /// An anonymous user came where only users with an identity may: 403.
    #[error("the user is anonymous")]
    NoIdentity,
    /// The organization requires a second factor, and the user signed in without one: 403.
    #[error("the organization requires a second factor")]
    NoSecondFactor,
    /// Too many credentials that do not exist came from there, or look like this one: 429.
    #[error("too many unknown credentials were tried")]
    TooManyAttempts {
        /// When trying again makes sense.
        retry_after: Duration,
    },
    /// The credential can be neither accepted nor refused, for want of the issuer's keys or of the database: 503.
    #[error("the credential cannot be checked at present")]
    Unavailable {
        /// When trying again makes sense.
        retry_after: Duration,
    },
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::Invalid(reason)
    }
}

/// RFC 6750 section 3: the challenge has no `error` when nothing was sent.
impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Missing => {
                Problem::new(kinds::CREDENTIAL_MISSING).header(WWW_AUTHENTICATE, r#"Bearer realm="qlp-edge""#)
            }
            Refusal::Invalid(_) => Problem::new(kinds::CREDENTIAL_INVALID).header(
                WWW_AUTHENTICATE,
                r#"Bearer realm="qlp-edge", error="invalid_token", error_description="The credential is not valid""#,
            ),
            Refusal::ForgedRequest => Problem::new(kinds::FORGED_REQUEST),
            Refusal::InsufficientScope(scope) => Problem::new(kinds::INSUFFICIENT_SCOPE)
                .detail(format!("The credential lacks the scope `{scope}`."))
                .header(
                    WWW_AUTHENTICATE,
                    &format!(r#"Bearer realm="qlp-edge", error="insufficient_scope", scope="{scope}""#),
                ),
            Refusal::NoIdentity => Problem::new(kinds::IDENTITY_REQUIRED),
            Refusal::NoSecondFactor => Problem::new(kinds::SECOND_FACTOR_REQUIRED),
            Refusal::TooManyAttempts { retry_after } => Problem::new(kinds::RATE_LIMITED)
                .detail("Too many API keys were tried that do not exist.")
                .header(RETRY_AFTER, &whole_seconds(retry_after).to_string()),
            Refusal::Unavailable { retry_after } => Problem::new(kinds::UPSTREAM_UNAVAILABLE)
                .detail("The credential cannot be checked at present.")
                .header(RETRY_AFTER, &whole_seconds(retry_after).to_string()),
        }
    }
}

/// Rounded up, so that who waits that long does not come too early.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use problem::Dialect;

    fn response(refusal: Refusal) -> (u16, String, String) {
        let response = Problem::from(refusal).into_response(Dialect::ProblemJson, "r-1");
        let header = |name| response.headers().get(name).map_or(String::new(), |value| value.to_str().unwrap().into());
        (response.status().as_u16(), header(WWW_AUTHENTICATE), header(RETRY_AFTER))
    }

    #[test]
    fn nothing_sent_is_401_without_an_error_code() {
        assert_eq!(response(Refusal::Missing), (401, r#"Bearer realm="qlp-edge""#.into(), String::new()));
    }

    #[test]
    fn every_reason_gives_the_same_401() {
        let expired = response(Refusal::Invalid(Reason::Expired));
        assert_eq!(expired, response(Refusal::Invalid(Reason::UnknownApiKey)));
        assert_eq!(expired.0, 401);
        assert!(expired.1.contains(r#"error="invalid_token""#));
    }

    #[test]
    fn a_missing_scope_is_403_and_named() {
        let (status, challenge, _) = response(Refusal::InsufficientScope("llm"));
        assert_eq!(status, 403);
        assert_eq!(challenge, r#"Bearer realm="qlp-edge", error="insufficient_scope", scope="llm""#);
    }

    #[test]
    fn who_has_to_sign_in_otherwise_gets_403() {
        assert_eq!(response(Refusal::NoIdentity), (403, String::new(), String::new()));
        assert_eq!(response(Refusal::NoSecondFactor), (403, String::new(), String::new()));
    }

    #[test]
    fn what_cannot_be_checked_is_503_with_seconds_rounded_up() {
        let refusal = Refusal::Unavailable { retry_after: Duration::from_millis(29_001) };
        assert_eq!(response(refusal), (503, String::new(), "30".into()));
    }
}
