use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use platform::VerifierError;
use platform::fakes::Host;
use proptest::prelude::*;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use token::{Authenticator, Method, Reason, Refusal, Role, Tier};

use crate::support::*;

const SECRET: &str = "a-legacy-secret-of-32-characters";

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn rsa_jwk() -> Value {
    json!({"kty": "RSA", "kid": "rsa", "alg": "RS256", "use": "sig", "n": RS256_MODULUS, "e": "AQAB"})
}

#[test]
fn an_access_token_says_who_is_calling() {
    let key = Key::new("k1", 1);
    let token = key.token(&claims());
    let caller = authenticate(&inline(&[key.jwk()]), &token).unwrap();
    let principal = &caller.principal;
    assert_eq!(principal.user_id.to_string(), USER);
    assert_eq!(principal.org_id.unwrap().to_string(), "00000000-0000-4000-8000-00000000000a");
    assert_eq!(
        (principal.roles.as_slice(), principal.tier, principal.method),
        (&[Role::Owner][..], Tier::T2, Method::AccessToken)
    );
    assert_eq!(principal.expires_at.unwrap().as_second(), BEGIN + 3600);
    assert_eq!(caller.access_token().unwrap().expose_secret(), token);
    assert!(caller.require_scope("llm").is_ok());
    assert_eq!(caller.require_scope("admin"), Err(Refusal::InsufficientScope("admin")));
    let shown = serde_json::to_value(&**principal).unwrap();
    assert_eq!(
        (&shown["method"], &shown["roles"], &shown["tier"]),
        (&json!("access_token"), &json!(["owner"]), &json!("T2"))
    );
    assert!(!format!("{caller:?}").contains(&token));
}

#[test]
fn where_a_second_factor_is_required_nothing_is_done_without_one() {
    let key = Key::new("k1", 1);
    let caller = |aal: &Value, required: bool| {
        let mut claims = claims();
        claims["aal"] = aal.clone();
        claims["app_metadata"]["requires_aal2"] = json!(required);
        authenticate(&inline(&[key.jwk()]), &key.token(&claims)).unwrap()
    };
    for aal in [json!("aal1"), json!("aal3"), json!(""), json!(null)] {
        let refused = caller(&aal, true);
        assert_eq!(refused.require_scope("llm"), Err(Refusal::NoSecondFactor), "{aal}");
        assert_eq!(refused.require_scope("admin"), Err(Refusal::NoSecondFactor), "{aal}");
        assert!(refused.access_token().is_some(), "the account itself is still the user's");
        assert!(caller(&aal, false).require_scope("llm").is_ok(), "{aal}");
    }
    assert!(caller(&json!("aal2"), true).require_scope("llm").is_ok());
}

#[test]
fn an_anonymous_user_has_no_identity_and_may_use_the_llm() {
    let key = Key::new("k1", 1);
    for anonymous in [true, false] {
        let token = key.token(&with("is_anonymous", json!(anonymous)));
        let caller = authenticate(&inline(&[key.jwk()]), &token).unwrap();
        assert!(caller.require_scope("llm").is_ok());
        assert_eq!(caller.require_identity().is_err(), anonymous);
    }
}

#[test]
fn rs256_and_legacy_hs256_are_accepted_beside_es256() {
    let key = Key::new("k1", 1);
    let authenticator = Authenticator::new(inline_config(&[key.jwk(), rsa_jwk()], Some(SECRET)));
    assert!(authenticate(&authenticator, RS256_TOKEN).is_ok());
    assert!(authenticate(&authenticator, &key.token(&claims())).is_ok());
    for header in [r#"{"alg":"HS256","typ":"JWT"}"#, r#"{"alg":"HS256","kid":"legacy"}"#] {
        assert!(authenticate(&authenticator, &mac(SECRET.as_bytes(), header, &claims())).is_ok());
        assert_eq!(reason(&authenticator, &mac(b"another", header, &claims())), Reason::BadSignature);
    }
}

#[test]
fn hs256_is_refused_unless_configured() {
    let token = mac(SECRET.as_bytes(), r#"{"alg":"HS256"}"#, &claims());
    assert_eq!(reason(&inline(&[]), &token), Reason::AlgorithmNotAllowed);
    assert_eq!(reason(&inline(&[]), &mac(b"", r#"{"alg":"HS256"}"#, &claims())), Reason::AlgorithmNotAllowed);
}

#[test]
fn a_public_key_is_never_an_hmac_secret() {
    let key = Key::new("k1", 1);
    let authenticator = Authenticator::new(inline_config(&[key.jwk()], Some(SECRET)));
    let coordinate = URL_SAFE_NO_PAD.decode(key.jwk()["x"].as_str().unwrap()).unwrap();
    for secret in [key.jwk().to_string().into_bytes(), coordinate, Vec::new()] {
        for header in [r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","kid":"k1"}"#] {
            assert!(matches!(
                reason(&authenticator, &mac(&secret, header, &claims())),
                Reason::BadSignature | Reason::KeyMismatch
            ));
        }
    }
    let named_after_a_public_key = mac(SECRET.as_bytes(), r#"{"alg":"HS256","kid":"k1"}"#, &claims());
    assert_eq!(reason(&authenticator, &named_after_a_public_key), Reason::KeyMismatch);
}

#[test]
fn the_key_decides_the_algorithm_and_not_the_token() {
    let key = Key::new("rsa", 1);
    let authenticator = inline(&[rsa_jwk()]);
    assert_eq!(reason(&authenticator, &key.token(&claims())), Reason::KeyMismatch);
    let swapped = key.sign(&json!({"alg": "RS256", "kid": "k1"}), &claims());
    assert_eq!(reason(&inline(&[Key::new("k1", 1).jwk()]), &swapped), Reason::KeyMismatch);
}

#[test]
fn rejects_a_token_signed_by_another_key() {
    let (key, other) = (Key::new("k1", 1), Key::new("k1", 2));
    assert_eq!(reason(&inline(&[key.jwk()]), &other.token(&claims())), Reason::BadSignature);
    assert_eq!(reason(&inline(&[key.jwk()]), &Key::new("k2", 1).token(&claims())), Reason::UnknownKey);
}

#[test]
fn an_asymmetric_token_names_its_key() {
    let key = Key::new("k1", 1);
    let token = key.sign(&json!({"alg": "ES256", "typ": "JWT"}), &claims());
    let authenticator = Authenticator::new(inline_config(&[key.jwk()], Some(SECRET)));
    assert_eq!(reason(&authenticator, &token), Reason::NoKeyId);
}

#[test]
fn a_key_that_the_token_brings_along_is_not_used() {
    let (ours, theirs) = (Key::new("k1", 1), Key::new("k1", 2));
    let header = json!({"alg": "ES256", "kid": "k1", "jwk": theirs.jwk(), "jku": "https://evil.test/jwks.json",
                        "x5u": "https://evil.test/cert", "x5c": ["AAAA"]});
    assert_eq!(reason(&inline(&[ours.jwk()]), &theirs.sign(&header, &claims())), Reason::BadSignature);
    assert!(authenticate(&inline(&[ours.jwk()]), &ours.sign(&header, &claims())).is_ok());
}

#[test]
fn what_others_accept_by_mistake_is_refused() {
    let key = Key::new("k1", 1);
    let authenticator = inline(&[key.jwk()]);
    let header = json!({"alg": "ES256", "kid": "k1"});
    let without = |name: &str| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    for (claims, expected) in [
        (with("iss", json!("https://y.supabase.co/auth/v1")), Reason::WrongIssuer),
        (with("aud", json!("other")), Reason::WrongAudience),
        (without("aud"), Reason::WrongAudience),
        (without("role"), Reason::WrongRole),
        (without("iss"), Reason::WrongIssuer),
        (with("role", json!("service_role")), Reason::WrongRole),
        (with("role", json!("anon")), Reason::WrongRole),
        (without("exp"), Reason::BadClaims),
        (with("exp", json!(BEGIN - 31)), Reason::Expired),
        (with("sub", json!("")), Reason::WrongSubject),
        (with("nbf", json!(BEGIN + 60)), Reason::NotYetValid),
        (with("iat", json!(9_999_999_999_i64)), Reason::NotYetValid),
        (with("exp", json!(BEGIN + 7 * 24 * 3600)), Reason::LivesTooLong),
    ] {
        assert_eq!(reason(&authenticator, &key.sign(&header, &claims)), expected, "{claims}");
    }
    for (header, expected) in [
        (json!({"alg": "ES256", "kid": "k1", "crit": ["exp"]}), Reason::Extension),
        (json!({"alg": "ES256", "kid": "k1", "b64": false}), Reason::Extension),
        (json!({"alg": "ES256", "kid": "k1", "typ": "logout+jwt"}), Reason::WrongType),
        (json!({"alg": "none", "kid": "k1"}), Reason::AlgorithmNotAllowed),
    ] {
        assert_eq!(reason(&authenticator, &key.sign(&header, &claims())), expected, "{header}");
    }
    let twice = claims().to_string().replacen('{', r#"{"exp":1,"#, 1);
    assert_eq!(reason(&authenticator, &key.sign_text(&header.to_string(), &twice)), Reason::BadClaims);
    let huge = with("user_metadata", json!("x".repeat(1024 * 1024)));
    assert_eq!(reason(&authenticator, &key.sign(&header, &huge)), Reason::TooLong);
    let unsigned = format!("{}.", key.token(&claims()).rsplit_once('.').unwrap().0);
    assert_eq!(reason(&authenticator, &unsigned), Reason::BadSignature);
}

#[test]
fn a_supabase_key_is_no_user_s_credential() {
    for key in ["sb_publishable_x", "sb_secret_x", "x", "undefined", "null"] {
        assert_eq!(reason(&inline(&[]), key), Reason::NotCompact);
    }
}

#[test]
fn a_signature_that_the_host_cannot_check_is_neither_accepted_nor_refused() {
    let (host, key) = (Host::new(), Key::new("k1", 1));
    host.signatures.answer(Err(VerifierError("no crypto".into())));
    let refusal =
        host.block_on(inline(&[key.jwk()]).authenticate(sent(&bearer(&key.token(&claims()))), &host.context()));
    assert!(matches!(refusal, Err(Refusal::Unavailable { .. })));
}

#[test]
fn a_token_is_verified_once_in_five_minutes() {
    let (host, key) = (Host::new(), Key::new("k1", 1));
    let (authenticator, headers) = (inline(&[key.jwk()]), bearer(&key.token(&claims())));
    let authenticate = || host.block_on(authenticator.authenticate(sent(&headers), &host.context())).unwrap();
    let first = authenticate();
    host.clock.advance(std::time::Duration::from_secs(299));
    assert!(std::sync::Arc::ptr_eq(&first.principal, &authenticate().principal));
    assert_eq!(host.signatures.calls(), 1);
    host.clock.advance(std::time::Duration::from_secs(1));
    authenticate();
    assert_eq!(host.signatures.calls(), 2);
}

#[test]
fn a_token_that_was_verified_still_expires() {
    let (host, key) = (Host::new(), Key::new("k1", 1));
    let (authenticator, headers) = (inline(&[key.jwk()]), bearer(&key.token(&with("exp", json!(BEGIN + 60)))));
    let authenticate = || host.block_on(authenticator.authenticate(sent(&headers), &host.context())).map(drop);
    assert_eq!(authenticate(), Ok(()));
    host.clock.advance(std::time::Duration::from_secs(90));
    assert_eq!(authenticate(), Err(Reason::Expired.into()));
}

#[test]
fn one_token_s_verification_lets_no_other_token_in() {
    let (host, key) = (Host::new(), Key::new("k1", 1));
    let authenticator = inline(&[key.jwk()]);
    let good = key.token(&claims());
    let authenticate =
        |token: &str| host.block_on(authenticator.authenticate(sent(&bearer(token)), &context(&host))).map(drop);
    assert_eq!(authenticate(&good), Ok(()));
    let (signed, _) = good.rsplit_once('.').unwrap();
    let (_, other_signature) =
        Key::new("k1", 2).token(&claims()).rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert_eq!(authenticate(&format!("{signed}.{other_signature}")), Err(Reason::BadSignature.into()));
}

#[test]
fn authenticating_may_cross_threads() {
    fn assert_send<T: Send>(_: &T) {}
    let (authenticator, headers, context) = (inline(&[]), bearer("a.b.c"), Host::new().context());
    assert_send(&authenticator.authenticate(sent(&headers), &context));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_mutated_token_is_accepted(position in any::<proptest::sample::Index>(), replacement in "[0-9A-Za-z_.=-]") {
        let key = Key::new("k1", 1);
        let good = key.token(&claims());
        let position = position.index(good.len());
        let mut mutated = good.clone();
        mutated.replace_range(position..=position, &replacement);
        let accepted = authenticate(&inline(&[key.jwk()]), &mutated).is_ok();
        prop_assert_eq!(accepted, mutated == good);
    }

    #[test]
    fn no_combination_of_modes_lets_a_bad_credential_in(
        es256 in any::<bool>(),
        rs256 in any::<bool>(),
        legacy in any::<bool>(),
        credential in 0..8usize,
        beside in proptest::option::of("[ -~]{0,12}"),
    ) {
        let (key, stranger) = (Key::new("k1", 1), Key::new("k1", 2));
        let mut keys = Vec::new();
        keys.extend(es256.then(|| key.jwk()));
        keys.extend(rs256.then(rsa_jwk));
        let authenticator = Authenticator::new(inline_config(&keys, legacy.then_some(SECRET)));
        let bad = match credential {
            0 => "Bearer garbage".into(),
            1 => "Bearer sb_secret_garbage".into(),
            2 => "Basic dXNlcjpwYXNz".into(),
            3 => "Bearer qlp_test_0123456789ABCDEFGHIJKLMNOPQ3BQI4O".into(),
            4 => format!("Bearer {}", stranger.token(&claims())),
            5 => format!("bearer {}", key.token(&with("role", json!("service_role")))),
            6 => format!("Bearer {}", mac(b"guess", r#"{"alg":"HS256"}"#, &claims())),
            _ => format!("Bearer {}.", signing_input(r#"{"alg":"none"}"#, &claims().to_string())),
        };
        let mut headers = header("authorization", &bad);
        if let Some(other) = &beside {
            headers.extend(header("apikey", other));
        }
        let host = Host::new();
        let outcome = host.block_on(authenticator.authenticate(sent(&headers), &context(&host)));
        prop_assert!(matches!(outcome, Err(Refusal::Invalid(_))), "{outcome:?}");
    }
}
