use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A session as Supabase Auth answers it, for passing on.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The JWT.
    pub access_token: String,
    /// `bearer`.
    pub token_type: String,
    /// The access token's life in seconds.
    pub expires_in: u64,
    /// When the access token ends, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// Gets the next session, once.
    pub refresh_token: String,
    /// The user.
    pub user: Value,
    /// Whatever else Auth says (`weak_password`, `provider_token`).
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What signing up led to.
#[derive(Debug, Clone, PartialEq)]
pub enum SignUp {
    /// The user is signed in.
    Session(Box<Session>),
    /// The user has to follow the link in an e-mail first. The same is answered for an address that is taken already.
    ConfirmationPending {
        /// The user as Auth describes them.
        user: Value,
    },
}

/// Without the tokens.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}
