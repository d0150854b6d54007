use thiserror::Error;

/// Why a credential was refused. It goes to the log only: callers get one answer for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum Reason {
    /// Two `Authorization` headers, or a header beside an API key or a session cookie.
    #[error("more than one credential was sent")]
    SeveralCredentials,
    /// Another scheme, no token, or more than one space.
    #[error("the Authorization header is not `Bearer <token>`")]
    NotBearer,
    /// A session cookie that stands for no session, or for one that has ended.
    #[error("the session cookie is not known")]
    UnknownSession,
    /// Over 8 KiB in all, or over 1 KiB of decoded header.
    #[error("the token is too long")]
    TooLong,
    /// Not three strict base64url parts (RFC 7515 section 3.1).
    #[error("the token is not a compact JWS")]
    NotCompact,
    /// Not one JSON object without repeated members, or a member of the wrong type.
    #[error("the token's header cannot be read")]
    BadHeader,
    /// `crit` or `b64` (RFC 7515 section 4.1.11, RFC 7797): extensions that change what is signed.
    #[error("the token uses an extension that is not understood")]
    Extension,
    /// `typ` is neither `JWT` nor `at+jwt`.
    #[error("the token is not an access token")]
    WrongType,
    /// `alg` is not in this issuer's list.
    #[error("the token's algorithm is not allowed")]
    AlgorithmNotAllowed,
    /// What the user may do has changed since the token was made: a new one says what holds now.
    #[error("the token is older than the user's present rights")]
    Superseded,
    /// No `kid` although the algorithm needs one.
    #[error("the token names no key")]
    NoKeyId,
    /// The issuer has no key of that `kid`.
    #[error("the token names a key that the issuer does not have")]
    UnknownKey,
    /// The key of that `kid` is for another algorithm.
    #[error("the token's algorithm is not its key's")]
    KeyMismatch,
    /// The signature is not the key's.
    #[error("the signature is wrong")]
    BadSignature,
    /// Not one JSON object without repeated members, or a claim of the wrong type.
    #[error("the token's claims cannot be read")]
    BadClaims,
    /// `iss` is not the users' issuer.
    #[error("the token is from another issuer")]
    WrongIssuer,
    /// `aud` does not contain ours.
    #[error("the token is for another audience")]
    WrongAudience,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` lies in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `exp` is more than 24 h after `iat`.
    #[error("the token lives too long")]
    LivesTooLong,
    /// `sub` is not a UUID.
    #[error("the token's subject is not a user")]
    WrongSubject,
    /// `role` is not `authenticated`.
    #[error("the token's role is not a user's")]
    WrongRole,
    /// Not in the form of an API key, or its checksum is wrong. Nothing was looked up.
    #[error("the API key is malformed")]
    MalformedApiKey,
    /// An API key where none are configured.
    #[error("API keys are not configured: API_KEY_PEPPER is not set")]
    NoApiKeys,
    /// A user's credential where a service's is needed.
    #[error("the credential is not a service's")]
    NotAService,
    /// Of another type than the one that was said to be sent.
    #[error("the token is of another type than was said")]
    AnotherType,
    /// Unknown, revoked or expired.
    #[error("the API key is unknown, revoked or expired")]
    UnknownApiKey,
    /// Used from outside the networks that it is bound to, or from an address that the host does not tell.
    #[error("the API key is bound to other networks")]
    WrongNetwork,
}
