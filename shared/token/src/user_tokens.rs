use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use platform::{Context, Timestamp};
use secrecy::SecretString;
use uuid::Uuid;

use crate::Principal;
use crate::exchange::{ExchangeError, Wish};
use crate::expiring_map::ExpiringMap;
use crate::issuer::Issuer;

/// How many tokens are kept: of typical ones 1 MB.
const CAPACITY: usize = 1024;
/// A token is not used in its last minute: it must not end on its way.
const SPARE: Duration = Duration::from_mins(1);

/// Tokens with which the edge acts as an API key's user towards Supabase.
pub(crate) struct UserTokens {
    issuer: Arc<Issuer>,
    kept: Mutex<ExpiringMap<Uuid, Kept>>,
}

struct Kept {
    /// A key whose scopes, roles or tier have changed since gets a new token.
    principal: Arc<Principal>,
    token: SecretString,
}

impl UserTokens {
    pub(crate) fn new(issuer: Arc<Issuer>) -> Self {
        Self { issuer, kept: Mutex::new(ExpiringMap::new(CAPACITY)) }
    }

    /// A token of `principal`, who holds the API key `key`.
    pub(crate) async fn of(
        &self,
        key: Uuid,
        principal: &Arc<Principal>,
        context: &Context,
    ) -> Result<SecretString, ExchangeError> {
        let now = context.clock.now();
        if let Some(token) = self.recall(key, principal, now) {
            return Ok(token);
        }
        let issued = self.issuer.issue(principal, &Wish::default(), context).await?;
        let kept = Kept { principal: Arc::clone(principal), token: issued.token.clone() };
        let spare = i64::try_from(SPARE.as_secs()).unwrap_or_default();
        if let Some(until) = Timestamp::from_second(issued.expires_at.as_second() - spare) {
            self.kept().insert(key, kept, now, until);
        }
        Ok(issued.token)
    }

    fn recall(&self, key: Uuid, principal: &Principal, now: Timestamp) -> Option<SecretString> {
        let kept = self.kept();
        kept.get(&key, now).filter(|kept| *kept.principal == *principal).map(|kept| kept.token.clone())
    }

    fn kept(&self) -> MutexGuard<'_, ExpiringMap<Uuid, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
