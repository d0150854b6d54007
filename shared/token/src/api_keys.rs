use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use platform::{ClientAddress, Context, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use supabase::{AUTHENTICATE_KEY, Identity, Supabase};
use uuid::Uuid;

use crate::api_key::{ApiKey, hex};
use crate::expiring_map::ExpiringMap;
use crate::key_guesses::KeyGuesses;
use crate::key_uses::KeyUses;
use crate::network::Network;
use crate::principal::{Method, Principal, Role, SCOPES, Tier};

use crate::{KeyDigest, LlmRules, Peppers, Reason, Refusal};

/// How long a revoked key may still be let in.
const KNOWN_FOR: Duration = Duration::from_secs(10);
const UNKNOWN_FOR: Duration = Duration::from_secs(5);
const CAPACITY: usize = 4096;
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);

type Digest = [u8; 32];

/// Looks API keys up by their digests and remembers the answers briefly.
pub(crate) struct ApiKeys {
    peppers: Peppers,
    supabase: Supabase,
    answers: Mutex<Answers>,
    uses: Arc<KeyUses>,
    guesses: KeyGuesses,
}

/// Apart, so that a flood of invented keys does not displace the real ones.
struct Answers {
    known: ExpiringMap<Digest, Arc<Known>>,
    unknown: ExpiringMap<Digest, ()>,
}

/// A key that works.
struct Known {
    principal: Arc<Principal>,
    /// From where it may be used; from everywhere if there is none.
    networks: Vec<Network>,
    /// The pepper under which the database knows it.
    pepper_version: u16,
}

/// Under each live pepper: one question, whichever the key is stored under.
#[derive(Serialize)]
struct Query {
    digests: Vec<Asked>,
}

#[derive(Serialize)]
struct Asked {
    digest: String,
    pepper_version: u16,
}

#[derive(Deserialize)]
struct Found {
    key_id: Uuid,
    user_id: Uuid,
    org_id: Uuid,
    roles: Vec<String>,
    tier: String,
    scopes: Vec<String>,
    expires_at: Option<Timestamp>,
    /// Networks from which the key may be used; from everywhere if there is none.
    #[serde(default)]
    allowed_cidrs: Vec<Network>,
    #[serde(default)]
    llm: LlmRules,
    #[serde(default)]
    logs_prompts: bool,
    #[serde(default)]
    authz_epoch: u64,
    pepper_version: u16,
}

impl ApiKeys {
    pub(crate) fn new(peppers: Peppers, supabase: Supabase) -> Self {
        let answers = Answers { known: ExpiringMap::new(CAPACITY), unknown: ExpiringMap::new(CAPACITY) };
        Self {
            peppers,
            supabase: supabase.clone(),
            answers: Mutex::new(answers),
            uses: Arc::new(KeyUses::new(supabase)),
            guesses: KeyGuesses::new(),
        }
    }

    /// Whom `key` acts for when it is used from `address`.
    pub(crate) async fn principal(
        &self,
        key: &ApiKey<'_>,
        address: Option<ClientAddress>,
        context: &Context,
    ) -> Result<Arc<Principal>, Refusal> {
        let current = self.peppers.digest(key);
        let known = self.known(key, &current.digest, address, context).await?;
        if !known.may_be_used_from(address) {
            return Err(Reason::WrongNetwork.into());
        }
        if let Some(id) = known.principal.key_id {
            let is_outdated = known.pepper_version != current.pepper_version;
            self.uses.note(id, is_outdated.then_some(current), context);
        }
        Ok(Arc::clone(&known.principal))
    }

    async fn known(
        &self,
        key: &ApiKey<'_>,
        digest: &Digest,
        address: Option<ClientAddress>,
        context: &Context,
    ) -> Result<Arc<Known>, Refusal> {
        // From before the question on, so that the answer is never older than it looks.
        let asked = context.clock.now();
        if let Some(answer) = self.recall(digest, asked) {
            return answer.map_err(Refusal::from);
        }
        self.guesses.check(key, address, context)?;
        let found = self.look_up(key, context).await?.map(Arc::new);
        if found.is_none() {
            self.guesses.count(key, address, context).await;
        }
        let mut answers = self.answers();
        match &found {
            Some(known) => {
                let until = known.principal.expires_at.unwrap_or(Timestamp::MAX).min(asked.saturating_add(KNOWN_FOR));
                answers.known.insert(*digest, Arc::clone(known), asked, until);
            }
            None => answers.unknown.insert(*digest, (), asked, asked.saturating_add(UNKNOWN_FOR)),
        }
        found.ok_or(Reason::UnknownApiKey.into())
    }

    /// What was answered lately, if anything.
    fn recall(&self, digest: &Digest, now: Timestamp) -> Option<Result<Arc<Known>, Reason>> {
        let answers = self.answers();
        match answers.known.get(digest, now) {
            Some(known) => Some(Ok(Arc::clone(known))),
            None => answers.unknown.get(digest, now).map(|()| Err(Reason::UnknownApiKey)),
        }
    }

    /// As the edge itself: nobody has proved who they are yet.
    async fn look_up(&self, key: &ApiKey<'_>, context: &Context) -> Result<Option<Known>, Refusal> {
        let query = Query { digests: self.peppers.digests(key).map(Asked::from).collect() };
        let answer =
            self.supabase.rpc::<Map<String, Value>>(context, AUTHENTICATE_KEY, &query, Identity::Service).await;
        let answer = answer.map_err(|error| {
            tracing::warn!(%error, "an API key could not be looked up");
            let retry_after = match error {
                supabase::Error::Unavailable { retry_after, .. } => retry_after,
                _ => None,
            };
            Refusal::Unavailable { retry_after: retry_after.unwrap_or(DEFAULT_RETRY_AFTER) }
        })?;
        if answer.is_empty() {
            return Ok(None);
        }
        let found: Found = serde_json::from_value(answer.into()).map_err(|error| {
            tracing::error!(%error, "the answer about an API key has another form");
            Refusal::Unavailable { retry_after: DEFAULT_RETRY_AFTER }
        })?;
        Ok(Some(found.into()))
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Who comes from nowhere known is let in only with a key that is bound to nothing.
    fn may_be_used_from(&self, address: Option<ClientAddress>) -> bool {
        let inside = |ClientAddress(address)| self.networks.iter().any(|network| network.contains(address));
        self.networks.is_empty() || address.is_some_and(inside)
    }
}

impl From<KeyDigest> for Asked {
    fn from(digest: KeyDigest) -> Self {
        Self { digest: hex(&digest.digest), pepper_version: digest.pepper_version }
    }
}

impl From<Found> for Known {
    fn from(found: Found) -> Self {
        let principal = Principal {
            user_id: found.user_id,
            org_id: Some(found.org_id),
            roles: found.roles.iter().filter_map(|role| Role::named(role)).collect(),
            tier: Tier::named(&found.tier),
            scopes: found.scopes.into_iter().filter(|scope| SCOPES.contains(&scope.as_str())).collect(),
            llm: found.llm,
            logs_prompts: found.logs_prompts,
            session_id: None,
            email: None,
            is_anonymous: false,
            aal: None,
            requires_aal2: false,
            method: Method::ApiKey,
            key_id: Some(found.key_id),
            actors: Vec::new(),
            expires_at: found.expires_at,
            authz_epoch: found.authz_epoch,
        };
        let (networks, pepper_version) = (found.allowed_cidrs, found.pepper_version);
        Self { principal: Arc::new(principal), networks, pepper_version }
    }
}
