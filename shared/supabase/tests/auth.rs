//! What goes over the wire to Supabase Auth, and what comes of the answer.

#![allow(clippy::unwrap_used)] // tests

use std::time::Duration;

use platform::SendError;
use platform::fakes::Host;
use problem::{Dialect, Problem};
use secrecy::SecretString;
use serde_json::{Value, json};
use supabase::{AuthError, Config, Error, LogoutScope, SignUp, Supabase};

const SESSION: &str = r#"{"access_token":"a.b.c","token_type":"bearer","expires_in":3600,"expires_at":1800003600,
    "refresh_token":"r1","user":{"id":"u1"},"weak_password":null}"#;

fn project() -> Supabase {
    Supabase::new(Config {
        url: "http://127.0.0.1:54321".parse().unwrap(),
        publishable_key: "sb_publishable_p".into(),
        secret_key: Some("sb_secret_s".into()),
    })
}

fn answering(status: u16, body: &str) -> Host {
    let host = Host::new();
    host.http.reply_json(status, body.to_owned());
    host
}

fn password() -> SecretString {
    "hunter2".into()
}

fn sign_in(host: &Host) -> Result<supabase::Session, AuthError> {
    host.block_on(project().auth().sign_in_with_password(&host.context(), "a@x.test", &password()))
}

fn refresh(host: &Host) -> Result<supabase::Session, AuthError> {
    host.block_on(project().auth().refresh(&host.context(), &"r0".into()))
}

fn problem(error: AuthError) -> (u16, String) {
    let response = Problem::from(error).into_response(Dialect::ProblemJson, "r-1");
    (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
}

/// Method, path with query, body, and whether only the publishable key was sent.
fn sent(host: &Host) -> (String, String, String) {
    let request = host.http.requests().remove(0);
    assert_eq!(request.header("apikey"), Some("sb_publishable_p"));
    let target = format!("{} {}", request.method, request.uri.path_and_query().unwrap());
    (target, request.text().to_owned(), request.header("authorization").unwrap_or_default().to_owned())
}

#[test]
fn each_call_has_its_path_body_and_credential() {
    let host = answering(200, SESSION);
    sign_in(&host).unwrap();
    let body = r#"{"email":"a@x.test","password":"hunter2"}"#.to_owned();
    assert_eq!(sent(&host), ("POST /auth/v1/token?grant_type=password".into(), body, String::new()));

    let host = answering(200, SESSION);
    refresh(&host).unwrap();
    let body = r#"{"refresh_token":"r0"}"#.to_owned();
    assert_eq!(sent(&host), ("POST /auth/v1/token?grant_type=refresh_token".into(), body, String::new()));

    let host = answering(200, r#"{"id":"u1"}"#);
    let user = host.block_on(project().auth().user(&host.context(), &"a.b.c".into())).unwrap();
    assert_eq!(user, json!({"id": "u1"}));
    assert_eq!(sent(&host), ("GET /auth/v1/user".into(), String::new(), "Bearer a.b.c".into()));

    for (scope, name) in
        [(LogoutScope::Global, "global"), (LogoutScope::Local, "local"), (LogoutScope::Others, "others")]
    {
        let host = answering(204, "");
        host.block_on(project().auth().logout(&host.context(), &"a.b.c".into(), scope)).unwrap();
        assert_eq!(sent(&host), (format!("POST /auth/v1/logout?scope={name}"), String::new(), "Bearer a.b.c".into()));
    }
}

#[test]
fn a_session_is_passed_on_whole_and_never_shown() {
    let session = sign_in(&answering(200, SESSION)).unwrap();
    assert_eq!((&*session.access_token, &*session.refresh_token, session.expires_in), ("a.b.c", "r1", 3600));
    assert_eq!(serde_json::to_value(&session).unwrap(), serde_json::from_str::<Value>(SESSION).unwrap());
    let shown = format!("{session:?}");
    assert!(!shown.contains("a.b.c") && !shown.contains("r1"));
}

#[test]
fn signing_up_gives_a_session_or_a_user_who_has_to_confirm() {
    let signup = |body: &str| {
        let host = answering(200, body);
        let data = json!({"name": "A"});
        let outcome =
            host.block_on(project().auth().signup(&host.context(), "a@x.test", &password(), data.as_object()));
        let body = r#"{"email":"a@x.test","password":"hunter2","data":{"name":"A"}}"#.to_owned();
        assert_eq!(sent(&host), ("POST /auth/v1/signup".into(), body, String::new()));
        outcome.unwrap()
    };
    assert!(matches!(signup(SESSION), SignUp::Session(session) if session.refresh_token == "r1"));
    let user = json!({"id": "u1", "confirmation_sent_at": "2026-11-21T00:00:00Z"});
    assert_eq!(signup(&user.to_string()), SignUp::ConfirmationPending { user });
}

#[test]
fn refusals_are_told_apart_by_error_code_in_every_form_that_auth_has_used() {
    let forms: [fn(&str) -> String; 3] = [
        |code| json!({"code": 400, "error_code": code, "msg": "secret"}).to_string(),
        |code| json!({"code": code, "message": "secret"}).to_string(),
        |code| json!({"error": code, "error_description": "secret"}).to_string(),
    ];
    for form in forms {
        for (status, code, expected) in [
            (400, "invalid_credentials", 401),
            (400, "email_not_confirmed", 403),
            (403, "user_banned", 403),
            (422, "user_already_exists", 409),
            (422, "weak_password", 422),
            (422, "signup_disabled", 403),
            (400, "email_address_invalid", 422),
            (429, "over_request_rate_limit", 429),
            (400, "validation_failed", 422),
            (403, "bad_jwt", 401),
            (500, "unexpected_failure", 502),
        ] {
            let (answered, text) = problem(sign_in(&answering(status, &form(code))).unwrap_err());
            assert_eq!(answered, expected, "{code}");
            assert!(!text.contains("secret"), "{text}");
        }
    }
}

#[test]
fn a_weak_password_says_why() {
    let body = r#"{"error_code":"weak_password","weak_password":{"reasons":["length","pwned","<b>secret</b>"]}}"#;
    let error = sign_in(&answering(422, body)).unwrap_err();
    assert_eq!(error, AuthError::WeakPassword { reasons: vec!["length".into(), "pwned".into()] });
    let (_, text) = problem(error);
    assert!(text.contains("must be longer") && text.contains("leak") && !text.contains("secret"), "{text}");
}

#[test]
fn a_refresh_token_is_refused_in_its_own_words_and_never_sent_twice() {
    for code in ["refresh_token_not_found", "refresh_token_already_used", "session_expired", "invalid_grant"] {
        let error = refresh(&answering(400, &json!({"error_code": code}).to_string())).unwrap_err();
        assert_eq!(error, AuthError::RefreshRefused { code: code.into() });
    }
    let host = Host::new();
    host.http.fail(SendError::Unreachable("cut".into()));
    assert_eq!(problem(refresh(&host).unwrap_err()).0, 503);
    assert_eq!(host.http.requests().len(), 1);
}

#[test]
fn a_rate_limit_passes_retry_after_on() {
    let host = Host::new();
    let response = http::Response::builder().status(429).header("retry-after", "42").body("{}".into());
    host.http.reply(response.unwrap());
    let error = sign_in(&host).unwrap_err();
    assert_eq!(error, AuthError::RateLimited { retry_after: Some(Duration::from_secs(42)) });
}

#[test]
fn a_refused_access_token_is_the_user_s_and_a_refused_key_the_operator_s() {
    let user = |status, body| {
        let host = answering(status, body);
        host.block_on(project().auth().user(&host.context(), &"a.b.c".into())).unwrap_err()
    };
    assert_eq!(
        user(403, r#"{"error_code":"session_not_found"}"#),
        AuthError::TokenRefused { code: "session_not_found".into() }
    );
    assert_eq!(problem(user(401, "{}")).0, 401);
    let gateway = r#"{"message":"Invalid API key","hint":"secret"}"#;
    let error = sign_in(&answering(401, gateway)).unwrap_err();
    assert!(matches!(error, AuthError::Upstream(Error::KeyRefused { .. })), "{error:?}");
    assert_eq!(problem(error).0, 503);
}

#[test]
fn an_auth_that_is_down_slow_or_odd_is_not_the_caller_s_fault() {
    for (status, body, expected) in
        [(500, "{}", 502), (502, "<html>", 502), (503, "", 503), (504, "", 504), (200, "<html>", 502), (200, "{}", 502)]
    {
        assert_eq!(problem(sign_in(&answering(status, body)).unwrap_err()).0, expected, "{status} {body}");
    }
    let host = Host::new();
    let _held = host.http.hold();
    assert_eq!(sign_in(&host).unwrap_err(), AuthError::Upstream(Error::Timeout));
}
