use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, Mac};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::request::Parts;
use platform::{ClientAddress, Context, PublicKey, Request, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use supabase::Supabase;

use crate::api_key::ApiKey;
use crate::api_keys::ApiKeys;
use crate::authz_changes::AuthzChanges;
use crate::claims::Claims;
use crate::credential::{Credential, bearer_token, has_session_cookie, session_cookie};
use crate::jwks_source::JwksSource;
use crate::jws::{Algorithm, Jws};
use crate::key_set::{KeySet, algorithm_of};
use crate::remote_keys::RemoteKeys;
use crate::verified_tokens::{Signer, Verified, VerifiedTokens};
use crate::{Config, Jwks, Method, Principal, Reason, Refusal, Sessions};

const RETRY_AFTER_HOST_FAILURE: Duration = Duration::from_secs(5);

/// Finds out who is calling. One per instance: it keeps the issuer's keys and the tokens it has already verified.
pub struct Authenticator {
    config: Config,
    keys: Keys,
    verified: VerifiedTokens,
    api_keys: Option<ApiKeys>,
    changes: Option<Arc<AuthzChanges>>,
    sessions: Option<Sessions>,
}

/// What of a request tells who sent it.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// The method: a session's cookie alone changes nothing.
    pub method: &'a http::Method,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// From where it came: an API key may be bound to networks.
    pub address: Option<ClientAddress>,
}

impl<'a> Sent<'a> {
    /// What the head of a request tells.
    pub fn of(head: &'a Parts) -> Self {
        Self { method: &head.method, headers: &head.headers, address: head.extensions.get().copied() }
    }

    /// What `request` tells.
    pub fn with(request: &'a Request) -> Self {
        Self { method: request.method(), headers: request.headers(), address: request.extensions().get().copied() }
    }

    /// Whether there is a session cookie, whatever it is worth.
    pub fn has_session_cookie(self) -> bool {
        has_session_cookie(self.headers)
    }

    /// The value of the session cookie, if there is exactly one.
    pub fn session_cookie(self) -> Option<&'a str> {
        session_cookie(self.headers)
    }
}

/// Who is calling, and what they called with.
pub struct Caller {
    /// Who is calling.
    pub principal: Arc<Principal>,
    /// The header with the access token; it was taken apart once already.
    authorization: Option<HeaderValue>,
}

enum Keys {
    Inline(KeySet),
    Remote(Arc<RemoteKeys>),
}

impl Authenticator {
    /// An authenticator that has seen nothing yet.
    pub fn new(config: Config) -> Self {
        let keys = match &config.jwks {
            Jwks::Url(url) => Keys::Remote(RemoteKeys::new(JwksSource::new(url.clone()))),
            Jwks::Inline(keys) => Keys::Inline(keys.clone()),
        };
        let api_keys = config.api_keys.as_ref().map(ApiKeys::new);
        let changes = config.project.clone().map(|project| AuthzChanges::new(Supabase::new(project)));
        let sessions = config.sessions.clone().map(Sessions::new);
        Self { config, keys, verified: VerifiedTokens::new(), api_keys, changes, sessions }
    }

    /// The sessions of browsers, if this edge has any.
    pub fn sessions(&self) -> Option<&Sessions> {
        self.sessions.as_ref()
    }

    /// Who sent this. A credential that is present and bad is refused, whatever else would be let in; one that is bound to
    /// networks is refused where no address is known.
    pub async fn authenticate(&self, sent: Sent<'_>, context: &Context) -> Result<Caller, Refusal> {
        let caller = match Credential::of(sent.headers)? {
            Credential::AccessToken(token) => self.access_token(token, sent.headers, context).await,
            Credential::ApiKey(key) => self.api_key(key, sent.address, context).await,
            Credential::Session(cookie) => self.session(cookie, sent, context).await,
        };
        caller.inspect_err(|refusal| tracing::info!(reason = %refusal, "a credential was refused"))
    }

    async fn api_key(&self, key: &str, address: Option<ClientAddress>, context: &Context) -> Result<Caller, Refusal> {
        let key = ApiKey::parse(key).ok_or(Reason::MalformedApiKey)?;
        let api_keys = self.api_keys.as_ref().ok_or(Reason::NoApiKeys)?;
        Ok(Caller { principal: api_keys.principal(&key, address, context).await?, authorization: None })
    }

    async fn access_token(&self, token: &str, headers: &HeaderMap, context: &Context) -> Result<Caller, Refusal> {
        let principal = self.user(token, context).await?;
        Ok(Caller { principal, authorization: headers.get(AUTHORIZATION).cloned() })
    }

    /// The user behind a cookie. Tokens that no longer say what holds are replaced on the way.
    async fn session(&self, cookie: &str, sent: Sent<'_>, context: &Context) -> Result<Caller, Refusal> {
        let sessions = self.sessions.as_ref().ok_or(Reason::UnknownSession)?;
        sessions.check_origin(cookie, sent.method, sent.headers)?;
        let mut held = sessions.access_token(cookie, None, context).await?;
        let mut user = self.user(held.access_token(), context).await;
        if matches!(user, Err(Refusal::Invalid(Reason::Superseded | Reason::UnknownKey))) {
            held = sessions.access_token(cookie, Some(held.access_token()), context).await?;
            user = self.user(held.access_token(), context).await;
        }
        let principal = Principal { method: Method::Session, ..Principal::clone(&*user?) };
        Ok(Caller { principal: Arc::new(principal), authorization: held.authorization() })
    }

    async fn user(&self, token: &str, context: &Context) -> Result<Arc<Principal>, Refusal> {
        let principal = match self.recall(token, context) {
            Some(principal) => principal,
            None => self.verify_and_remember(token, context).await?,
        };
        if let Some(changes) = &self.changes
            && !changes.is_current(principal.user_id, principal.authz_epoch, context).await
        {
            return Err(Reason::Superseded.into());
        }
        Ok(principal)
    }

    /// A token seen before, unless its key was withdrawn.
    fn recall(&self, token: &str, context: &Context) -> Option<Arc<Principal>> {
        let verified = self.verified.recall(token, context.clock.now())?;
        let current = match (&self.keys, &verified.signer) {
            (Keys::Remote(keys), Some(signer)) => keys.still_lists(&signer.id, &signer.key, context),
            _ => true,
        };
        current.then_some(verified.principal)
    }

    async fn verify_and_remember(&self, token: &str, context: &Context) -> Result<Arc<Principal>, Refusal> {
        let (verified, expires_at) = self.verify(token, context).await?;
        let principal = Arc::clone(&verified.principal);
        self.verified.remember(token, verified, context.clock.now(), expires_at);
        Ok(principal)
    }

    async fn verify(&self, token: &str, context: &Context) -> Result<(Verified, Timestamp), Refusal> {
        let jws = Jws::parse(token)?;
        let claims = Claims::parse(&jws.payload)?;
        claims.check_issuer(&self.config.issuer)?;
        let signer = match jws.algorithm {
            Algorithm::Hs256 => self.verify_legacy(&jws).map(|()| None)?,
            Algorithm::Es256 | Algorithm::Rs256 => Some(self.verify_signature(&jws, context).await?),
        };
        let expires_at = claims.check(&self.config.audience, context.clock.now())?;
        let principal = Arc::new(claims.principal(expires_at)?);
        Ok((Verified { principal, signer: signer.map(Arc::new) }, expires_at))
    }

    async fn verify_signature(&self, jws: &Jws<'_>, context: &Context) -> Result<Signer, Refusal> {
        let id = jws.key_id.clone().ok_or(Reason::NoKeyId)?;
        let key = match &self.keys {
            Keys::Inline(keys) => Arc::clone(keys.get(&id).ok_or(Reason::UnknownKey)?),
            Keys::Remote(keys) => keys.get(&id, context).await?,
        };
        check_signature(jws, &key, context).await?;
        Ok(Signer { id, key })
    }

    /// HS256 with the configured secret. A `kid` of a published key names that key, and that key is no secret.
    fn verify_legacy(&self, jws: &Jws<'_>) -> Result<(), Reason> {
        let secret = self.config.hs256_secret.as_ref().ok_or(Reason::AlgorithmNotAllowed)?;
        let is_published = jws.key_id.as_deref().is_some_and(|id| match &self.keys {
            Keys::Inline(keys) => keys.get(id).is_some(),
            Keys::Remote(keys) => keys.is_known(id),
        });
        if is_published {
            return Err(Reason::KeyMismatch);
        }
        check_mac(jws, secret.expose_secret().as_bytes())
    }
}

/// Whether `jws` is signed by `key`, which alone decides the algorithm.
pub(crate) async fn check_signature(jws: &Jws<'_>, key: &PublicKey, context: &Context) -> Result<(), Refusal> {
    if algorithm_of(key) != jws.algorithm {
        return Err(Reason::KeyMismatch.into());
    }
    match context.signatures.verify(key, jws.signing_input, &jws.signature).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Reason::BadSignature.into()),
        Err(error) => {
            tracing::error!(%error, key_id = jws.key_id, "a signature could not be checked");
            Err(Refusal::Unavailable { retry_after: RETRY_AFTER_HOST_FAILURE })
        }
    }
}

/// Whether `jws` carries the MAC under `secret`, in constant time.
pub(crate) fn check_mac(jws: &Jws<'_>, secret: &[u8]) -> Result<(), Reason> {
    if jws.algorithm != Algorithm::Hs256 {
        return Err(Reason::KeyMismatch);
    }
    let mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| Reason::BadSignature)?;
    mac.chain_update(jws.signing_input).verify_slice(&jws.signature).map_err(|_| Reason::BadSignature)
}

impl Caller {
    /// The user's own token, to act as the user towards Supabase; none behind an API key.
    pub fn access_token(&self) -> Option<SecretString> {
        self.authorization.as_ref().and_then(bearer_token).map(SecretString::from)
    }

    /// Refuses a credential without `scope`.
    pub fn require_scope(&self, scope: &'static str) -> Result<(), Refusal> {
        if self.principal.has_scope(scope) { Ok(()) } else { Err(Refusal::InsufficientScope(scope)) }
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("principal", &self.principal).finish_non_exhaustive()
    }
}
