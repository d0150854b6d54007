//! `/auth/v1`.

use serde_json::{Value, json};

use crate::Test;
use crate::rig::{Answer, As, PASSWORD, Rig, Surface, User};

pub const TESTS: &[Test] = &[
    ("sign_up_answers_with_tokens_and_the_user", sign_up),
    ("sign_up_refuses_with_reasons", sign_up_refusals),
    ("errors_have_the_shape_of_the_version_that_is_asked_for", versions),
    ("a_wrong_password_and_an_unknown_account_are_answered_alike", wrong_password),
    ("a_banned_user_gets_no_tokens", banned),
    ("a_refresh_token_works_once_and_its_successor_is_given_again", refresh),
    ("a_refresh_token_that_is_used_too_late_ends_the_session", reuse),
    ("signing_out_ends_one_session_the_others_or_all", sign_out),
    ("keys_are_published_as_hosted_projects_publish_them", jwks),
    ("what_needs_no_key_is_the_discovery_alone", discovery),
    ("a_hook_that_fails_fails_the_sign_in", hook),
];

fn password_grant(surface: &Surface, email: &str, password: &str) -> Answer {
    let body = json!({ "email": email, "password": password });
    surface.post(As::Anonymous, "/auth/v1/token?grant_type=password", &body)
}

fn refresh_grant(surface: &Surface, token: &str) -> Answer {
    surface.post(As::Anonymous, "/auth/v1/token?grant_type=refresh_token", &json!({ "refresh_token": token }))
}

fn refresh_token(answer: &Answer) -> String {
    answer.json()["refresh_token"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

fn sign_up(rig: &Rig) {
    let body = json!({ "email": " Mixed.Case@Example.COM ", "password": PASSWORD, "data": { "name": "Mixed" } });
    let answer = rig.surface.post(As::Anonymous, "/auth/v1/signup", &body);
    let session = answer.json();
    assert_eq!((answer.status, &session["token_type"], &session["expires_in"]), (200, &json!("bearer"), &json!(3600)));
    let user = &session["user"];
    assert_eq!(
        [&user["email"], &user["role"], &user["aud"]],
        ["mixed.case@example.com", "authenticated", "authenticated"]
    );
    assert_eq!(user["user_metadata"]["name"], "Mixed");
    assert_eq!(user["identities"][0]["provider"], "email");
    assert!(user["email_confirmed_at"].is_string() && user["last_sign_in_at"].is_string());
    assert!(!answer.text.contains("encrypted_password") && !answer.text.contains("$2a$"));
    let again = rig.surface.post(As::Anonymous, "/auth/v1/signup", &body);
    assert_eq!(again.error(), (422, "user_already_exists".into()));
}

fn sign_up_refusals(rig: &Rig) {
    let cases = [
        (json!({}), 422, "anonymous_provider_disabled"),
        (json!({ "email": "nobody", "password": PASSWORD }), 400, "validation_failed"),
        (json!({ "email": "a@example.com" }), 400, "validation_failed"),
        (json!({ "email": "a@example.com", "password": "x".repeat(73) }), 400, "validation_failed"),
        (json!({ "email": "a@example.com", "password": "short" }), 422, "weak_password"),
        (json!({ "email": 1, "password": PASSWORD }), 400, "bad_json"),
        (json!([]), 400, "bad_json"),
    ];
    for (body, status, code) in cases {
        let answer = rig.surface.post(As::Anonymous, "/auth/v1/signup", &body);
        assert_eq!(answer.error(), (status, code.into()), "{body}");
        assert_eq!(answer.header("x-sb-error-code"), Some(code));
    }
    let weak =
        rig.surface.post(As::Anonymous, "/auth/v1/signup", &json!({ "email": "a@example.com", "password": "short" }));
    assert_eq!(weak.json()["weak_password"], json!({ "reasons": ["length"] }));
}

fn versions(rig: &Rig) {
    let body = json!({ "email": "nobody@example.com", "password": PASSWORD }).to_string();
    let path = "/auth/v1/token?grant_type=password";
    let first = rig.surface.send("POST", As::Anonymous, path, &[], &body).unwrap();
    let expected = json!({ "code": 400, "error_code": "invalid_credentials", "msg": "Invalid login credentials" });
    assert_eq!(first.json(), expected);
    let version = [("x-supabase-api-version", "2024-01-01")];
    let second = rig.surface.send("POST", As::Anonymous, path, &version, &body).unwrap();
    assert_eq!(second.json(), json!({ "code": "invalid_credentials", "message": "Invalid login credentials" }));
    assert_eq!(second.header("x-supabase-api-version"), Some("2024-01-01"));
}

fn wrong_password(rig: &Rig) {
    let user = rig.surface.sign_up();
    let wrong = password_grant(&rig.surface, &user.email, "wrong password");
    let unknown = password_grant(&rig.surface, "nobody-at-all@example.com", PASSWORD);
    assert_eq!((wrong.status, &wrong.text), (unknown.status, &unknown.text));
    assert_eq!(wrong.error(), (400, "invalid_credentials".into()));
    assert_eq!(password_grant(&rig.surface, &user.email.to_uppercase(), PASSWORD).status, 200);
    assert_eq!(password_grant(&rig.surface, &user.email, "").error(), (400, "invalid_credentials".into()));
    let unsupported = rig.surface.post(As::Anonymous, "/auth/v1/token?grant_type=magic", &json!({}));
    assert_eq!(unsupported.status, 400);
}

fn banned(rig: &Rig) {
    let user = rig.surface.sign_up();
    rig.sql(&format!("update auth.users set banned_until = now() + interval '1 day' where id = '{}'", user.id));
    assert_eq!(password_grant(&rig.surface, &user.email, PASSWORD).error(), (400, "user_banned".into()));
    assert_eq!(password_grant(&rig.surface, &user.email, "wrong").error(), (400, "invalid_credentials".into()));
    assert_eq!(refresh_grant(&rig.surface, user.refresh_token()).error(), (400, "user_banned".into()));
}

fn refresh(rig: &Rig) {
    let user = rig.surface.sign_up();
    let second = refresh_token(&refresh_grant(&rig.surface, user.refresh_token()));
    assert_ne!(second, user.refresh_token());
    let again = refresh_token(&refresh_grant(&rig.surface, user.refresh_token()));
    assert_eq!(again, second, "the answer may have been lost");
    assert_eq!(refresh_grant(&rig.surface, "unknown").error(), (400, "refresh_token_not_found".into()));
}

fn reuse(rig: &Rig) {
    let surface = rig.another("reuse"); // whose clock is moved
    let (quick, slow) = (surface.sign_up(), surface.sign_up());
    let used_twice = |user: &User| {
        let second = refresh_token(&refresh_grant(&surface, user.refresh_token()));
        refresh_token(&refresh_grant(&surface, &second))
    };
    let (_, third) = (used_twice(&quick), used_twice(&slow));
    surface.control("clock", &json!({ "offset_seconds": 9 }));
    assert_eq!(refresh_grant(&surface, quick.refresh_token()).status, 200, "within the tolerance for tabs");
    surface.control("clock", &json!({ "offset_seconds": 60 }));
    let already_used = (400, "refresh_token_already_used".to_owned());
    assert_eq!(refresh_grant(&surface, slow.refresh_token()).error(), already_used);
    assert_eq!(refresh_grant(&surface, &third).error(), already_used, "the thief and the owner are both out");
    surface.control("clock", &json!({ "offset_seconds": 3601 }));
    assert_eq!(surface.get(As::User(slow.token()), "/rest/v1/notes").error(), (401, "PGRST303".into()), "expired");
    assert_eq!(surface.get(As::User(slow.token()), "/auth/v1/user").error(), (403, "bad_jwt".into()));
}

fn sign_out(rig: &Rig) {
    let surface = &rig.surface;
    let first = surface.sign_up();
    let sign_in =
        || password_grant(surface, &first.email, PASSWORD).json()["access_token"].as_str().unwrap().to_owned();
    let is_in = |token: &str| surface.get(As::User(token), "/auth/v1/user").status == 200;
    let out = |token: &str, scope: &str| {
        surface.send("POST", As::User(token), &format!("/auth/v1/logout{scope}"), &[], "").unwrap().status
    };
    let (second, third) = (sign_in(), sign_in());
    assert_eq!(out(&second, "?scope=everywhere"), 400);
    assert_eq!(out(&second, "?scope=local"), 204);
    assert_eq!([is_in(first.token()), is_in(&second), is_in(&third)], [true, false, true]);
    assert_eq!(out(&third, "?scope=others"), 204);
    assert_eq!([is_in(first.token()), is_in(&third)], [false, true]);
    let fourth = sign_in();
    assert_eq!(out(&third, ""), 204);
    assert_eq!([is_in(&third), is_in(&fourth)], [false, false]);
    assert_eq!(surface.get(As::User(&third), "/auth/v1/user").error(), (403, "session_not_found".into()));
    assert_eq!(surface.get(As::Anonymous, "/auth/v1/user").error(), (401, "no_authorization".into()));
}

fn jwks(rig: &Rig) {
    let answer = rig.surface.get(As::Nobody, "/auth/v1/.well-known/jwks.json");
    assert_eq!(answer.header("cache-control"), Some("public, max-age=600"));
    let keys = answer.json()["keys"].as_array().unwrap().clone();
    assert_eq!(keys.len(), 1);
    let fields: Vec<_> = keys[0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields, ["alg", "crv", "ext", "key_ops", "kid", "kty", "use", "x", "y"], "and nothing private");
    assert_eq!([&keys[0]["alg"], &keys[0]["use"], &keys[0]["key_ops"][0]], ["ES256", "sig", "verify"]);
}

fn discovery(rig: &Rig) {
    let configuration = rig.surface.get(As::Nobody, "/auth/v1/.well-known/openid-configuration").json();
    assert_eq!(configuration["issuer"], format!("{}/auth/v1", rig.surface.url));
    for path in ["/auth/v1/health", "/auth/v1/settings"] {
        assert_eq!(rig.surface.get(As::Nobody, path).status, 401, "{path}");
        assert_eq!(rig.surface.get(As::Anonymous, path).status, 200, "{path}");
    }
    assert_eq!(rig.surface.get(As::Anonymous, "/auth/v1/nothing").status, 404);
    assert_eq!(rig.surface.get(As::Anonymous, "/auth/v1/signup").status, 405);
}

/// On a cluster of its own: every sign-in goes through the hook.
fn hook(_: &Rig) {
    let rig = Rig::start();
    let user = rig.surface.sign_up();
    let replace = |body: &str| {
        rig.sql(&format!(
            "create or replace function public.custom_access_token_hook(event jsonb) returns jsonb
             language plpgsql stable set search_path = '' as $$ begin {body} end $$"
        ));
    };
    replace("return jsonb_set(event, '{claims,extra}', to_jsonb(event ->> 'authentication_method'));");
    let token: Value = password_grant(&rig.surface, &user.email, PASSWORD).json();
    let who = rig.surface.rpc(As::User(token["access_token"].as_str().unwrap()), "who", &json!({})).json();
    assert_eq!(who["claims"]["extra"], "password");
    for body in ["raise exception 'broken';", "return '{}';", "return event #- '{claims,role}';", "return null;"] {
        replace(body);
        let answer = password_grant(&rig.surface, &user.email, PASSWORD);
        assert_eq!(answer.error(), (500, "unexpected_failure".into()), "{body}");
        assert!(!answer.text.contains("broken"));
    }
}
