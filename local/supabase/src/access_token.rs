//! Access tokens that callers present: verified once, then remembered, as PostgREST does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::Deserialize;

use crate::signing::{Flaw, KeyRing};

/// More than any test uses at a time; a full cache starts afresh.
const CACHE_SIZE: usize = 10_000;

/// A token that a key of this project has signed.
#[derive(Debug)]
pub(crate) struct AccessToken {
    /// The payload, as it was signed.
    pub(crate) claims: String,
    /// The role to act as.
    pub(crate) role: Option<String>,
    /// The user.
    pub(crate) subject: Option<String>,
    /// The user's session.
    pub(crate) session_id: Option<String>,
    expires_at: i64,
}

/// Verifies tokens.
#[derive(Default)]
pub(crate) struct Verifier {
    known: Mutex<HashMap<String, Arc<AccessToken>>>,
}

impl Verifier {
    /// What `token` says, if it is valid at `now` (seconds since 1970).
    pub(crate) fn verify(&self, token: &str, keys: &RwLock<KeyRing>, now: i64) -> Result<Arc<AccessToken>, Flaw> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned();
        let found = match known {
            Some(found) => found,
            None => self.remember(token, keys)?,
        };
        if found.expires_at <= now { Err(Flaw::Expired) } else { Ok(found) }
    }

    /// Forgets everything: the keys have changed.
    pub(crate) fn forget(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn remember(&self, token: &str, keys: &RwLock<KeyRing>) -> Result<Arc<AccessToken>, Flaw> {
        let payload = keys.read().unwrap_or_else(PoisonError::into_inner).verify(token)?;
        let read = Arc::new(AccessToken::read(payload)?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CACHE_SIZE {
            known.clear();
        }
        known.insert(token.to_owned(), read.clone());
        Ok(read)
    }
}

impl AccessToken {
    fn read(payload: String) -> Result<Self, Flaw> {
        #[derive(Deserialize)]
        struct Claims {
            exp: i64,
            role: Option<String>,
            sub: Option<String>,
            session_id: Option<String>,
        }
        let claims: Claims = serde_json::from_str(&payload).map_err(|_| Flaw::Malformed)?;
        let Claims { exp, role, sub, session_id } = claims;
        Ok(Self { claims: payload, role, subject: sub, session_id, expires_at: exp })
    }
}
