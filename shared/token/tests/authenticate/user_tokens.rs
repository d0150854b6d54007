//! Acting as an API key's user: a token is made once, kept, and never older than the key's rights.

use std::sync::Arc;
use std::time::Duration;

use platform::SignerError;
use platform::fakes::Host;
use problem::kinds;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use token::{Authenticator, Caller, EdgeConfig};

use crate::support::*;

const KEY: &str = "qlp_test_0123456789ABCDEFGHIJKLMNOPQ3BQI4O";

struct Edge {
    host: Host,
    authenticator: Authenticator,
}

impl Edge {
    fn new(edge: EdgeConfig) -> Self {
        let config =
            token::Config { project: Some(with_pepper()), edge, ..inline_config(&[Key::new("k1", 1).jwk()], None) };
        Self { host: Host::new(), authenticator: Authenticator::new(config) }
    }

    fn caller(&self, change: impl FnOnce(&mut Value)) -> Caller {
        let mut found = json!({"key_id": "00000000-0000-4000-8000-0000000000aa", "user_id": USER,
            "org_id": "00000000-0000-4000-8000-00000000000a", "roles": ["developer"], "tier": "T1", "pepper_version": 1, "scopes": ["usage:read"]});
        change(&mut found);
        self.host.http.reply_json(200, found.to_string());
        self.host.clock.advance(Duration::from_secs(10)); // beyond what is remembered of the key
        let headers = header("x-api-key", KEY);
        self.host.block_on(self.authenticator.authenticate(sent(&headers), &self.host.context())).unwrap()
    }

    fn token(&self, caller: &Caller) -> String {
        self.host.block_on(caller.user_token(&self.host.context())).unwrap().expose_secret().to_owned()
    }
}

#[test]
fn a_token_is_kept_until_a_minute_before_its_end() {
    let edge = Edge::new(edge_config());
    let caller = edge.caller(|_| ());
    let first = edge.token(&caller);
    edge.host.clock.advance(Duration::from_secs(239));
    assert_eq!(edge.token(&caller), first);
    assert_eq!(edge.host.signer.calls(), 1);
    edge.host.clock.advance(Duration::from_secs(1));
    assert_ne!(edge.token(&caller), first);
    assert_eq!(edge.host.signer.calls(), 2);
}

#[test]
fn a_key_whose_rights_have_changed_gets_another_token() {
    let edge = Edge::new(edge_config());
    let developer = edge.token(&edge.caller(|_| ()));
    let viewer = edge.token(&edge.caller(|found| found["roles"] = json!(["viewer"])));
    assert_ne!(developer, viewer);
    assert_eq!(edge.host.signer.calls(), 2);
}

#[test]
fn a_key_that_ends_within_the_minute_gets_a_token_that_is_not_kept() {
    let edge = Edge::new(edge_config());
    let caller = edge.caller(|found| found["expires_at"] = json!("2026-01-01T00:00:40Z"));
    edge.token(&caller);
    edge.token(&caller);
    assert_eq!(edge.host.signer.calls(), 2);
    edge.host.clock.advance(Duration::from_mins(1));
    let problem = edge.host.block_on(caller.user_token(&edge.host.context())).unwrap_err();
    assert_eq!(problem.kind(), kinds::CREDENTIAL_INVALID);
}

#[test]
fn a_user_s_own_token_is_passed_on_as_it_is() {
    let edge = Edge::new(EdgeConfig::default());
    let token = Key::new("k1", 1).token(&claims());
    let context = platform::Context { signatures: Arc::new(signature::PureRust), ..edge.host.context() };
    let caller = edge.host.block_on(edge.authenticator.authenticate(sent(&bearer(&token)), &context)).unwrap();
    assert_eq!(edge.token(&caller), token);
    assert_eq!(caller.access_token().unwrap().expose_secret(), token);
}

#[test]
fn without_keys_and_with_a_host_that_cannot_sign_the_answer_is_precise() {
    let none = Edge::new(EdgeConfig::default());
    let problem = none.host.block_on(none.caller(|_| ()).user_token(&none.host.context())).unwrap_err();
    assert_eq!(problem.kind(), kinds::PERMISSION_DENIED);
    let edge = Edge::new(edge_config());
    let caller = edge.caller(|_| ());
    edge.host.signer.answer(Err(SignerError("no crypto".into())));
    let problem = edge.host.block_on(caller.user_token(&edge.host.context())).unwrap_err();
    assert_eq!(problem.kind(), kinds::INTERNAL);
}

#[test]
fn an_exchanged_token_reads_as_the_user_and_is_not_the_user_s_own() {
    let edge = Edge::new(edge_config());
    let mut claims = claims();
    claims["exchanged"] = json!(true);
    claims["scope"] = json!("llm");
    let token = Key::new("k1", 1).token(&claims);
    let caller =
        edge.host.block_on(edge.authenticator.authenticate(sent(&bearer(&token)), &edge.host.context())).unwrap();
    assert!(caller.access_token().is_none());
    assert_eq!(edge.token(&caller), token);
}
