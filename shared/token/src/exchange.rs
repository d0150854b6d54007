//! Token exchange (RFC 8693): from a verified credential to a short-lived token that can do no more than it.

use platform::Timestamp;
use secrecy::SecretString;
use thiserror::Error;

/// The most actors in a chain of delegation.
pub(crate) const MAX_ACTORS: usize = 2;

/// What a subject or actor token is (RFC 8693 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenType {
    /// `urn:qlp:params:oauth:token-type:api-key`: an API key of this edge.
    ApiKey,
    /// `urn:ietf:params:oauth:token-type:access_token`.
    AccessToken,
    /// `urn:ietf:params:oauth:token-type:jwt`.
    Jwt,
}

/// What the requester of an exchange asks for.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// The scopes wanted; without them, all that the subject has.
    pub scopes: Option<Vec<String>>,
    /// For whom the token is; without it, for Supabase and the edge.
    pub audience: Option<String>,
    /// Who acts for the subject.
    pub actor: Option<Actor>,
}

/// Somebody who acts for somebody else.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The user's id, or the service's name.
    pub subject: String,
    /// When the actor's own credential ends.
    pub expires_at: Option<Timestamp>,
}

/// A new token.
pub struct Issued {
    /// The token.
    pub token: SecretString,
    /// When it ends.
    pub expires_at: Timestamp,
    /// How long it is valid from now on, in seconds.
    pub expires_in: u64,
    /// Its scopes.
    pub scopes: Vec<String>,
}

/// Why no token was issued.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExchangeError {
    /// The audience is not one of ours.
    #[error("the audience is not known")]
    UnknownAudience,
    /// The subject does not have a scope that was asked for.
    #[error("the subject lacks a scope that was asked for")]
    ScopeNotHeld,
    /// The subject's or the actor's credential ends before a token could be used.
    #[error("the subject or the actor has expired")]
    Expired,
    /// The subject signed in without the second factor that the organization requires.
    #[error("the organization requires a second factor")]
    NoSecondFactor,
    /// The chain of actors would be longer than two.
    #[error("too many act for one another")]
    TooManyActors,
    /// There is no key to sign with.
    #[error("no key to sign with is configured")]
    NotConfigured,
    /// The host could not sign.
    #[error("{0}")]
    Host(#[from] platform::SignerError),
}

impl TokenType {
    const ALL: [(Self, &'static str); 3] = [
        (Self::ApiKey, "urn:qlp:params:oauth:token-type:api-key"),
        (Self::AccessToken, "urn:ietf:params:oauth:token-type:access_token"),
        (Self::Jwt, "urn:ietf:params:oauth:token-type:jwt"),
    ];

    /// The type with this URN.
    pub fn named(urn: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == urn).map(|(kind, _)| *kind)
    }

    /// Its URN.
    pub fn urn(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}
