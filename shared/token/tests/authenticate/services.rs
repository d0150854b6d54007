//! Services prove who they are with keys of their own, and are nobody's user.

use platform::fakes::Host;
use serde_json::{Value, json};
use token::{Authenticator, Reason, Refusal, Service, ServiceKeys, TokenType};

use crate::support::*;

const SCOPE: &str = "limits:check";

fn service_claims() -> Value {
    json!({"iss": "orchestrator", "sub": "orchestrator-1", "aud": EDGE, "scope": "limits:check metrics", "iat": BEGIN, "exp": BEGIN + 60})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = service_claims();
    claims[name] = value;
    claims
}

fn authenticator() -> Authenticator {
    let named = |key: &Key, issuer: &str| {
        let mut jwk = key.jwk();
        jwk["iss"] = json!(issuer);
        jwk
    };
    let keys = json!({"keys": [named(&Key::new("s1", 5), "orchestrator"), named(&Key::new("s1", 6), "agents")]});
    let mut config = inline_config(&[Key::new("k1", 1).jwk()], None);
    config.edge = edge_config();
    config.edge.service_keys = ServiceKeys::parse(keys.to_string().as_bytes()).unwrap();
    Authenticator::new(config)
}

fn service(token: &str) -> Result<Service, Refusal> {
    let host = Host::new();
    host.block_on(authenticator().require_service_scope(&bearer(token), SCOPE, &context(&host)))
}

#[test]
fn a_service_is_known_by_its_key_and_has_the_scopes_of_its_token() {
    let service = service(&Key::new("s1", 5).token(&service_claims())).unwrap();
    assert_eq!((&*service.issuer, &*service.name), ("orchestrator", "orchestrator-1"));
    assert_eq!(service.scopes, ["limits:check", "metrics"]);
    assert_eq!(service.require_scope("other"), Err(Refusal::InsufficientScope("other")));
}

#[test]
fn each_rule_for_a_service_s_token_holds() {
    let key = Key::new("s1", 5);
    for (claims, expected) in [
        (with("iss", json!("agents")), Reason::BadSignature),
        (with("iss", json!("stranger")), Reason::WrongIssuer),
        (with("iss", json!(ISSUER)), Reason::WrongIssuer),
        (with("iss", json!(EDGE)), Reason::WrongIssuer),
        (with("aud", json!("authenticated")), Reason::WrongAudience),
        (with("aud", json!(null)), Reason::WrongAudience),
        (with("sub", json!("")), Reason::WrongSubject),
        (with("sub", json!("a b")), Reason::WrongSubject),
        (with("sub", json!(USER)), Reason::WrongSubject),
        (with("sub", json!(1)), Reason::BadClaims),
        (with("scope", json!(["limits:check"])), Reason::BadClaims),
        (with("scope", json!("x ".repeat(65))), Reason::BadClaims),
        (with("exp", json!(BEGIN - 31)), Reason::Expired),
        (with("exp", json!(null)), Reason::BadClaims),
        (with("exp", json!(BEGIN + 25 * 3600)), Reason::LivesTooLong),
        (with("nbf", json!(BEGIN + 60)), Reason::NotYetValid),
    ] {
        assert_eq!(service(&key.token(&claims)), Err(expected.into()), "{claims}");
    }
    assert_eq!(service(&Key::new("s2", 5).token(&service_claims())), Err(Reason::UnknownKey.into()));
    assert_eq!(service(&key.sign(&json!({"alg": "ES256"}), &service_claims())), Err(Reason::NoKeyId.into()));
    assert_eq!(
        service(&mac(b"s1", r#"{"alg":"HS256","kid":"s1"}"#, &service_claims())),
        Err(Reason::KeyMismatch.into())
    );
    assert_eq!(service(&key.token(&with("scope", json!("metrics")))), Err(Refusal::InsufficientScope(SCOPE)));
    assert_eq!(service(&key.token(&with("scope", json!(null)))), Err(Refusal::InsufficientScope(SCOPE)));
}

#[test]
fn no_service_is_a_user_and_no_user_a_service() {
    let token = Key::new("s1", 5).token(&service_claims());
    assert_eq!(reason(&authenticator(), &token), Reason::WrongIssuer);
    assert_eq!(service(&Key::new("k1", 1).token(&claims())), Err(Reason::WrongIssuer.into()));
    assert_eq!(service("qlp_test_0123456789ABCDEFGHIJKLMNOPQ3BQI4O"), Err(Reason::NotAService.into()));
    // With the user's claims under a service's key, or a service's claims under the users' key, nobody gets in.
    assert_eq!(reason(&authenticator(), &Key::new("s1", 5).token(&claims())), Reason::UnknownKey);
    assert_eq!(service(&Key::new("k1", 1).token(&service_claims())), Err(Reason::UnknownKey.into()));
    let host = Host::new();
    let nothing = host.block_on(authenticator().require_service_scope(&http::HeaderMap::new(), SCOPE, &context(&host)));
    assert_eq!(nothing, Err(Refusal::Missing));
}

#[test]
fn a_service_or_a_user_can_be_the_actor() {
    let host = Host::new();
    let actor = |token: &str| {
        let authenticator = authenticator();
        host.block_on(authenticator.actor(token, TokenType::Jwt, None, &context(&host)))
    };
    let acting = actor(&Key::new("s1", 5).token(&service_claims())).unwrap();
    assert_eq!((&*acting.subject, acting.expires_at.unwrap().as_second()), ("orchestrator-1", BEGIN + 60));
    assert_eq!(actor(&Key::new("k1", 1).token(&claims())).unwrap().subject, USER);
    assert_eq!(actor(&Key::new("s1", 6).token(&service_claims())).err(), Some(Reason::BadSignature.into()));
}
