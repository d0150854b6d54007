//! Exchange never widens: whatever comes out can do no more than what went in.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use platform::fakes::Host;
use platform::{SignerError, Timestamp};
use proptest::prelude::*;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use signature::PureRustSigner;
use token::{Actor, Authenticator, ExchangeError, Issued, Method, Principal, SCOPES, TokenType, Wish};

use crate::support::*;

const KEY: &str = "qlp_test_0123456789ABCDEFGHIJKLMNOPQ3BQI4O";
const KEY_ID: &str = "00000000-0000-4000-8000-0000000000aa";
const ORG: &str = "00000000-0000-4000-8000-00000000000a";
const LEGACY: &str = "a legacy secret of 32 bytes, at least";

/// How Supabase's tokens are signed where the edge issues them.
#[derive(Debug, Clone, Copy)]
enum Signs {
    Es256,
    Hs256,
}

struct Edge {
    host: Host,
    supabase: Key,
    authenticator: Authenticator,
}

impl Edge {
    fn new(signs: Signs) -> Self {
        let supabase = Key::new("k1", 1);
        let legacy = matches!(signs, Signs::Hs256).then_some(LEGACY);
        let config = token::Config {
            project: Some(with_pepper()),
            edge: edge_config(),
            ..inline_config(&[supabase.jwk()], legacy)
        };
        Self { host: Host::new(), supabase, authenticator: Authenticator::new(config) }
    }

    fn context(&self) -> platform::Context {
        platform::Context { signer: Arc::new(PureRustSigner), ..context(&self.host) }
    }

    fn subject(&self, token: &str, kind: TokenType) -> Arc<Principal> {
        self.host.block_on(self.authenticator.subject(token, kind, None, &self.context())).unwrap()
    }

    fn api_key(&self, found: &Value) -> Arc<Principal> {
        self.host.http.reply_json(200, found.to_string());
        self.subject(KEY, TokenType::ApiKey)
    }

    fn user(&self, claims: &Value) -> Arc<Principal> {
        self.subject(&self.supabase.token(claims), TokenType::Jwt)
    }

    fn exchange(&self, subject: &Principal, wish: &Wish) -> Result<Issued, ExchangeError> {
        self.host.block_on(self.authenticator.exchange(subject, wish, &self.context()))
    }

    /// The issued token, as the edge sees it when it is sent back.
    fn again(&self, issued: &Issued) -> Arc<Principal> {
        self.subject(issued.token.expose_secret(), TokenType::AccessToken)
    }
}

fn found(scopes: &[&str]) -> Value {
    json!({"key_id": KEY_ID, "user_id": USER, "org_id": ORG, "roles": ["developer"], "tier": "T2", "pepper_version": 1, "scopes": scopes,
           "authz_epoch": 3})
}

fn part(token: &str, index: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

#[test]
fn the_rules_of_a_key_hold_for_the_token_too_and_for_one_that_it_is_exchanged_for() {
    let edge = Edge::new(Signs::Es256);
    let mut found = found(&["llm"]);
    found["llm"] = json!({"allowed_models": ["m"], "allowed_endpoints": ["/v1/embeddings"], "max_output_tokens": 7, "cache": "read"});
    found["logs_prompts"] = json!(true);
    let subject = edge.api_key(&found);
    assert_eq!(serde_json::to_value(&subject.llm).unwrap(), found["llm"]);
    let once = edge.again(&edge.exchange(&subject, &Wish::default()).unwrap());
    let twice = edge.again(&edge.exchange(&once, &Wish::default()).unwrap());
    assert_eq!((&once.llm, &twice.llm), (&subject.llm, &subject.llm));
    assert!(once.logs_prompts && twice.logs_prompts, "nor does it escape the log of prompts");
}

#[test]
fn an_api_key_becomes_a_token_that_supabase_and_the_edge_accept() {
    for signs in [Signs::Es256, Signs::Hs256] {
        let edge = Edge::new(signs);
        let subject = edge.api_key(&found(&["llm", "usage:read"]));
        let issued = edge.exchange(&subject, &Wish::default()).unwrap();
        assert_eq!((issued.expires_in, issued.scopes.len()), (300, 2));
        let (header, claims) = (part(issued.token.expose_secret(), 0), part(issued.token.expose_secret(), 1));
        assert_eq!(header["typ"], "at+jwt");
        match signs {
            Signs::Es256 => assert_eq!((&header["alg"], &header["kid"]), (&json!("ES256"), &json!("e1"))),
            Signs::Hs256 => assert_eq!((&header["alg"], &header["kid"]), (&json!("HS256"), &Value::Null)),
        }
        let metadata =
            json!({"org_id": ORG, "roles": ["developer"], "tier": "T2", "requires_aal2": false, "authz_epoch": 3});
        for (name, expected) in [
            ("iss", json!(ISSUER)),
            ("aud", json!("authenticated")),
            ("role", json!("authenticated")),
            ("sub", json!(USER)),
            ("scope", json!("llm usage:read")),
            ("client_id", json!(KEY_ID)),
            ("key_id", json!(KEY_ID)),
            ("app_metadata", metadata),
            ("exp", json!(BEGIN + 300)),
            ("session_id", json!("none")),
            ("act", Value::Null),
        ] {
            assert_eq!(claims[name], expected, "{name}");
        }
        let principal = edge.again(&issued);
        assert_eq!((principal.method, principal.key_id), (Method::ExchangedToken, subject.key_id));
        assert_eq!(principal.session_id, None);
        assert_eq!(
            (principal.org_id, &principal.roles, principal.tier),
            (subject.org_id, &subject.roles, subject.tier)
        );
    }
}

#[test]
fn every_token_has_an_id_of_its_own() {
    let edge = Edge::new(Signs::Es256);
    let subject = edge.api_key(&found(&["llm"]));
    let ids: BTreeSet<_> = (0..10)
        .map(|_| part(edge.exchange(&subject, &Wish::default()).unwrap().token.expose_secret(), 1)["jti"].to_string())
        .collect();
    assert_eq!(ids.len(), 10);
}

#[test]
fn a_token_for_a_service_is_the_edge_s_own_and_no_credential_here() {
    for signs in [Signs::Es256, Signs::Hs256] {
        let edge = Edge::new(signs);
        let wish = Wish { audience: Some("pool".into()), ..Wish::default() };
        let issued = edge.exchange(&edge.api_key(&found(&["executions"])), &wish).unwrap();
        let (header, claims) = (part(issued.token.expose_secret(), 0), part(issued.token.expose_secret(), 1));
        assert_eq!((&header["alg"], &header["kid"]), (&json!("ES256"), &json!("e1")));
        assert_eq!((&claims["iss"], &claims["aud"], &claims["org_id"]), (&json!(EDGE), &json!("pool"), &json!(ORG)));
        assert!(claims.get("role").is_none() && claims.get("app_metadata").is_none(), "{claims}");
        let context = edge.context();
        let sent = edge.authenticator.subject(issued.token.expose_secret(), TokenType::Jwt, None, &context);
        let sent = edge.host.block_on(sent).unwrap_err();
        assert_eq!(sent, token::Reason::WrongIssuer.into());
    }
}

#[test]
fn an_unknown_audience_a_scope_not_held_and_a_chain_too_long_are_refused() {
    let edge = Edge::new(Signs::Es256);
    let subject = edge.api_key(&found(&["llm"]));
    let audience = |name: &str| Wish { audience: Some(name.into()), ..Wish::default() };
    for name in ["", "Pool", "anon", "https://x.supabase.co"] {
        assert_eq!(edge.exchange(&subject, &audience(name)).err(), Some(ExchangeError::UnknownAudience), "{name}");
    }
    assert!(edge.exchange(&subject, &audience("authenticated")).is_ok());
    for scope in ["webhooks", "root", ""] {
        let wish = Wish { scopes: Some(vec!["llm".into(), scope.into()]), ..Wish::default() };
        assert_eq!(edge.exchange(&subject, &wish).err(), Some(ExchangeError::ScopeNotHeld), "{scope}");
    }
    let acts = |name: &str| Wish { actor: Some(Actor { subject: name.into(), expires_at: None }), ..Wish::default() };
    let once = edge.again(&edge.exchange(&subject, &acts("pool")).unwrap());
    let twice = edge.exchange(&once, &acts("agents")).unwrap();
    assert_eq!(part(twice.token.expose_secret(), 1)["act"], json!({"sub": "agents", "act": {"sub": "pool"}}));
    let twice = edge.again(&twice);
    assert_eq!(twice.actors, ["agents", "pool"]);
    assert_eq!(edge.exchange(&twice, &acts("again")).err(), Some(ExchangeError::TooManyActors));
    assert_eq!(edge.again(&edge.exchange(&twice, &Wish::default()).unwrap()).actors, ["agents", "pool"]);
}

#[test]
fn no_token_outlives_its_subject_or_its_actor() {
    let edge = Edge::new(Signs::Es256);
    let mut claims = claims();
    claims["exp"] = json!(f64::from(u32::try_from(BEGIN).unwrap()) + 100.9);
    let subject = edge.user(&claims);
    let wish = |expires_at| Wish { actor: Some(Actor { subject: "pool".into(), expires_at }), ..Wish::default() };
    assert_eq!(edge.exchange(&subject, &Wish::default()).unwrap().expires_in, 100);
    assert_eq!(edge.exchange(&subject, &wish(Timestamp::from_second(BEGIN + 40))).unwrap().expires_in, 40);
    // The leeway lets the subject in for a while, but nothing new comes of it.
    edge.host.clock.advance(Duration::from_secs(110));
    assert_eq!(edge.exchange(&edge.user(&claims), &Wish::default()).err(), Some(ExchangeError::Expired));
    let mut key = found(&["llm"]);
    key["expires_at"] = json!("2026-01-01T00:02:00Z");
    assert_eq!(edge.exchange(&edge.api_key(&key), &Wish::default()).unwrap().expires_in, 10);
}

#[test]
fn without_a_key_and_with_a_host_that_cannot_sign_there_is_no_token() {
    let none = Authenticator::new(inline_config(&[Key::new("k1", 1).jwk()], None));
    let edge = Edge::new(Signs::Es256);
    let subject = edge.user(&claims());
    let host = Host::new();
    let outcome = host.block_on(none.exchange(&subject, &Wish::default(), &host.context()));
    assert_eq!(outcome.err(), Some(ExchangeError::NotConfigured));
    edge.host.signer.answer(Err(SignerError("no crypto".into())));
    let outcome = edge.host.block_on(edge.authenticator.exchange(&subject, &Wish::default(), &edge.host.context()));
    assert_eq!(outcome.err(), Some(ExchangeError::Host(SignerError("no crypto".into()))));
}

#[test]
fn the_legacy_secret_signs_no_token_that_names_a_key_of_the_edge() {
    let edge = Edge::new(Signs::Hs256);
    let header = r#"{"alg":"HS256","kid":"e1","typ":"at+jwt"}"#;
    let forged = mac(LEGACY.as_bytes(), header, &claims());
    let outcome = edge.host.block_on(edge.authenticator.subject(&forged, TokenType::Jwt, None, &edge.context()));
    assert_eq!(outcome.err(), Some(token::Reason::KeyMismatch.into()));
}

#[test]
fn a_token_of_another_type_than_was_said_is_refused() {
    let edge = Edge::new(Signs::Es256);
    let token = edge.supabase.token(&claims());
    for (token, kind) in
        [(KEY, TokenType::Jwt), (KEY, TokenType::AccessToken), (&*token, TokenType::ApiKey), ("", TokenType::Jwt)]
    {
        assert!(
            edge.host.block_on(edge.authenticator.subject(token, kind, None, &edge.context())).is_err(),
            "{kind:?}"
        );
    }
    assert!(edge.host.http.requests().is_empty());
}

prop_compose! {
    fn some_scopes()(chosen in proptest::collection::vec(any::<bool>(), SCOPES.len())) -> Vec<String> {
        SCOPES.iter().zip(chosen).filter(|(_, chosen)| *chosen).map(|(scope, _)| (*scope).to_owned()).collect()
    }
}

/// A subject's credential: an API key, or an access token with or without limits of its own.
#[derive(Debug, Clone)]
struct Subject {
    is_key: bool,
    scopes: Option<Vec<String>>,
    lifetime: Option<i64>,
    actors: usize,
    org: bool,
    requires_aal2: bool,
    aal: &'static str,
}

prop_compose! {
    fn some_subject()(
        is_key in any::<bool>(),
        scopes in proptest::option::of(some_scopes()),
        lifetime in proptest::option::of(1_i64..900),
        actors in 0..3_usize,
        org in any::<bool>(),
        requires_aal2 in any::<bool>(),
        aal in prop_oneof![Just("aal1"), Just("aal2")],
    ) -> Subject {
        Subject { is_key, scopes, lifetime, actors, org, requires_aal2, aal }
    }
}

impl Subject {
    fn principal(&self, edge: &Edge) -> Arc<Principal> {
        if self.is_key {
            let scopes = self.scopes.clone().unwrap_or_else(|| vec!["llm".into()]);
            let mut key = found(&scopes.iter().map(String::as_str).collect::<Vec<_>>());
            key["expires_at"] = json!(self.lifetime.and_then(|seconds| Timestamp::from_second(BEGIN + seconds)));
            return edge.api_key(&key);
        }
        let mut claims = claims();
        claims["exp"] = json!(BEGIN + self.lifetime.unwrap_or(3600));
        if let Some(scopes) = &self.scopes {
            claims["scope"] = json!(scopes.join(" "));
        }
        if !self.org {
            claims["app_metadata"] = json!({});
        }
        claims["app_metadata"]["requires_aal2"] = json!(self.requires_aal2);
        claims["aal"] = json!(self.aal);
        let act = (0..self.actors).fold(Value::Null, |inner, number| match inner {
            Value::Null => json!({"sub": format!("a{number}")}),
            inner => json!({"sub": format!("a{number}"), "act": inner}),
        });
        claims["act"] = act;
        edge.user(&claims)
    }
}

prop_compose! {
    fn some_wish()(
        scopes in proptest::option::of(some_scopes()),
        audience in proptest::option::of(prop_oneof![Just("authenticated"), Just("pool"), Just("other")]),
        actor in proptest::option::of(1_i64..900),
    ) -> Wish {
        let actor = actor.map(|seconds| Actor { subject: "orchestrator".into(), expires_at: Timestamp::from_second(BEGIN + seconds) });
        Wish { scopes, audience: audience.map(str::to_owned), actor }
    }
}

/// What the rules say, told another way: refusing everything would widen nothing either.
fn may_be_granted(subject: &Principal, wish: &Wish, now: Timestamp) -> bool {
    let lives = |end: Option<Timestamp>| end.is_none_or(|end| end.as_second() > now.as_second());
    let is_strong_enough = subject.key_id.is_some() || !subject.requires_aal2 || subject.aal.as_deref() == Some("aal2");
    is_strong_enough
        && wish.audience.as_deref() != Some("other")
        && wish.scopes.iter().flatten().all(|scope| subject.scopes.contains(scope))
        && subject.actors.len() + usize::from(wish.actor.is_some()) <= 2
        && lives(subject.expires_at)
        && lives(wish.actor.as_ref().and_then(|actor| actor.expires_at))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn exchange_never_widens(
        signs in prop_oneof![Just(Signs::Es256), Just(Signs::Hs256)],
        subject in some_subject(),
        wishes in proptest::collection::vec((some_wish(), 0_u64..120), 1..4),
    ) {
        let edge = Edge::new(signs);
        let first = subject.principal(&edge);
        let mut before = Arc::clone(&first);
        for (wish, pause) in wishes {
            edge.host.clock.advance(Duration::from_secs(pause));
            let now = edge.host.clock.now();
            let outcome = edge.exchange(&before, &wish);
            prop_assert_eq!(outcome.is_ok(), may_be_granted(&before, &wish, now), "{:?}", outcome.err());
            let Ok(issued) = outcome else { continue };
            prop_assert!(issued.expires_at > now && issued.expires_in <= 300);
            prop_assert!(issued.scopes.iter().all(|scope| before.has_scope(scope)));
            if let Some(wanted) = &wish.scopes {
                prop_assert!(issued.scopes.iter().all(|scope| wanted.contains(scope)));
            }
            if wish.audience.as_deref() == Some("pool") {
                let claims = part(issued.token.expose_secret(), 1);
                prop_assert_eq!(&claims["org_id"], &json!(before.org_id));
                prop_assert_eq!(&claims["sub"], &json!(before.user_id));
                continue;
            }
            let after = edge.again(&issued);
            prop_assert_eq!(&after.scopes, &issued.scopes);
            prop_assert_eq!(after.user_id, first.user_id);
            prop_assert_eq!(after.org_id, first.org_id);
            prop_assert_eq!(&after.roles, &first.roles);
            prop_assert_eq!(after.tier, first.tier);
            prop_assert_eq!(after.key_id, first.key_id);
            prop_assert_eq!(after.method, Method::ExchangedToken);
            prop_assert!(after.session_id.is_none());
            prop_assert!(after.is_anonymous == first.is_anonymous);
            prop_assert!(after.requires_aal2 == first.requires_aal2);
            prop_assert!(first.key_id.is_some() || after.aal == first.aal);
            prop_assert!(after.expires_at.is_some_and(|end| before.expires_at.is_none_or(|limit| end <= limit)));
            prop_assert!(after.actors.len() <= 2 && after.actors.ends_with(&before.actors));
            before = after;
        }
    }
}
