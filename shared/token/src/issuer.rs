use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use platform::{Context, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use crate::exchange::{ExchangeError, Issued, MAX_ACTORS, Wish};
use crate::{Config, Principal, SCOPES};

/// The longest life of an issued token.
const LIFETIME: Duration = Duration::from_mins(5);
/// `session_id` of a token that belongs to no session. Supabase Auth takes a token without any for one that may change the
/// account (password, address, factors); it refuses one whose session cannot be.
const NO_SESSION: &str = "none";
/// `client_id` where no API key stands for the client (RFC 9068 section 2.2 demands one).
const CLIENT: &str = "qlp-edge";

/// Issues tokens for verified principals. What a token says is the principal's or less.
pub(crate) struct Issuer {
    config: Config,
}

/// Whom a token is for.
#[derive(Clone, Copy)]
enum Audience<'a> {
    /// Supabase and the edge itself, as the user.
    Users,
    /// One of the platform's services.
    Service(&'a str),
}

impl Issuer {
    pub(crate) fn new(config: Config) -> Self {
        Self { config }
    }

    /// A token for `subject`. Its scopes are among the subject's, its end is not after the subject's, and its organization
    /// is the subject's.
    pub(crate) async fn issue(
        &self,
        subject: &Principal,
        wish: &Wish,
        context: &Context,
    ) -> Result<Issued, ExchangeError> {
        if subject.lacks_second_factor() {
            return Err(ExchangeError::NoSecondFactor);
        }
        let audience = self.audience(wish.audience.as_deref())?;
        let scopes = scopes(subject, wish)?;
        let actors = actors(subject, wish)?;
        let now = context.clock.now();
        let expires_at = expiry(subject, wish, now)?;
        let mut claims = self.claims(subject, audience)?;
        claims.insert("scope".into(), scopes.join(" ").into());
        claims.insert("jti".into(), context.new_id().to_string().into());
        claims.insert("iat".into(), now.as_second().into());
        claims.insert("exp".into(), expires_at.as_second().into());
        if let Some(act) = act(&actors) {
            claims.insert("act".into(), act);
        }
        let token = self.sign(audience, &Value::Object(claims), context).await?;
        let expires_in = expires_at.as_second().saturating_sub(now.as_second());
        Ok(Issued { token, expires_at, expires_in: u64::try_from(expires_in).unwrap_or(0), scopes })
    }

    fn audience<'a>(&self, wanted: Option<&'a str>) -> Result<Audience<'a>, ExchangeError> {
        match wanted {
            None => Ok(Audience::Users),
            Some(name) if name == self.config.audience => Ok(Audience::Users),
            Some(name) if self.config.edge.service_audiences.iter().any(|known| known == name) => {
                Ok(Audience::Service(name))
            }
            Some(_) => Err(ExchangeError::UnknownAudience),
        }
    }

    /// Who the subject is, in the form that the audience reads. There is no session: nothing can be refreshed or signed
    /// out with such a token, and Supabase Auth does nothing for it.
    fn claims(&self, subject: &Principal, audience: Audience<'_>) -> Result<Map<String, Value>, ExchangeError> {
        let mut claims = Map::new();
        let mut add = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
        add("sub", subject.user_id.to_string().into());
        add("client_id", subject.key_id.map_or_else(|| CLIENT.to_owned(), |id| id.to_string()).into());
        if let Some(id) = subject.key_id {
            add("key_id", id.to_string().into());
        }
        match audience {
            Audience::Users => {
                add("iss", self.config.issuer.as_str().into());
                add("aud", self.config.audience.as_str().into());
                add("role", "authenticated".into());
                add("exchanged", true.into());
                add("session_id", NO_SESSION.into());
                add("is_anonymous", subject.is_anonymous.into());
                add("aal", subject.aal.as_deref().unwrap_or("aal1").into());
                add("app_metadata", membership(subject));
            }
            Audience::Service(name) => {
                let issuer = self.config.edge.issuer.as_deref().ok_or(ExchangeError::NotConfigured)?;
                add("iss", issuer.into());
                add("aud", name.into());
                if let Value::Object(membership) = membership(subject) {
                    claims.extend(membership);
                }
            }
        }
        Ok(claims)
    }

    /// With the legacy secret where Supabase still has one, and for services always with the edge's own key.
    async fn sign(
        &self,
        audience: Audience<'_>,
        claims: &Value,
        context: &Context,
    ) -> Result<SecretString, ExchangeError> {
        let secret = self.config.hs256_secret.as_ref().filter(|_| matches!(audience, Audience::Users));
        if let Some(secret) = secret {
            let input = signing_input(&json!({"alg": "HS256", "typ": "at+jwt"}), claims);
            // HMAC takes keys of any length.
            let mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes());
            let mac = mac.map_err(|_| ExchangeError::NotConfigured)?.chain_update(&input).finalize();
            return Ok(compact(input, &mac.into_bytes()));
        }
        let keys = self.config.edge.signing_keys.as_ref().ok_or(ExchangeError::NotConfigured)?;
        let (id, key) = keys.current().ok_or(ExchangeError::NotConfigured)?;
        let input = signing_input(&json!({"alg": "ES256", "kid": id, "typ": "at+jwt"}), claims);
        let signature = context.signer.sign(key, input.as_bytes()).await?;
        Ok(compact(input, &signature))
    }
}

/// What concerns the organization, the epoch, and what an API key may ask of a language model, under the names that access tokens have in `app_metadata`.
fn membership(subject: &Principal) -> Value {
    let mut membership = json!({
        "org_id": subject.org_id,
        "roles": subject.roles,
        "tier": subject.tier,
        "requires_aal2": subject.requires_aal2,
        "authz_epoch": subject.authz_epoch,
    });
    if let Some(members) = membership.as_object_mut() {
        if !subject.llm.is_default() {
            members.insert("llm".into(), json!(subject.llm));
        }
        if subject.logs_prompts {
            members.insert("logs_prompts".into(), true.into());
        }
    }
    membership
}

/// All of the subject's scopes, or those asked for if the subject has every one.
fn scopes(subject: &Principal, wish: &Wish) -> Result<Vec<String>, ExchangeError> {
    let Some(wanted) = &wish.scopes else { return Ok(subject.scopes.clone()) };
    if !wanted.iter().all(|scope| subject.has_scope(scope)) {
        return Err(ExchangeError::ScopeNotHeld);
    }
    Ok(SCOPES.iter().filter(|&scope| wanted.iter().any(|wanted| wanted == scope)).map(|&scope| scope.into()).collect())
}

/// Who acts, the latest first.
fn actors(subject: &Principal, wish: &Wish) -> Result<Vec<String>, ExchangeError> {
    let actor = wish.actor.iter().map(|actor| actor.subject.clone());
    let actors: Vec<_> = actor.chain(subject.actors.iter().cloned()).collect();
    if actors.len() > MAX_ACTORS { Err(ExchangeError::TooManyActors) } else { Ok(actors) }
}

/// RFC 8693 section 4.1: the latest actor outside, the earlier ones within.
fn act(actors: &[String]) -> Option<Value> {
    actors.iter().rev().fold(None, |earlier, actor| {
        let mut act = json!({"sub": actor});
        if let (Some(members), Some(earlier)) = (act.as_object_mut(), earlier) {
            members.insert("act".into(), earlier);
        }
        Some(act)
    })
}

/// In whole seconds, rounded down, so that no token outlives its subject.
fn expiry(subject: &Principal, wish: &Wish, now: Timestamp) -> Result<Timestamp, ExchangeError> {
    let ends = [subject.expires_at, wish.actor.as_ref().and_then(|actor| actor.expires_at)];
    let end = ends.into_iter().flatten().fold(now + LIFETIME, Timestamp::min);
    let end = Timestamp::from_second(end.as_second()).ok_or(ExchangeError::Expired)?;
    if end > now { Ok(end) } else { Err(ExchangeError::Expired) }
}

fn signing_input(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

fn compact(mut input: String, signature: &[u8]) -> SecretString {
    input.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut input);
    SecretString::from(input)
}
