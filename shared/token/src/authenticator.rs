use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, Mac};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::request::Parts;
use platform::{ClientAddress, Context, PublicKey, Request, Timestamp};
use problem::{Problem, kinds};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use supabase::Supabase;

use crate::api_key::{self, ApiKey};
use crate::api_keys::ApiKeys;
use crate::authz_changes::AuthzChanges;
use crate::claims::Claims;
use crate::credential::{Credential, bearer_token, has_session_cookie, session_cookie};
use crate::issuer::Issuer;
use crate::jwks_source::JwksSource;
use crate::jws::{Algorithm, Jws};
use crate::key_set::{KeySet, algorithm_of};
use crate::remote_keys::RemoteKeys;
use crate::user_tokens::UserTokens;
use crate::verified_tokens::{Signer, Verified, VerifiedTokens};
use crate::{
    Actor, Config, ExchangeError, Issued, Jwks, Method, Principal, Reason, Refusal, Service, Sessions, TokenType, Wish,
};

const RETRY_AFTER_HOST_FAILURE: Duration = Duration::from_secs(5);

/// Finds out who is calling. One per instance: it keeps the issuer's keys and the tokens it has already verified.
pub struct Authenticator {
    config: Config,
    keys: Keys,
    verified: VerifiedTokens,
    api_keys: Option<ApiKeys>,
    changes: Option<Arc<AuthzChanges>>,
    sessions: Option<Sessions>,
    issuer: Arc<Issuer>,
    user_tokens: Arc<UserTokens>,
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
    user_tokens: Arc<UserTokens>,
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
        let supabase = config.project.as_ref().map(|project| Supabase::new(project.supabase.clone()));
        let (peppers, sessions) =
            config.project.clone().map_or((None, None), |project| (project.peppers, project.sessions));
        let api_keys = peppers.zip(supabase.clone()).map(|(peppers, supabase)| ApiKeys::new(peppers, supabase));
        let sessions = sessions.zip(supabase.clone()).map(|(sessions, supabase)| Sessions::new(sessions, supabase));
        let changes = supabase.map(AuthzChanges::new);
        let issuer = Arc::new(Issuer::new(config.clone()));
        let user_tokens = Arc::new(UserTokens::new(Arc::clone(&issuer)));
        Self { config, keys, verified: VerifiedTokens::new(), api_keys, changes, sessions, issuer, user_tokens }
    }

    /// The sessions of browsers, if this edge has any.
    pub fn sessions(&self) -> Option<&Sessions> {
        self.sessions.as_ref()
    }

    /// Who sent this. A credential that is present and bad is refused, whatever else would be let in; one that is bound to
    /// networks is refused where no address is known.
    pub async fn authenticate(&self, sent: Sent<'_>, context: &Context) -> Result<Caller, Refusal> {
        let caller = match Credential::of(sent.headers)? {
            Credential::AccessToken(token) => {
                let principal = self.access_token(token, context).await;
                principal.map(|principal| (principal, sent.headers.get(AUTHORIZATION).cloned()))
            }
            Credential::ApiKey(key) => {
                self.api_key(key, sent.address, context).await.map(|principal| (principal, None))
            }
            Credential::Session(cookie) => self.session(cookie, sent, context).await,
        };
        let (principal, authorization) = caller.inspect_err(note)?;
        Ok(Caller { principal, authorization, user_tokens: Arc::clone(&self.user_tokens) })
    }

    /// The user behind a cookie. Tokens that no longer say what holds are replaced on the way.
    async fn session(
        &self,
        cookie: &str,
        sent: Sent<'_>,
        context: &Context,
    ) -> Result<(Arc<Principal>, Option<HeaderValue>), Refusal> {
        let sessions = self.sessions.as_ref().ok_or(Reason::UnknownSession)?;
        sessions.check_origin(cookie, sent.method, sent.headers)?;
        let mut held = sessions.access_token(cookie, None, context).await?;
        let mut user = self.access_token(held.access_token(), context).await;
        if matches!(user, Err(Refusal::Invalid(Reason::Superseded | Reason::UnknownKey))) {
            held = sessions.access_token(cookie, Some(held.access_token()), context).await?;
            user = self.access_token(held.access_token(), context).await;
        }
        let principal = Principal { method: Method::Session, ..Principal::clone(&*user?) };
        Ok((Arc::new(principal), held.authorization()))
    }

    /// The service that sent these headers, if it has `scope`. Users' credentials are refused.
    pub async fn require_service_scope(
        &self,
        headers: &HeaderMap,
        scope: &'static str,
        context: &Context,
    ) -> Result<Service, Refusal> {
        let service = match Credential::of(headers)? {
            Credential::AccessToken(token) => self.service(token, context).await,
            Credential::ApiKey(_) | Credential::Session(_) => Err(Reason::NotAService.into()),
        };
        let service = service.inspect_err(note)?;
        service.require_scope(scope).map(|()| service)
    }

    /// Whom a token from a request's body, said to be a `kind`, stands for.
    pub async fn subject(
        &self,
        token: &str,
        kind: TokenType,
        address: Option<ClientAddress>,
        context: &Context,
    ) -> Result<Arc<Principal>, Refusal> {
        let is_api_key = token.starts_with(api_key::PREFIX);
        let principal = match kind {
            TokenType::ApiKey => self.api_key(token, address, context).await,
            TokenType::AccessToken | TokenType::Jwt if is_api_key => Err(Reason::AnotherType.into()),
            TokenType::AccessToken | TokenType::Jwt => self.access_token(token, context).await,
        };
        principal.inspect_err(note)
    }

    /// Who acts with a token from a request's body: a user, or a service.
    pub async fn actor(
        &self,
        token: &str,
        kind: TokenType,
        address: Option<ClientAddress>,
        context: &Context,
    ) -> Result<Actor, Refusal> {
        if kind != TokenType::ApiKey && self.is_service_s(token) {
            let service = self.service(token, context).await.inspect_err(note)?;
            return Ok(Actor { subject: service.name, expires_at: Some(service.expires_at) });
        }
        let principal = self.subject(token, kind, address, context).await?;
        Ok(Actor { subject: principal.user_id.to_string(), expires_at: principal.expires_at })
    }

    /// A short-lived token for `subject` that can do no more than it.
    pub async fn exchange(&self, subject: &Principal, wish: &Wish, context: &Context) -> Result<Issued, ExchangeError> {
        self.issuer.issue(subject, wish, context).await
    }

    async fn api_key(
        &self,
        key: &str,
        address: Option<ClientAddress>,
        context: &Context,
    ) -> Result<Arc<Principal>, Refusal> {
        let key = ApiKey::parse(key).ok_or(Reason::MalformedApiKey)?;
        let api_keys = self.api_keys.as_ref().ok_or(Reason::NoApiKeys)?;
        api_keys.principal(&key, address, context).await
    }

    async fn access_token(&self, token: &str, context: &Context) -> Result<Arc<Principal>, Refusal> {
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

    /// Whether a token says that a service's issuer made it. It is not believed yet.
    fn is_service_s(&self, token: &str) -> bool {
        let claims = Jws::parse(token).and_then(|jws| Claims::parse(&jws.payload));
        claims.is_ok_and(|claims| claims.issuer().is_some_and(|issuer| self.config.edge.service_keys.knows(issuer)))
    }

    async fn service(&self, token: &str, context: &Context) -> Result<Service, Refusal> {
        let jws = Jws::parse(token)?;
        let claims = Claims::parse(&jws.payload)?;
        let keys = &self.config.edge.service_keys;
        let issuer = claims.issuer().filter(|issuer| keys.knows(issuer)).ok_or(Reason::WrongIssuer)?;
        let id = jws.key_id.as_deref().ok_or(Reason::NoKeyId)?;
        let key = keys.get(issuer, id).ok_or(Reason::UnknownKey)?;
        check_signature(&jws, key, context).await?;
        let audience = self.config.edge.issuer.as_deref().ok_or(Reason::WrongAudience)?;
        Ok(claims.service(issuer, audience, context.clock.now())?)
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
            Algorithm::Es256 | Algorithm::Rs256 => self.verify_signature(&jws, context).await?,
        };
        let expires_at = claims.check(&self.config.audience, context.clock.now())?;
        let principal = Arc::new(claims.principal(expires_at)?);
        Ok((Verified { principal, signer: signer.map(Arc::new) }, expires_at))
    }

    /// By a key of the edge's own, of which nothing need be remembered, or by one that the issuer publishes.
    async fn verify_signature(&self, jws: &Jws<'_>, context: &Context) -> Result<Option<Signer>, Refusal> {
        let id = jws.key_id.clone().ok_or(Reason::NoKeyId)?;
        if let Some(key) = self.own_key(&id) {
            check_signature(jws, key, context).await?;
            return Ok(None);
        }
        let key = match &self.keys {
            Keys::Inline(keys) => Arc::clone(keys.get(&id).ok_or(Reason::UnknownKey)?),
            Keys::Remote(keys) => keys.get(&id, context).await?,
        };
        check_signature(jws, &key, context).await?;
        Ok(Some(Signer { id, key }))
    }

    fn own_key(&self, id: &str) -> Option<&Arc<PublicKey>> {
        self.config.edge.signing_keys.as_ref()?.get(id)
    }

    /// HS256 with the configured secret. A `kid` of a published key names that key, and that key is no secret.
    fn verify_legacy(&self, jws: &Jws<'_>) -> Result<(), Reason> {
        let secret = self.config.hs256_secret.as_ref().ok_or(Reason::AlgorithmNotAllowed)?;
        let is_published = jws.key_id.as_deref().is_some_and(|id| {
            let is_the_issuer_s = match &self.keys {
                Keys::Inline(keys) => keys.get(id).is_some(),
                Keys::Remote(keys) => keys.is_known(id),
            };
            is_the_issuer_s || self.own_key(id).is_some()
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

fn note(refusal: &Refusal) {
    tracing::info!(reason = %refusal, "a credential was refused");
}

impl Caller {
    /// The token that the user got by signing in, for what concerns the account itself; none behind an API key or a token
    /// that was exchanged.
    pub fn access_token(&self) -> Option<SecretString> {
        let signed_in = matches!(self.principal.method, Method::AccessToken | Method::Session);
        if signed_in { self.sent_token() } else { None }
    }

    /// A token with which to act as the user towards Supabase: the one that was sent, or one made for the API key, which
    /// says whose key it is. 403 where the edge has nothing to make one with.
    pub async fn user_token(&self, context: &Context) -> Result<SecretString, Problem> {
        if let Some(token) = self.sent_token() {
            return Ok(token);
        }
        let key = self.principal.key_id.ok_or(kinds::INTERNAL)?;
        self.user_tokens.of(key, &self.principal, context).await.map_err(|error| match error {
            ExchangeError::NotConfigured => Problem::new(kinds::PERMISSION_DENIED)
                .detail("This edge cannot act for API keys here: send the user's access token instead."),
            ExchangeError::Expired => Refusal::from(Reason::UnknownApiKey).into(),
            error => {
                tracing::error!(%error, "no token could be made for an API key");
                kinds::INTERNAL.into()
            }
        })
    }

    fn sent_token(&self) -> Option<SecretString> {
        self.authorization.as_ref().and_then(bearer_token).map(SecretString::from)
    }

    /// Refuses an anonymous user.
    pub fn require_identity(&self) -> Result<(), Refusal> {
        if self.principal.is_anonymous { Err(Refusal::NoIdentity) } else { Ok(()) }
    }

    /// Refuses a credential without `scope`: scopes are what is done in an organization, so that a user who signed in
    /// without the second factor that it requires is refused as well.
    pub fn require_scope(&self, scope: &'static str) -> Result<(), Refusal> {
        if self.principal.lacks_second_factor() {
            return Err(Refusal::NoSecondFactor);
        }
        if self.principal.has_scope(scope) { Ok(()) } else { Err(Refusal::InsufficientScope(scope)) }
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("principal", &self.principal).finish_non_exhaustive()
    }
}
