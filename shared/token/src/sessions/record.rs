use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use platform::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use supabase::Session;
use uuid::Uuid;

/// The answer to a question for a session: empty if there is none.
#[derive(Deserialize)]
pub(super) struct Found {
    id: Option<Uuid>,
    version: Option<u32>,
    tokens: Option<String>,
    expires_at: Option<Timestamp>,
}

/// A session as the database has it.
pub(super) struct Row {
    id: Uuid,
    version: u32,
    pub(super) tokens: String,
    expires_at: Timestamp,
}

#[derive(Deserialize)]
pub(super) struct Claimed {
    pub(super) claimed: bool,
}

#[derive(Deserialize)]
pub(super) struct Replaced {
    pub(super) replaced: bool,
    pub(super) version: u32,
}

/// What is encrypted of a session.
#[derive(Serialize, Deserialize)]
struct Tokens<'a> {
    #[serde(rename = "a")]
    access_token: &'a str,
    /// In Unix seconds.
    #[serde(rename = "e")]
    expires_at: i64,
    #[serde(rename = "r")]
    refresh_token: &'a str,
}

/// A session with its tokens.
pub(crate) struct Held {
    pub(super) id: Uuid,
    pub(super) version: u32,
    /// When the session ends.
    pub(super) expires_at: Timestamp,
    plain: SecretString,
    access_token: SecretString,
    /// When the access token ends.
    token_ends: Timestamp,
}

impl Found {
    pub(super) fn row(self) -> Option<Row> {
        Some(Row { id: self.id?, version: self.version?, tokens: self.tokens?, expires_at: self.expires_at? })
    }
}

/// What is encrypted of `session`.
pub(super) fn plain(session: &Session) -> String {
    let tokens = Tokens {
        access_token: &session.access_token,
        expires_at: session.expires_at.unwrap_or_default(),
        refresh_token: &session.refresh_token,
    };
    serde_json::to_string(&tokens).unwrap_or_default()
}

impl Held {
    pub(super) fn read(row: &Row, plain: Vec<u8>) -> Option<Self> {
        Self::new(row.id, row.version, row.expires_at, String::from_utf8(plain).ok()?)
    }

    /// The same session with its next tokens.
    pub(super) fn with(&self, session: &Session, version: u32) -> Option<Self> {
        Self::new(self.id, version, self.expires_at, plain(session))
    }

    fn new(id: Uuid, version: u32, expires_at: Timestamp, plain: String) -> Option<Self> {
        let tokens: Tokens<'_> = serde_json::from_str(&plain).ok()?;
        let access_token = SecretString::from(tokens.access_token);
        let token_ends = Timestamp::from_second(tokens.expires_at)?;
        Some(Self { id, version, expires_at, access_token, token_ends, plain: plain.into() })
    }

    /// The access token.
    pub(crate) fn access_token(&self) -> &str {
        self.access_token.expose_secret()
    }

    /// The header that a client with the token itself would send.
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        let mut header = HeaderValue::from_str(&format!("Bearer {}", self.access_token())).ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    pub(super) fn refresh_token(&self) -> SecretString {
        let tokens: Option<Tokens<'_>> = serde_json::from_str(self.plain.expose_secret()).ok();
        tokens.map(|tokens| tokens.refresh_token).unwrap_or_default().into()
    }

    pub(super) fn plain(&self) -> &str {
        self.plain.expose_secret()
    }

    /// Whether the access token lasts for `time` from now on.
    pub(super) fn lasts(&self, now: Timestamp, time: Duration) -> bool {
        now.saturating_add(time) < self.token_ends
    }

    /// The session as it is while its token can be used.
    pub(super) fn unless_over(self: &Arc<Self>, now: Timestamp) -> Option<Arc<Self>> {
        self.lasts(now, Duration::ZERO).then(|| Arc::clone(self))
    }
}

/// Without the tokens.
impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("id", &self.id).finish_non_exhaustive()
    }
}
