use platform::Timestamp;
use serde::Deserialize as _;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::exchange::MAX_ACTORS;
use crate::principal::{Method, Principal, Role, SCOPES, Tier};
use crate::{LlmRules, Reason, Service, strict_json};

/// How far the issuer's clock may be from ours, in seconds.
const LEEWAY: f64 = 30.0;
/// The longest `exp − iat`, in seconds: Supabase allows a week, we do not.
const MAX_LIFETIME: f64 = 24.0 * 3600.0;
/// The longest name of a service or an actor, in bytes.
const MAX_NAME_BYTES: usize = 128;
/// The most scopes of a service.
const MAX_SERVICE_SCOPES: usize = 64;

/// The claims of an access token, not yet believed.
pub(crate) struct Claims(Map<String, Value>);

impl Claims {
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, Reason> {
        strict_json::object(payload).map(Self).map_err(|_| Reason::BadClaims)
    }

    pub(crate) fn check_issuer(&self, ours: &str) -> Result<(), Reason> {
        if self.issuer() == Some(ours) { Ok(()) } else { Err(Reason::WrongIssuer) }
    }

    pub(crate) fn issuer(&self) -> Option<&str> {
        self.0.get("iss").and_then(Value::as_str)
    }

    /// Checks what a user's token says about itself, and returns when it ends.
    pub(crate) fn check(&self, audience: &str, now: Timestamp) -> Result<Timestamp, Reason> {
        let expires_at = self.check_times(now)?;
        self.check_audience(audience)?;
        if self.text("role")? != Some("authenticated") {
            return Err(Reason::WrongRole);
        }
        Ok(expires_at)
    }

    /// Checks what a service's token says about itself, and returns who it is.
    pub(crate) fn service(&self, issuer: &str, audience: &str, now: Timestamp) -> Result<Service, Reason> {
        let expires_at = self.check_times(now)?;
        self.check_audience(audience)?;
        // A name in the form of a user's id could be taken for that user where it stands as an actor.
        let name =
            self.text("sub")?.filter(|name| is_name(name) && uuid(name).is_none()).ok_or(Reason::WrongSubject)?;
        let scopes: Vec<_> =
            self.text("scope")?.unwrap_or_default().split(' ').filter(|scope| !scope.is_empty()).collect();
        if scopes.len() > MAX_SERVICE_SCOPES {
            return Err(Reason::BadClaims);
        }
        let scopes = scopes.into_iter().map(str::to_owned).collect();
        Ok(Service { issuer: issuer.to_owned(), name: name.to_owned(), scopes, expires_at })
    }

    fn check_times(&self, now: Timestamp) -> Result<Timestamp, Reason> {
        let now = now.as_secs_f64();
        let expires = self.time("exp")?.ok_or(Reason::BadClaims)?;
        let (not_before, issued) = (self.time("nbf")?, self.time("iat")?);
        if now >= expires + LEEWAY {
            return Err(Reason::Expired);
        }
        if [not_before, issued].into_iter().flatten().any(|time| time > now + LEEWAY) {
            return Err(Reason::NotYetValid);
        }
        if expires - issued.unwrap_or(now + LEEWAY) > MAX_LIFETIME {
            return Err(Reason::LivesTooLong);
        }
        Timestamp::from_secs_f64(expires).ok_or(Reason::BadClaims)
    }

    /// Who the token says the caller is. Organization, roles and tier come from `app_metadata` only: a user can write
    /// `user_metadata`.
    pub(crate) fn principal(&self, expires_at: Timestamp) -> Result<Principal, Reason> {
        let app_metadata = match self.0.get("app_metadata") {
            None | Some(Value::Null) => &Map::new(),
            Some(Value::Object(members)) => members,
            Some(_) => return Err(Reason::BadClaims),
        };
        let exchanged = self.flag("exchanged")?;
        Ok(Principal {
            user_id: self.text("sub")?.and_then(uuid).ok_or(Reason::WrongSubject)?,
            org_id: organization(app_metadata)?,
            roles: roles(app_metadata),
            tier: app_metadata.get("tier").and_then(Value::as_str).map(Tier::named).unwrap_or_default(),
            scopes: self.scopes()?,
            llm: llm_rules(app_metadata)?,
            logs_prompts: flag(app_metadata, "logs_prompts")?,
            session_id: self.text("session_id")?.filter(|_| !exchanged).map(str::to_owned),
            email: self.text("email")?.filter(|address| !address.is_empty()).map(str::to_owned),
            is_anonymous: self.flag("is_anonymous")?,
            aal: self.text("aal")?.map(str::to_owned),
            requires_aal2: flag(app_metadata, "requires_aal2")?,
            method: if exchanged { Method::ExchangedToken } else { Method::AccessToken },
            key_id: self.text("key_id")?.map(|id| uuid(id).ok_or(Reason::BadClaims)).transpose()?,
            actors: self.actors()?,
            expires_at: Some(expires_at),
            authz_epoch: epoch(app_metadata)?,
        })
    }

    fn check_audience(&self, ours: &str) -> Result<(), Reason> {
        let contains = match self.0.get("aud") {
            Some(Value::String(one)) => one == ours,
            Some(Value::Array(many)) if many.iter().all(Value::is_string) => many.iter().any(|one| one == ours),
            _ => false,
        };
        if contains { Ok(()) } else { Err(Reason::WrongAudience) }
    }

    /// A token that was issued to an OAuth client has the scopes it names; any other has all.
    fn scopes(&self) -> Result<Vec<String>, Reason> {
        let named = self.text("scope")?;
        if named.is_none() && !self.0.contains_key("client_id") {
            return Ok(SCOPES.iter().map(|&scope| scope.to_owned()).collect());
        }
        let named = named.unwrap_or_default().split(' ');
        Ok(named.filter(|scope| SCOPES.contains(scope)).map(str::to_owned).collect())
    }

    /// The chain in `act`, from outside in.
    fn actors(&self) -> Result<Vec<String>, Reason> {
        let (mut actors, mut act) = (Vec::new(), self.0.get("act"));
        while let Some(Value::Object(members)) = act {
            let name = members.get("sub").and_then(Value::as_str).filter(|name| is_name(name));
            actors.push(name.ok_or(Reason::BadClaims)?.to_owned());
            act = members.get("act");
        }
        let is_chain = matches!(act, None | Some(Value::Null)) && actors.len() <= MAX_ACTORS;
        if is_chain { Ok(actors) } else { Err(Reason::BadClaims) }
    }

    fn time(&self, name: &str) -> Result<Option<f64>, Reason> {
        self.0
            .get(name)
            .map(|value| value.as_f64().filter(|time| time.is_finite()).ok_or(Reason::BadClaims))
            .transpose()
    }

    fn text(&self, name: &str) -> Result<Option<&str>, Reason> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or(Reason::BadClaims),
        }
    }

    fn flag(&self, name: &str) -> Result<bool, Reason> {
        flag(&self.0, name)
    }
}

fn flag(members: &Map<String, Value>, name: &str) -> Result<bool, Reason> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(value) => value.as_bool().ok_or(Reason::BadClaims),
    }
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A UUID in its usual form with hyphens, and in no other.
fn uuid(text: &str) -> Option<Uuid> {
    if text.len() == 36 { Uuid::try_parse(text).ok() } else { None }
}

fn organization(app_metadata: &Map<String, Value>) -> Result<Option<Uuid>, Reason> {
    match app_metadata.get("org_id") {
        None | Some(Value::Null) => Ok(None),
        Some(id) => id.as_str().and_then(uuid).map(Some).ok_or(Reason::BadClaims),
    }
}

/// Zero, which every change supersedes, for a token that was made without the hook.
fn epoch(app_metadata: &Map<String, Value>) -> Result<u64, Reason> {
    match app_metadata.get("authz_epoch") {
        None | Some(Value::Null) => Ok(0),
        Some(epoch) => epoch.as_u64().ok_or(Reason::BadClaims),
    }
}

/// Those of the API key that the token was exchanged for.
fn llm_rules(app_metadata: &Map<String, Value>) -> Result<LlmRules, Reason> {
    match app_metadata.get("llm") {
        None | Some(Value::Null) => Ok(LlmRules::default()),
        Some(rules @ Value::Object(_)) => LlmRules::deserialize(rules).map_err(|_| Reason::BadClaims),
        Some(_) => Err(Reason::BadClaims),
    }
}

/// Words that are no role of ours give nothing.
fn roles(app_metadata: &Map<String, Value>) -> Vec<Role> {
    let many = app_metadata.get("roles").and_then(Value::as_array).into_iter().flatten();
    many.filter_map(Value::as_str).filter_map(Role::named).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn valid() -> Value {
        json!({"iss": "https://x.test/auth/v1", "sub": "00000000-0000-4000-8000-000000000001", "aud": "authenticated",
               "exp": NOW + 3600, "iat": NOW, "role": "authenticated"})
    }

    fn check(claims: &Value) -> Result<Principal, Reason> {
        let claims = Claims::parse(claims.to_string().as_bytes())?;
        claims.check_issuer("https://x.test/auth/v1")?;
        claims.principal(claims.check("authenticated", Timestamp::from_second(NOW).unwrap())?)
    }

    fn with(name: &str, value: Value) -> Result<Principal, Reason> {
        let mut claims = valid();
        claims[name] = value;
        check(&claims)
    }

    fn without(name: &str) -> Result<Principal, Reason> {
        let mut claims = valid();
        claims.as_object_mut().unwrap().remove(name);
        check(&claims)
    }

    #[test]
    fn exp_is_required_finite_and_a_number() {
        assert_eq!(without("exp"), Err(Reason::BadClaims));
        for value in [json!("1800003600"), json!(null), json!([NOW]), json!(true)] {
            assert_eq!(with("exp", value), Err(Reason::BadClaims));
        }
        assert!(with("exp", json!(1_800_003_600.5)).is_ok());
    }

    #[test]
    fn a_token_ends_30_seconds_after_exp() {
        assert!(with("exp", json!(NOW - 29)).is_ok());
        for exp in [NOW - 30, 0, -1, i64::MIN] {
            assert_eq!(with("exp", json!(exp)), Err(Reason::Expired));
        }
    }

    #[test]
    fn nbf_and_iat_may_lie_30_seconds_ahead() {
        for name in ["nbf", "iat"] {
            assert!(with(name, json!(NOW + 30)).is_ok());
            assert_eq!(with(name, json!(NOW + 31)), Err(Reason::NotYetValid));
            assert_eq!(with(name, json!(9_999_999_999_u64)), Err(Reason::NotYetValid));
            assert_eq!(with(name, json!("0")), Err(Reason::BadClaims));
        }
    }

    #[test]
    fn a_token_lives_at_most_24_hours_also_without_iat() {
        assert!(with("exp", json!(NOW + 24 * 3600)).is_ok());
        assert_eq!(with("exp", json!(NOW + 24 * 3600 + 1)), Err(Reason::LivesTooLong));
        assert_eq!(with("exp", json!(1e300)), Err(Reason::LivesTooLong));
        let mut claims = valid();
        claims.as_object_mut().unwrap().remove("iat");
        assert!(check(&claims).is_ok());
        claims["exp"] = json!(NOW + 25 * 3600);
        assert_eq!(check(&claims), Err(Reason::LivesTooLong));
    }

    #[test]
    fn the_issuer_is_exact() {
        assert_eq!(without("iss"), Err(Reason::WrongIssuer));
        for issuer in ["https://x.test/auth/v1/", "https://X.test/auth/v1", "https://y.test/auth/v1", ""] {
            assert_eq!(with("iss", json!(issuer)), Err(Reason::WrongIssuer));
        }
        assert_eq!(with("iss", json!(["https://x.test/auth/v1"])), Err(Reason::WrongIssuer));
    }

    #[test]
    fn the_audience_contains_ours_as_a_string_or_in_an_array() {
        assert!(with("aud", json!(["other", "authenticated"])).is_ok());
        assert_eq!(without("aud"), Err(Reason::WrongAudience));
        for audience in
            [json!("other"), json!([]), json!(["other"]), json!(["authenticated", 1]), json!(null), json!("")]
        {
            assert_eq!(with("aud", audience), Err(Reason::WrongAudience));
        }
    }

    #[test]
    fn the_subject_is_a_uuid() {
        assert_eq!(without("sub"), Err(Reason::WrongSubject));
        for subject in ["", "user", "{00000000-0000-4000-8000-000000000001}", "00000000000040008000000000000001"] {
            assert_eq!(with("sub", json!(subject)), Err(Reason::WrongSubject));
        }
        assert_eq!(with("sub", json!(1)), Err(Reason::BadClaims));
    }

    #[test]
    fn only_the_role_of_signed_in_users_is_let_in() {
        assert_eq!(without("role"), Err(Reason::WrongRole));
        for role in ["service_role", "anon", "supabase_admin", "Authenticated", ""] {
            assert_eq!(with("role", json!(role)), Err(Reason::WrongRole));
        }
    }

    #[test]
    fn organization_roles_and_tier_come_from_app_metadata_and_never_from_user_metadata() {
        let org = "00000000-0000-4000-8000-00000000000a";
        let metadata = json!({"org_id": org, "roles": ["admin", "emperor", 1], "tier": "T2"});
        let trusted = with("app_metadata", metadata.clone()).unwrap();
        assert_eq!((trusted.org_id, trusted.tier), (Some(Uuid::parse_str(org).unwrap()), Tier::T2));
        assert_eq!(trusted.roles, [Role::Admin]);
        let untrusted = with("user_metadata", metadata).unwrap();
        assert_eq!((untrusted.org_id, untrusted.tier, untrusted.roles.len()), (None, Tier::T1, 0));
        assert_eq!(with("app_metadata", json!({"org_id": "mine"})), Err(Reason::BadClaims));
        assert_eq!(with("app_metadata", json!("x")), Err(Reason::BadClaims));
        assert_eq!(with("app_metadata", json!({"authz_epoch": 7})).unwrap().authz_epoch, 7);
        assert!(with("app_metadata", json!({"requires_aal2": true})).unwrap().requires_aal2);
        assert_eq!(with("app_metadata", json!({"requires_aal2": "false"})), Err(Reason::BadClaims));
        assert_eq!(
            with("app_metadata", json!({"llm": {"max_output_tokens": 9}})).unwrap().llm.max_output_tokens,
            Some(9)
        );
        for rules in [json!([]), json!({"allowed_models": "m"}), json!({"cache": "always"})] {
            assert_eq!(with("app_metadata", json!({"llm": rules})), Err(Reason::BadClaims));
        }
        for epoch in [json!(-1), json!("7"), json!(0.5)] {
            assert_eq!(with("app_metadata", json!({"authz_epoch": epoch})), Err(Reason::BadClaims));
        }
    }

    #[test]
    fn an_oauth_client_has_only_the_scopes_that_its_token_names() {
        assert_eq!(check(&valid()).unwrap().scopes, SCOPES);
        assert_eq!(with("scope", json!("openid llm")).unwrap().scopes, ["llm"]);
        assert!(with("client_id", json!("app")).unwrap().scopes.is_empty());
    }

    #[test]
    fn optional_claims_have_the_right_type_or_the_token_is_refused() {
        for name in ["session_id", "email", "aal", "scope"] {
            assert_eq!(with(name, json!(7)), Err(Reason::BadClaims));
        }
        assert_eq!(with("is_anonymous", json!("false")), Err(Reason::BadClaims));
        assert!(with("is_anonymous", json!(true)).unwrap().is_anonymous);
    }
}
