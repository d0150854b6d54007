//! Sessions of browsers: a cookie with an opaque id in place of tokens, which stay with the edge.
//!
//! The database keeps the tokens, encrypted under a key that it does not have. Whoever finds that the access token ends
//! soon gets the next one on the way; of many who find it at once, on whatever instance, one does.

mod cookie;
mod csrf;
mod id;
mod key;
mod record;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Method};
use platform::{ClientAddress, Context, Timestamp};
use serde::Serialize;
use serde_json::Value;
use supabase::{
    AuthError, CLAIM_SESSION_REFRESH, CREATE_SESSION, FIND_SESSION, Identity, REPLACE_SESSION, REVOKE_SESSION, Rpc,
    Session, Supabase,
};

use self::id::{Digest, SessionId};
use self::record::{Claimed, Found, Held, Replaced};
use crate::api_key::hex;
use crate::expiring_map::ExpiringMap;

use crate::{Reason, Refusal};

pub(crate) use self::cookie::NAME as COOKIE;
pub use self::key::SessionKey;

/// How long a session that was ended elsewhere may still be let in.
const KNOWN_FOR: Duration = Duration::from_secs(10);
const CAPACITY: usize = 4096;
/// How long before its end an access token is replaced.
const EARLY: Duration = Duration::from_mins(1);
/// How long who finds another at it waits for the next tokens.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(200);
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// From sign-in to the last request.
const LIFETIME: Duration = Duration::from_hours(30 * 24);
/// Of a user agent, in bytes: more is cut off.
const MAX_USER_AGENT: usize = 500;

/// What cookie sessions take.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// The edge's secret.
    pub key: SessionKey,
    /// Web origins besides the edge's own whose pages may use them.
    pub origins: Vec<String>,
}

/// The cookie sessions of one instance.
pub struct Sessions {
    key: SessionKey,
    supabase: Supabase,
    origins: Vec<String>,
    held: Mutex<ExpiringMap<Digest, Arc<Held>>>,
}

/// What a browser is given.
#[derive(Debug)]
pub struct Begun {
    /// The value of `Set-Cookie`.
    pub cookie: HeaderValue,
    /// What unsafe requests carry in `x-csrf-token`.
    pub csrf_token: String,
    /// When the session ends at the latest.
    pub expires_at: Timestamp,
}

/// From where a session is begun, for its owner to recognise it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Device<'a> {
    /// The address, as the host saw it.
    pub address: Option<ClientAddress>,
    /// What the browser calls itself.
    pub user_agent: Option<&'a str>,
}

#[derive(Serialize)]
struct New<'a> {
    user_id: &'a str,
    digest: String,
    tokens: String,
    expires_at: Timestamp,
    #[serde(flatten)]
    device: Seen<'a>,
}

#[derive(Serialize)]
struct Seen<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
}

#[derive(Serialize)]
struct Replacement {
    id: uuid::Uuid,
    version: u32,
    tokens: String,
    /// Of another cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

impl Sessions {
    /// Sessions as configured, which `supabase` keeps.
    pub fn new(config: SessionConfig, supabase: Supabase) -> Self {
        Self { key: config.key, supabase, origins: config.origins, held: Mutex::new(ExpiringMap::new(CAPACITY)) }
    }

    /// Gives a user who has just signed in a cookie in place of `session`'s tokens.
    pub async fn begin(&self, session: &Session, device: Device<'_>, context: &Context) -> Result<Begun, Refusal> {
        let id = SessionId::new(&*context.entropy);
        let user_id = session.user.get("id").and_then(Value::as_str).unwrap_or_default();
        let expires_at = context.clock.now().saturating_add(LIFETIME);
        let new = New {
            user_id,
            digest: hex(&id.digest()),
            tokens: self.seal(session, &id.digest(), context)?,
            expires_at,
            device: device.seen(),
        };
        let _: Value = self.call(CREATE_SESSION, &new, context).await?;
        Ok(self.begun(&id, expires_at, context))
    }

    /// The tokens behind the cookie's `value`, the access token valid for a while yet, and another one than `stale`.
    pub(crate) async fn access_token(
        &self,
        value: &str,
        stale: Option<&str>,
        context: &Context,
    ) -> Result<Arc<Held>, Refusal> {
        let id = SessionId::parse(value).ok_or(Reason::UnknownSession)?;
        let digest = id.digest();
        let held = match self.recall(&digest, context.clock.now()) {
            Some(held) => held,
            None => self.find(&digest, context).await?,
        };
        let good = held.lasts(context.clock.now(), EARLY) && stale.is_none_or(|stale| stale != held.access_token());
        if good { Ok(held) } else { self.refresh(held, &digest, context).await }
    }

    /// Refuses an unsafe request that no page of ours can have sent (`Sec-Fetch-Site`, `Origin`, `x-csrf-token`).
    pub(crate) fn check_origin(&self, value: &str, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
        let id = SessionId::parse(value).ok_or(Reason::UnknownSession)?;
        let sent = |token: &[u8]| self.key.is_csrf_token(token, &id);
        if csrf::is_safe(method) || csrf::may_come(headers, &self.origins, sent) {
            Ok(())
        } else {
            Err(Refusal::ForgedRequest)
        }
    }

    /// The token that goes with the cookie's `value`.
    pub fn csrf_token(&self, value: &str) -> Option<String> {
        SessionId::parse(value).map(|id| csrf::encode(&self.key.csrf_token(&id)))
    }

    /// Gets the session's next tokens now and puts it under another cookie: what a changed privilege asks for. The old
    /// cookie means nothing from then on.
    pub async fn rotate(&self, value: &str, context: &Context) -> Result<Begun, Refusal> {
        let id = SessionId::parse(value).ok_or(Reason::UnknownSession)?;
        let digest = id.digest();
        let held = self.find(&digest, context).await?;
        let held = self.refresh(held, &digest, context).await?;
        let next = SessionId::new(&*context.entropy);
        let tokens = self.seal_text(held.plain().as_bytes(), &next.digest(), context)?;
        let replacement = Replacement { id: held.id, version: held.version, tokens, digest: Some(hex(&next.digest())) };
        let replaced: Replaced = self.call(REPLACE_SESSION, &replacement, context).await?;
        self.forget(&digest);
        if !replaced.replaced {
            // Another tab was faster, and has the cookie that counts.
            return Err(Refusal::Unavailable { retry_after: RETRY_AFTER });
        }
        Ok(self.begun(&next, held.expires_at, context))
    }

    /// Ends the session here, whatever becomes of its tokens; tells whether there was one.
    pub async fn end(&self, value: &str, context: &Context) -> Result<bool, Refusal> {
        let Some(id) = SessionId::parse(value) else { return Ok(false) };
        let digest = id.digest();
        let held = match self.find(&digest, context).await {
            Err(Refusal::Invalid(_)) => return Ok(false),
            found => found?,
        };
        self.revoke(&held, &digest, context).await?;
        Ok(true)
    }

    /// The value of `Set-Cookie` that takes the cookie away.
    pub fn no_cookie() -> HeaderValue {
        cookie::removal()
    }

    async fn find(&self, digest: &Digest, context: &Context) -> Result<Arc<Held>, Refusal> {
        let asked = context.clock.now();
        let query = serde_json::json!({"digest": hex(digest)});
        let found: Found = self.call(FIND_SESSION, &query, context).await?;
        let row = found.row().ok_or(Reason::UnknownSession)?;
        let sealed = STANDARD.decode(&row.tokens).unwrap_or_default();
        let held = self.key.unseal(&sealed, digest).and_then(|plain| Held::read(&row, plain));
        // Under another key, after it was replaced: whoever signs in again has a session of the new one.
        let held = Arc::new(held.ok_or(Reason::UnknownSession)?);
        self.remember(digest, &held, asked);
        Ok(held)
    }

    /// The session with the next tokens, which one caller at a time gets.
    async fn refresh(&self, held: Arc<Held>, digest: &Digest, context: &Context) -> Result<Arc<Held>, Refusal> {
        let claim = serde_json::json!({"id": held.id, "version": held.version});
        match self.call(CLAIM_SESSION_REFRESH, &claim, context).await {
            Ok(Claimed { claimed: true }) => self.fetch_next(&held, digest, context).await,
            Ok(Claimed { claimed: false }) => self.wait_for_next(held, digest, context).await,
            Err(refusal) => held.unless_over(context.clock.now()).ok_or(refusal),
        }
    }

    async fn fetch_next(&self, held: &Arc<Held>, digest: &Digest, context: &Context) -> Result<Arc<Held>, Refusal> {
        let asked = context.clock.now();
        let session = match self.supabase.auth().refresh(context, &held.refresh_token()).await {
            Ok(session) => session,
            Err(AuthError::Upstream(error)) => {
                tracing::warn!(%error, "the next tokens of a session could not be got");
                let unavailable = Refusal::Unavailable { retry_after: RETRY_AFTER };
                return held.unless_over(asked).ok_or(unavailable);
            }
            Err(error) => {
                tracing::info!(reason = %error, "a session has ended at Supabase Auth");
                self.revoke(held, digest, context).await?;
                return Err(Reason::UnknownSession.into());
            }
        };
        let tokens = self.seal(&session, digest, context)?;
        let replacement = Replacement { id: held.id, version: held.version, tokens, digest: None };
        let replaced: Replaced = self.call(REPLACE_SESSION, &replacement, context).await?;
        if !replaced.replaced {
            return self.find(digest, context).await;
        }
        let next = Arc::new(held.with(&session, replaced.version).ok_or(Reason::UnknownSession)?);
        self.remember(digest, &next, asked);
        Ok(next)
    }

    async fn wait_for_next(&self, held: Arc<Held>, digest: &Digest, context: &Context) -> Result<Arc<Held>, Refusal> {
        if let Some(held) = held.unless_over(context.clock.now()) {
            return Ok(held);
        }
        let give_up = context.clock.now().saturating_add(PATIENCE);
        while context.clock.now() < give_up {
            context.clock.sleep(POLL_INTERVAL).await;
            let found = self.find(digest, context).await?;
            if found.version != held.version {
                return Ok(found);
            }
        }
        Err(Refusal::Unavailable { retry_after: RETRY_AFTER })
    }

    async fn revoke(&self, held: &Held, digest: &Digest, context: &Context) -> Result<(), Refusal> {
        self.forget(digest);
        let _: Value = self.call(REVOKE_SESSION, &serde_json::json!({"id": held.id}), context).await?;
        Ok(())
    }

    async fn call<T: serde::de::DeserializeOwned>(
        &self,
        function: Rpc,
        payload: &(impl Serialize + Sync),
        context: &Context,
    ) -> Result<T, Refusal> {
        self.supabase.rpc(context, function, payload, Identity::Service).await.map_err(|error| {
            tracing::warn!(%error, function = function.name, "a session cannot be checked");
            Refusal::Unavailable { retry_after: RETRY_AFTER }
        })
    }

    fn seal(&self, session: &Session, digest: &Digest, context: &Context) -> Result<String, Refusal> {
        self.seal_text(record::plain(session).as_bytes(), digest, context)
    }

    fn seal_text(&self, plain: &[u8], digest: &Digest, context: &Context) -> Result<String, Refusal> {
        let sealed = self.key.seal(plain, digest, &*context.entropy);
        // The cipher refuses texts of more than 256 GiB only.
        sealed.map(|sealed| STANDARD.encode(sealed)).ok_or(Refusal::Unavailable { retry_after: RETRY_AFTER })
    }

    fn begun(&self, id: &SessionId, expires_at: Timestamp, context: &Context) -> Begun {
        let lasts = expires_at.duration_since(context.clock.now());
        Begun { cookie: cookie::of(id, lasts), csrf_token: csrf::encode(&self.key.csrf_token(id)), expires_at }
    }

    fn recall(&self, digest: &Digest, now: Timestamp) -> Option<Arc<Held>> {
        self.held().get(digest, now).cloned()
    }

    fn remember(&self, digest: &Digest, held: &Arc<Held>, asked: Timestamp) {
        let until = asked.saturating_add(KNOWN_FOR).min(held.expires_at);
        self.held().insert(*digest, Arc::clone(held), asked, until);
    }

    fn forget(&self, digest: &Digest) {
        self.held().remove(digest);
    }

    fn held(&self) -> MutexGuard<'_, ExpiringMap<Digest, Arc<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Device<'a> {
    fn seen(self) -> Seen<'a> {
        let user_agent = self.user_agent.map(|text| &text[..text.floor_char_boundary(MAX_USER_AGENT)]);
        Seen { address: self.address.map(|ClientAddress(address)| address.to_string()), user_agent }
    }
}
