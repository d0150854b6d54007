//! The registry of problem kinds. `docs/PROBLEMS.md` is rendered from it by a test.

/// One kind of problem: what its type, status and words are in every dialect.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// The last segment of the problem's `type`, `/problems/<slug>`, and with underscores its `code`.
    pub slug: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// RFC 9457's `title`.
    pub title: &'static str,
    /// What the caller can do about it.
    pub remedy: &'static str,
}

macro_rules! registry {
    ($($name:ident = $status:literal $slug:literal $title:literal $remedy:literal;)*) => {
        /// The kinds, by name.
        pub mod kinds {
            use super::Kind;
            $(
                #[doc = $title]
                pub const $name: &Kind = &Kind { slug: $slug, status: $status, title: $title, remedy: $remedy };
            )*
        }
        /// Every kind, in the registry's order.
        pub const ALL: &[&Kind] = &[$(kinds::$name),*];
    };
}

registry! {
    MALFORMED_BODY = 400 "malformed-body" "The body cannot be read"
        "Send one JSON document in UTF-8; the detail names the place where reading stopped.";
    INVALID_REQUEST = 400 "invalid-request" "A value in the request is not allowed"
        "Change the places listed in `errors`.";
    EXCEEDS_LIMIT = 400 "exceeds-limit" "The request could come to more than a limit ever allows"
        "Ask for less, or have the limit raised.";
    UNSUPPORTED_GRANT_TYPE = 400 "unsupported-grant-type" "The grant type is not known here"
        "Send the grant type named in the detail.";
    INVALID_SCOPE = 400 "invalid-scope" "The subject lacks a scope that was asked for"
        "Ask for scopes that the subject's credential has.";
    INVALID_TARGET = 400 "invalid-target" "No token can be had for this audience"
        "Ask for one audience that the edge's operator has configured, or for none.";
    CREDENTIAL_MISSING = 401 "credential-missing" "No credential was sent"
        "Send `Authorization: Bearer <access token>`.";
    CREDENTIAL_INVALID = 401 "invalid-token" "The credential is not valid"
        "Sign in again or refresh the access token.";
    SIGN_IN_REFUSED = 401 "sign-in-refused" "The e-mail address or the password is wrong"
        "Check both; the answer is the same for an unknown address.";
    PERMISSION_DENIED = 403 "permission-denied" "The credential does not allow this"
        "Ask an owner or admin of the organization for the permission.";
    FORGED_REQUEST = 403 "csrf-refused" "The request may come from another site"
        "With the session cookie, send `x-csrf-token` (from `GET /auth/csrf`) from a page of the edge's or an allowed origin.";
    INSUFFICIENT_SCOPE = 403 "insufficient-scope" "The credential lacks a scope"
        "Use a credential with the scope named in `WWW-Authenticate`.";
    MODEL_NOT_ALLOWED = 403 "model-not-allowed" "The model is not allowed for the caller"
        "Use a model that `GET /v1/models` lists, or a credential that may use this one.";
    ENDPOINT_NOT_ALLOWED = 403 "endpoint-not-allowed" "The API key may not use this endpoint"
        "Use an endpoint that the key allows, or a key that allows this one.";
    IDENTITY_REQUIRED = 403 "identity-required" "An anonymous user cannot do this"
        "Add an e-mail address or another identity to the account, then sign in again.";
    SECOND_FACTOR_REQUIRED = 403 "second-factor-required" "This needs a second factor"
        "Sign in with a second factor (Supabase Auth's `aal2`) and use that access token.";
    NOT_FOUND = 404 "not-found" "There is nothing here"
        "Check the path against the API description.";
    MODEL_NOT_FOUND = 404 "model-not-found" "No such model"
        "Use a model that `GET /v1/models` lists.";
    METHOD_NOT_ALLOWED = 405 "method-not-allowed" "The method is not allowed here"
        "Use a method listed in `Allow`.";
    REQUEST_TIMEOUT = 408 "request-timeout" "The body did not arrive in time"
        "Send the request again.";
    CONFLICT = 409 "conflict" "The request conflicts with the present state"
        "Read the present state, then decide.";
    BODY_TOO_LARGE = 413 "body-too-large" "The body is too large"
        "Send less; the detail says how much is allowed.";
    TARGET_TOO_LONG = 414 "target-too-long" "The path and query are too long"
        "Send less in the URL; the detail says how much is allowed.";
    UNSUPPORTED_MEDIA_TYPE = 415 "unsupported-media-type" "The media type is not accepted here"
        "Send the media type named in the detail.";
    UNPROCESSABLE = 422 "unprocessable" "The request was understood and refused"
        "Change what the detail names.";
    RATE_LIMITED = 429 "rate-limited" "Too many requests"
        "Wait as long as `Retry-After` says.";
    BUDGET_EXCEEDED = 429 "insufficient-quota" "A budget is used up"
        "Wait for its next period, or have an admin of the organization raise it.";
    INTERNAL = 500 "internal" "Something failed on our side"
        "Try again; report the request id if it stays.";
    MISCONFIGURED = 503 "misconfigured" "The edge is not configured for this"
        "The operator finds the missing variables in the log.";
    UPSTREAM_FAILED = 502 "upstream-failed" "A service behind the edge gave no usable answer"
        "Try again later.";
    UPSTREAM_UNAVAILABLE = 503 "upstream-unavailable" "A service behind the edge cannot be reached"
        "Try again after `Retry-After`.";
    UPSTREAM_TIMEOUT = 504 "upstream-timeout" "A service behind the edge did not answer in time"
        "Try again later.";
}

impl Kind {
    /// The slug as OpenAI's `code` and OAuth's error words are spelled: with underscores.
    pub fn code(&self) -> String {
        self.slug.replace('-', "_")
    }

    /// The problem's `type`: a path that the edge answers with this kind's description.
    pub fn type_uri(&self) -> String {
        format!("/problems/{}", self.slug)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fmt::Write as _;

    #[test]
    fn slugs_are_unique_and_statuses_are_errors() {
        let slugs: BTreeSet<_> = ALL.iter().map(|kind| kind.slug).collect();
        assert_eq!(slugs.len(), ALL.len());
        assert!(ALL.iter().all(|kind| (400..600).contains(&kind.status)));
    }

    #[test]
    fn the_documentation_lists_every_kind() {
        let mut page = String::from(
            "# Problems\n\nEvery error of the edge is one of these kinds. `type` is `/problems/<slug>`; the OpenAI dialect carries\n\
             the slug with underscores as `code`. This page is rendered from `shared/problem/src/kind.rs`:\n\
             `UPDATE_DOCS=1 cargo test -p problem` writes it anew.\n\n| status | slug | what it means | what to do |\n|---|---|---|---|\n",
        );
        for kind in ALL {
            writeln!(page, "| {} | `{}` | {} | {} |", kind.status, kind.slug, kind.title, kind.remedy).unwrap();
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/PROBLEMS.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), page, "run UPDATE_DOCS=1 cargo test -p problem");
    }
}
