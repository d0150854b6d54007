use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use http::{HeaderMap, Method as Verb, Response};
use platform::fakes::Host;
use platform::{Body, SendError};
use serde_json::{Value, json};
use token::{Authenticator, Begun, Caller, Device, Method, Reason, Refusal, Sent, SessionConfig, SessionKey};

use crate::support::{self, *};

/// A project that keeps one session, as the database functions do, and gives new tokens.
#[derive(Default)]
struct Project {
    row: Option<Row>,
    claimed: bool,
    refreshes: u32,
    calls: Vec<String>,
    /// Supabase Auth does not know the refresh token.
    refuses: bool,
    /// Cannot be reached.
    away: bool,
    epoch: u64,
}

#[derive(Clone)]
struct Row {
    digest: String,
    tokens: String,
    version: u32,
    expires_at: String,
}

struct Edge {
    host: Host,
    authenticator: Authenticator,
    project: Arc<Mutex<Project>>,
}

impl Project {
    fn answer(&mut self, path: &str, body: &Value) -> (u16, Value) {
        let function = path.rsplit('/').next().unwrap().to_owned();
        self.calls.push(function.clone());
        let payload = &body["payload"];
        let text = |name: &str| payload[name].as_str().unwrap().to_owned();
        match function.as_str() {
            "create_session" => {
                let row =
                    Row { digest: text("digest"), tokens: text("tokens"), version: 1, expires_at: text("expires_at") };
                self.row = Some(row);
                (200, json!({}))
            }
            "find_session" => match self.row.as_ref().filter(|row| row.digest == text("digest")) {
                None => (200, json!({})),
                Some(row) => (
                    200,
                    json!({"id": USER, "version": row.version, "tokens": row.tokens, "expires_at": row.expires_at}),
                ),
            },
            "claim_session_refresh" => {
                let current = self.row.as_ref().is_some_and(|row| json!(row.version) == payload["version"]);
                let claimed = current && !std::mem::replace(&mut self.claimed, true);
                (200, json!({ "claimed": claimed }))
            }
            "replace_session" => {
                self.claimed = false;
                let row = self.row.as_mut().unwrap();
                if json!(row.version) != payload["version"] {
                    return (200, json!({"replaced": false, "version": row.version}));
                }
                (row.tokens, row.version) = (text("tokens"), row.version + 1);
                if payload.get("digest").is_some() {
                    row.digest = text("digest");
                }
                (200, json!({"replaced": true, "version": row.version}))
            }
            "revoke_session" => {
                self.row = None;
                (200, json!({"id": USER}))
            }
            "authz_changes" => (200, json!({"as_of": "2026-01-01T00:00:00Z", "changes": {USER: self.epoch}})),
            "token" if self.refuses => (400, json!({"error_code": "refresh_token_not_found", "msg": "no"})),
            "token" => {
                self.refreshes += 1;
                (200, tokens(self.refreshes, self.epoch))
            }
            other => panic!("{other}"),
        }
    }
}

/// The tokens of the `number`th refresh, the first at the fake clock's beginning: each lasts from 50 minutes to an hour
/// beyond the one before.
fn tokens(number: u32, epoch: u64) -> Value {
    let begin = BEGIN + i64::from(number) * 3000;
    let mut claims = claims_at(begin.min(BEGIN));
    claims["exp"] = json!(begin + 3600);
    claims["app_metadata"]["authz_epoch"] = json!(epoch);
    claims["jti"] = json!(number);
    json!({
        "access_token": Key::new("k1", 7).token(&claims), "token_type": "bearer", "expires_in": 3600,
        "expires_at": begin + 3600, "refresh_token": format!("refresh-{number}"), "user": {"id": USER},
    })
}

impl Edge {
    fn new() -> Self {
        Self::with(&Arc::default(), "0a")
    }

    /// One more instance in front of the same project.
    fn with(project: &Arc<Mutex<Project>>, key: &str) -> Self {
        let host = Host::new();
        let shared = Arc::clone(project);
        host.http.handle(move |request| {
            let shared = Arc::clone(&shared);
            async move {
                let (parts, body) = request.into_parts();
                let body = body.read(100_000).await.unwrap();
                let mut project = shared.lock().unwrap();
                if project.away {
                    return Err(SendError::Unreachable("refused".into()));
                }
                let (status, answer) = project.answer(parts.uri.path(), &serde_json::from_slice(&body).unwrap());
                let mut response = Response::new(Body::from(answer.to_string()));
                *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
                response.headers_mut().insert("content-type", "application/json".parse().unwrap());
                Ok(response)
            }
        });
        let sessions = SessionConfig {
            key: SessionKey::parse(&key.repeat(32)).unwrap(),
            origins: vec!["https://app.test".to_owned()],
        };
        let keys = [Key::new("k1", 7).jwk()];
        let kept_by = token::Project { sessions: Some(sessions), ..support::project() };
        let config = token::Config { project: Some(kept_by), ..inline_config(&keys, None) };
        Self { host, authenticator: Authenticator::new(config), project: Arc::clone(project) }
    }

    fn begin(&self) -> Begun {
        let session = serde_json::from_value(tokens(0, 0)).unwrap();
        let device = Device { address: None, user_agent: Some("a browser") };
        let sessions = self.authenticator.sessions().unwrap();
        self.host.block_on(sessions.begin(&session, device, &self.host.context())).unwrap()
    }

    fn get(&self, cookie: &str) -> Result<Caller, Refusal> {
        self.send(&Verb::GET, &header("cookie", cookie))
    }

    fn send(&self, method: &Verb, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let context = context(&self.host);
        self.host.block_on(self.authenticator.authenticate(Sent { method, headers, address: None }, &context))
    }

    fn project(&self) -> std::sync::MutexGuard<'_, Project> {
        self.project.lock().unwrap()
    }

    fn calls(&self) -> Vec<String> {
        let mut calls = std::mem::take(&mut self.project().calls);
        calls.retain(|call| call != "authz_changes");
        calls
    }
}

/// `name=value` of a `Set-Cookie`, as a browser sends it back.
fn pair(begun: &Begun) -> String {
    begun.cookie.to_str().unwrap().split(';').next().unwrap().to_owned()
}

#[test]
fn a_cookie_stands_for_the_user_and_tells_nothing_else() {
    let edge = Edge::new();
    let begun = edge.begin();
    let cookie = begun.cookie.to_str().unwrap();
    assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=2592000"), "{cookie}");
    let row = edge.project().row.clone().unwrap();
    let kept = format!("{} {}", row.digest, row.tokens);
    assert!(!kept.contains("refresh-0") && !kept.contains(pair(&begun).split('=').nth(1).unwrap()));
    let caller = edge.get(&pair(&begun)).unwrap();
    assert_eq!((caller.principal.method, caller.principal.user_id.to_string()), (Method::Session, USER.to_owned()));
    assert!(caller.access_token().is_some(), "to act as the user");
    assert!(!format!("{caller:?}{begun:?}").contains("refresh"));
}

#[test]
fn a_session_is_looked_up_once_in_ten_seconds_and_its_end_seen_after_them() {
    let edge = Edge::new();
    let cookie = pair(&edge.begin());
    edge.calls();
    for _ in 0..3 {
        edge.get(&cookie).unwrap();
    }
    assert_eq!(edge.calls(), ["find_session"]);
    edge.project().row = None;
    edge.host.clock.advance(Duration::from_millis(9_999));
    assert!(edge.get(&cookie).is_ok());
    edge.host.clock.advance(Duration::from_millis(1));
    assert_eq!(edge.get(&cookie).unwrap_err(), Reason::UnknownSession.into());
}

#[test]
fn what_is_no_cookie_of_ours_is_refused_without_a_question() {
    let edge = Edge::new();
    for value in ["", "x", "AAAA", &"A".repeat(44)] {
        let refused = edge.get(&format!("__Host-qlp_session={value}")).unwrap_err();
        assert_eq!(refused, Reason::UnknownSession.into(), "{value}");
    }
    assert!(edge.calls().is_empty());
    let unknown = format!("__Host-qlp_session={}", "A".repeat(43));
    assert_eq!(edge.get(&unknown).unwrap_err(), Reason::UnknownSession.into());
    assert_eq!(edge.calls(), ["find_session"]);
}

#[test]
fn a_session_under_another_key_is_unknown() {
    let edge = Edge::new();
    let cookie = pair(&edge.begin());
    let other = Edge::with(&edge.project, "0b");
    assert_eq!(other.get(&cookie).unwrap_err(), Reason::UnknownSession.into());
}

#[test]
fn a_token_that_ends_within_a_minute_is_replaced_on_the_way() {
    let edge = Edge::new();
    let cookie = pair(&edge.begin());
    edge.get(&cookie).unwrap();
    let before = edge.get(&cookie).unwrap().access_token().map(|token| secret(&token));
    edge.host.clock.advance(Duration::from_secs(3541));
    edge.calls();
    let after = edge.get(&cookie).unwrap().access_token().map(|token| secret(&token));
    assert_ne!(before, after);
    assert_eq!(edge.calls(), ["find_session", "claim_session_refresh", "token", "replace_session"]);
    edge.get(&cookie).unwrap();
    assert!(edge.calls().is_empty());
}

#[test]
fn of_many_requests_on_two_instances_one_gets_the_next_tokens() {
    let edge = Edge::new();
    let cookie = pair(&edge.begin());
    let other = Edge::with(&edge.project, "0a");
    for instance in [&edge, &other] {
        instance.host.clock.advance(Duration::from_secs(3541));
    }
    let headers = header("cookie", &cookie);
    for instance in [&edge, &other] {
        let context = context(&instance.host);
        let all = (0..5).map(|_| {
            instance.authenticator.authenticate(Sent { method: &Verb::GET, headers: &headers, address: None }, &context)
        });
        let answers = instance.host.block_on(join_all(all));
        assert!(answers.iter().all(Result::is_ok));
    }
    assert_eq!(edge.project().refreshes, 1);
}

#[test]
fn while_another_gets_the_next_tokens_the_old_ones_serve_as_long_as_they_last() {
    let edge = Edge::new();
    let cookie = pair(&edge.begin());
    edge.project().claimed = true;
    edge.host.clock.advance(Duration::from_secs(3541));
    assert!(edge.get(&cookie).is_ok());
    assert_eq!(edge.project().refreshes, 0);
    // From now on the next ones are waited for, and these do not come: whoever was at it has died.
    edge.host.clock.advance(Duration::from_mins(2));
    assert!(matches!(edge.get(&cookie).unwrap_err(), Refusal::Unavailable { .. }));
    edge.project().claimed = false;
    assert!(edge.get(&cookie).is_ok());
}

#[test]
fn a_session_that_ended_at_supabase_ends_here() {
    let edge = Edge::new();
    let cookie = pair(&edge.begin());
    edge.project().refuses = true;
    edge.host.clock.advance(Duration::from_secs(3541));
    assert_eq!(edge.get(&cookie).unwrap_err(), Reason::UnknownSession.into());
    assert!(edge.project().row.is_none());
}

#[test]
fn a_dead_project_is_no_reason_to_sign_out() {
    let edge = Edge::new();
    let cookie = pair(&edge.begin());
    edge.project().away = true;
    assert!(matches!(edge.get(&cookie).unwrap_err(), Refusal::Unavailable { .. }));
    edge.project().away = false;
    assert!(edge.get(&cookie).is_ok());
}

#[test]
fn when_the_user_s_rights_have_changed_the_session_gets_new_tokens_by_itself() {
    let edge = Edge::new();
    let cookie = pair(&edge.begin());
    edge.get(&cookie).unwrap();
    edge.project().epoch = 5;
    edge.host.clock.advance(Duration::from_secs(10));
    edge.host.block_on(edge.host.background.run_all());
    assert_eq!(edge.get(&cookie).unwrap().principal.authz_epoch, 5);
    assert_eq!(edge.project().refreshes, 1);
}

#[test]
fn an_unsafe_request_needs_the_token_and_a_page_of_ours() {
    let edge = Edge::new();
    let begun = edge.begin();
    let send = |method: Verb, more: &[(&'static str, &str)]| {
        let mut headers = header("cookie", &pair(&begun));
        headers.extend(more.iter().map(|(name, value)| (name.parse().ok(), value.parse().unwrap())));
        edge.send(&method, &headers).map(|caller| caller.principal.method)
    };
    let token = ("x-csrf-token", begun.csrf_token.as_str());
    let (same, app) = (("sec-fetch-site", "same-origin"), ("origin", "https://app.test"));
    for method in [Verb::POST, Verb::PUT, Verb::PATCH, Verb::DELETE] {
        assert_eq!(send(method.clone(), &[]), Err(Refusal::ForgedRequest));
        assert_eq!(send(method.clone(), &[token]), Err(Refusal::ForgedRequest));
        assert_eq!(send(method.clone(), &[same]), Err(Refusal::ForgedRequest));
        assert_eq!(send(method.clone(), &[same, ("x-csrf-token", "AAAA")]), Err(Refusal::ForgedRequest));
        assert_eq!(send(method.clone(), &[("origin", "https://evil.test"), token]), Err(Refusal::ForgedRequest));
        assert_eq!(send(method.clone(), &[same, token]), Ok(Method::Session));
        assert_eq!(send(method, &[app, token]), Ok(Method::Session));
    }
    assert_eq!(send(Verb::GET, &[]), Ok(Method::Session));
    let bearer = ("authorization", "Bearer a.b.c");
    assert_eq!(send(Verb::GET, &[bearer]), Err(Reason::SeveralCredentials.into()));
}

#[test]
fn a_rotated_session_has_another_cookie_and_the_old_one_is_worth_nothing() {
    let edge = Edge::new();
    let old = edge.begin();
    edge.get(&pair(&old)).unwrap();
    let value = pair(&old).split_once('=').unwrap().1.to_owned();
    let sessions = edge.authenticator.sessions().unwrap();
    let next = edge.host.block_on(sessions.rotate(&value, &edge.host.context())).unwrap();
    assert_ne!((pair(&next), &next.csrf_token), (pair(&old), &old.csrf_token));
    assert_eq!(edge.get(&pair(&old)).unwrap_err(), Reason::UnknownSession.into());
    assert!(edge.get(&pair(&next)).is_ok());
    assert_eq!(edge.project().refreshes, 1, "with new tokens");
}

#[test]
fn an_ended_session_is_unknown_and_ending_it_again_is_no_error() {
    let edge = Edge::new();
    let cookie = pair(&edge.begin());
    edge.get(&cookie).unwrap();
    let value = cookie.split_once('=').unwrap().1.to_owned();
    let sessions = edge.authenticator.sessions().unwrap();
    let end = || edge.host.block_on(sessions.end(&value, &edge.host.context())).unwrap();
    assert_eq!([end(), end()], [true, false]);
    assert_eq!(edge.get(&cookie).unwrap_err(), Reason::UnknownSession.into());
}

fn secret(text: &secrecy::SecretString) -> String {
    use secrecy::ExposeSecret as _;
    text.expose_secret().to_owned()
}
