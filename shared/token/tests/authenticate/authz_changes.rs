use std::time::Duration;

use platform::SendError;
use platform::fakes::Host;
use serde_json::{Value, json};
use token::{Authenticator, Reason, Refusal};

use crate::support::*;

struct Edge {
    host: Host,
    key: Key,
    authenticator: Authenticator,
}

impl Edge {
    fn new() -> Self {
        let key = Key::new("k1", 7);
        let config = token::Config { project: Some(project()), ..inline_config(&[key.jwk()], None) };
        Self { host: Host::new(), key, authenticator: Authenticator::new(config) }
    }

    fn token(&self, epoch: u64) -> String {
        let mut claims = claims();
        claims["app_metadata"]["authz_epoch"] = json!(epoch);
        self.key.token(&claims)
    }

    fn try_with(&self, epoch: u64) -> Result<u64, Refusal> {
        let headers = bearer(&self.token(epoch));
        let caller = self.host.block_on(self.authenticator.authenticate(sent(&headers), &self.host.context()))?;
        Ok(caller.principal.authz_epoch)
    }

    fn reply(&self, second: u32, changes: &Value) {
        let as_of = format!("2026-01-01T00:00:{second:02}Z");
        self.host.http.reply_json(200, json!({"as_of": as_of, "changes": changes}).to_string());
    }

    fn asked(&self) -> Vec<String> {
        self.host.http.requests().iter().map(|request| request.text().to_owned()).collect()
    }
}

#[test]
fn a_token_from_before_the_user_s_rights_changed_is_refused_and_a_new_one_let_in() {
    let edge = Edge::new();
    edge.reply(0, &json!({USER: 3}));
    assert_eq!(edge.try_with(2), Err(Reason::Superseded.into()));
    assert_eq!((edge.try_with(3), edge.try_with(4)), (Ok(3), Ok(4)));
    assert_eq!(edge.asked(), [r#"{"payload":{}}"#]);
    let request = &edge.host.http.requests()[0];
    assert_eq!(request.uri.path(), "/rest/v1/rpc/authz_changes");
    assert_eq!(request.header("apikey"), Some("sb_secret_s"));
}

#[test]
fn a_change_goes_unnoticed_for_at_most_ten_seconds_and_one_question_serves_all() {
    let edge = Edge::new();
    edge.reply(0, &json!({}));
    for _ in 0..3 {
        assert_eq!(edge.try_with(2), Ok(2));
    }
    edge.host.clock.advance(Duration::from_secs(10));
    edge.reply(10, &json!({USER: 3}));
    assert_eq!(edge.try_with(2), Err(Reason::Superseded.into()));
    assert_eq!(edge.asked(), [r#"{"payload":{}}"#, r#"{"payload":{"since":"2026-01-01T00:00:00Z"}}"#]);
}

#[test]
fn after_five_seconds_the_question_is_asked_behind_the_request() {
    let edge = Edge::new();
    edge.reply(0, &json!({}));
    assert_eq!(edge.try_with(2), Ok(2));
    edge.host.clock.advance(Duration::from_secs(5));
    assert_eq!((edge.try_with(2), edge.try_with(2)), (Ok(2), Ok(2)), "nobody waits");
    assert_eq!((edge.asked().len(), edge.host.background.len()), (1, 1));
    edge.reply(5, &json!({USER: 3}));
    edge.host.block_on(edge.host.background.run_all());
    assert_eq!(edge.try_with(2), Err(Reason::Superseded.into()));
}

#[test]
fn without_the_database_what_a_token_says_counts_and_nobody_asks_in_a_row() {
    let edge = Edge::new();
    edge.host.http.fail(SendError::Unreachable("refused".into()));
    edge.host.http.fail(SendError::Unreachable("refused".into()));
    for _ in 0..3 {
        assert_eq!(edge.try_with(2), Ok(2));
    }
    let asked = edge.asked().len();
    edge.host.clock.advance(Duration::from_secs(5));
    edge.reply(5, &json!({USER: 3}));
    assert_eq!(edge.try_with(2), Err(Reason::Superseded.into()));
    assert_eq!(edge.asked().len(), asked + 1);
}

#[test]
fn what_is_known_stays_known_while_the_database_is_away() {
    let edge = Edge::new();
    edge.reply(0, &json!({USER: 3}));
    assert_eq!(edge.try_with(3), Ok(3));
    edge.host.clock.advance(Duration::from_mins(30));
    edge.host.http.fail(SendError::Unreachable("refused".into()));
    edge.host.http.fail(SendError::Unreachable("refused".into()));
    assert_eq!(edge.try_with(2), Err(Reason::Superseded.into()));
}
