use std::time::Duration;

use platform::fakes::Host;
use platform::{ClientAddress, SendError};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use token::{Authenticator, Caller, Method, Peppers, Project, Reason, Refusal, Role, Sent, Tier};

use crate::support::*;

const KEY: &str = "qlp_test_0123456789ABCDEFGHIJKLMNOPQ3BQI4O";
const FOUND: &str = r#"{"key_id":"00000000-0000-4000-8000-0000000000aa","user_id":"00000000-0000-4000-8000-000000000001",
    "org_id":"00000000-0000-4000-8000-00000000000a","roles":["developer"],"tier":"T3","pepper_version":1,"scopes":["llm","root"]}"#;

struct Edge {
    host: Host,
    authenticator: Authenticator,
}

impl Edge {
    fn new() -> Self {
        Self::with(&"00".repeat(32))
    }

    fn with(peppers: &str) -> Self {
        let project = Project { peppers: Peppers::parse(peppers), ..project() };
        let config = token::Config { project: Some(project), ..inline_config(&[], None) };
        Self { host: Host::new(), authenticator: Authenticator::new(config) }
    }

    fn authenticate(&self, key: &str) -> Result<Caller, Refusal> {
        self.authenticate_from(key, None)
    }

    fn authenticate_from(&self, key: &str, address: Option<&str>) -> Result<Caller, Refusal> {
        let headers = header("x-api-key", key);
        let address = address.map(|address| ClientAddress(address.parse().unwrap()));
        let sent = Sent { address, ..sent(&headers) };
        self.host.block_on(self.authenticator.authenticate(sent, &self.host.context()))
    }

    fn refusal(&self, key: &str) -> Refusal {
        self.authenticate(key).unwrap_err()
    }

    fn look_ups(&self) -> usize {
        self.host.http.requests().len()
    }
}

#[test]
fn an_api_key_says_for_whom_it_acts_and_has_only_its_scopes() {
    let edge = Edge::new();
    edge.host.http.reply_json(200, FOUND);
    let caller = edge.authenticate(KEY).unwrap();
    let principal = &caller.principal;
    assert_eq!(
        (principal.method, principal.tier, principal.roles.as_slice()),
        (Method::ApiKey, Tier::T3, &[Role::Developer][..])
    );
    assert_eq!(principal.key_id.unwrap().to_string(), "00000000-0000-4000-8000-0000000000aa");
    assert_eq!(principal.scopes, ["llm"]);
    assert!(caller.access_token().is_none());
    assert_eq!(caller.require_scope("webhooks"), Err(Refusal::InsufficientScope("webhooks")));
    let request = &edge.host.http.requests()[0];
    assert_eq!(request.uri.path(), "/rest/v1/rpc/authenticate_key");
    let digest = "c02013d9e4387e3d8f59ad8bff0000d39404c7dfed9b1df18c6706aa02db79ba";
    assert_eq!(request.text(), format!(r#"{{"payload":{{"digests":[{{"digest":"{digest}","pepper_version":1}}]}}}}"#));
    assert_eq!((request.header("apikey"), request.header("authorization")), (Some("sb_secret_s"), None));
}

/// Answers whatever is asked of it as a database that has the key under the pepper `version`.
fn stored_under(edge: &Edge, version: u16) {
    edge.host.http.handle(move |request| async move {
        let body = if request.uri().path().ends_with("/touch_keys") {
            r#"{"touched":1}"#.to_owned()
        } else {
            FOUND.replace(r#""pepper_version":1"#, &format!(r#""pepper_version":{version}"#))
        };
        Ok(json_reply(body))
    });
}

#[test]
fn a_key_is_looked_up_under_every_live_pepper_at_once_and_stored_under_the_current_one() {
    let edge = Edge::with(&format!("3:{},{},2:{}", "03".repeat(32), "00".repeat(32), "02".repeat(32)));
    stored_under(&edge, 1);
    let used_at = edge.host.clock.now();
    edge.authenticate(KEY).unwrap();
    edge.authenticate(KEY).unwrap();
    assert_eq!(edge.look_ups(), 1);
    let asked: Value = serde_json::from_str(edge.host.http.requests()[0].text()).unwrap();
    let digests = asked["payload"]["digests"].as_array().unwrap();
    let versions: Vec<_> = digests.iter().map(|asked| asked["pepper_version"].as_u64().unwrap()).collect();
    assert_eq!(versions, [3, 1, 2], "the current one first");
    let digest = "c02013d9e4387e3d8f59ad8bff0000d39404c7dfed9b1df18c6706aa02db79ba";
    assert_eq!(digests[1]["digest"], digest, "under 32 zero bytes");
    edge.host.block_on(edge.host.background.run_all());
    let written: Value = serde_json::from_str(edge.host.http.requests().last().unwrap().text()).unwrap();
    let expected = json!([{"id": "00000000-0000-4000-8000-0000000000aa", "at": used_at,
        "digest": digests[0]["digest"], "pepper_version": 3}]);
    assert_eq!(written["payload"]["keys"], expected);
}

#[test]
fn what_is_stored_under_the_current_pepper_stays_so() {
    let edge = Edge::with(&format!("2:{},{}", "02".repeat(32), "00".repeat(32)));
    stored_under(&edge, 2);
    edge.authenticate(KEY).unwrap();
    edge.host.block_on(edge.host.background.run_all());
    let written: Value = serde_json::from_str(edge.host.http.requests().last().unwrap().text()).unwrap();
    assert!(written["payload"]["keys"][0]["at"].is_string());
    assert!(written["payload"]["keys"][0].get("digest").is_none());
}

#[test]
fn a_wrong_checksum_is_refused_without_a_look_up() {
    let edge = Edge::new();
    for key in ["qlp_test_0123456789ABCDEFGHIJKLMNOPQ3BQI4P", "qlp_", "sk-123", ""] {
        assert_eq!(edge.refusal(key), Reason::MalformedApiKey.into());
    }
    assert_eq!(edge.look_ups(), 0);
}

#[test]
fn a_revoked_key_is_let_in_for_at_most_ten_seconds() {
    let edge = Edge::new();
    edge.host.http.reply_json(200, FOUND);
    assert!(edge.authenticate(KEY).is_ok());
    edge.host.http.reply_json(200, "{}");
    edge.host.clock.advance(Duration::from_millis(9_999));
    assert!(edge.authenticate(KEY).is_ok());
    assert_eq!(edge.look_ups(), 1);
    edge.host.clock.advance(Duration::from_millis(1));
    assert_eq!(edge.refusal(KEY), Reason::UnknownApiKey.into());
}

#[test]
fn a_key_is_remembered_no_longer_than_it_lasts() {
    let edge = Edge::new();
    let ends = edge.host.clock.now() + Duration::from_secs(4);
    let found = FOUND.replace("\"tier\"", &format!(r#""expires_at":"{ends}","tier""#));
    edge.host.http.reply_json(200, found);
    assert_eq!(edge.authenticate(KEY).unwrap().principal.expires_at, Some(ends));
    edge.host.clock.advance(Duration::from_millis(3_999));
    assert!(edge.authenticate(KEY).is_ok());
    edge.host.http.reply_json(200, "{}");
    edge.host.clock.advance(Duration::from_millis(1));
    assert_eq!(edge.refusal(KEY), Reason::UnknownApiKey.into());
    assert_eq!(edge.look_ups(), 2);
}

#[test]
fn a_key_that_is_bound_to_networks_is_let_in_from_there_alone() {
    let edge = Edge::new();
    let networks = r#""allowed_cidrs":["192.0.2.0/24","2001:db8::/32"],"tier""#;
    edge.host.http.reply_json(200, FOUND.replace("\"tier\"", networks));
    for address in ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1"] {
        assert!(edge.authenticate_from(KEY, Some(address)).is_ok(), "{address}");
    }
    for address in [Some("198.51.100.7"), Some("2001:db9::1"), None] {
        let refusal = edge.authenticate_from(KEY, address).unwrap_err();
        assert_eq!(refusal, Reason::WrongNetwork.into(), "{address:?}");
    }
    assert_eq!(edge.look_ups(), 1, "the networks are remembered with the key");
    let edge = Edge::new();
    edge.host.http.reply_json(200, FOUND.replace("\"tier\"", r#""allowed_cidrs":[],"expires_at":null,"tier""#));
    assert!(edge.authenticate(KEY).is_ok());
}

#[test]
fn networks_that_cannot_be_read_let_nobody_in() {
    let edge = Edge::new();
    edge.host.http.reply_json(200, FOUND.replace("\"tier\"", r#""allowed_cidrs":["everywhere"],"tier""#));
    assert!(matches!(edge.authenticate_from(KEY, Some("192.0.2.7")).unwrap_err(), Refusal::Unavailable { .. }));
}

#[test]
fn the_use_of_a_key_is_noted_once_in_a_minute_and_beside_the_requests() {
    let edge = Edge::new();
    let written = || edge.host.http.requests().iter().filter(|call| call.uri.path().ends_with("/touch_keys")).count();
    edge.host.http.handle(|request| async move {
        let touched = request.uri().path().ends_with("/touch_keys");
        Ok(http::Response::new(if touched { r#"{"touched":1}"# } else { FOUND }.into()))
    });
    let used_at = edge.host.clock.now();
    for _ in 0..3 {
        edge.authenticate(KEY).unwrap();
    }
    assert_eq!(written(), 0);
    edge.host.block_on(edge.host.background.run_all());
    assert_eq!(written(), 1);
    let id = "00000000-0000-4000-8000-0000000000aa";
    let last = edge.host.http.requests().last().unwrap().clone();
    assert_eq!(last.text(), format!(r#"{{"payload":{{"keys":[{{"id":"{id}","at":"{used_at}"}}]}}}}"#));
    edge.host.clock.advance(Duration::from_secs(58));
    edge.authenticate(KEY).unwrap();
    assert!(edge.host.background.is_empty(), "59 s after it was noted");
    edge.host.clock.advance(Duration::from_secs(1));
    edge.authenticate(KEY).unwrap();
    edge.host.block_on(edge.host.background.run_all());
    assert_eq!(written(), 2);
}

#[test]
fn a_key_that_was_refused_was_not_used() {
    let edge = Edge::new();
    edge.host.http.reply_json(200, FOUND.replace("\"tier\"", r#""allowed_cidrs":["192.0.2.0/24"],"tier""#));
    edge.refusal(KEY);
    edge.refusal("qlp_test_x");
    assert!(edge.host.background.is_empty());
}

#[test]
fn the_ten_seconds_begin_with_the_question_and_not_with_a_slow_answer() {
    let edge = Edge::new();
    let held = edge.host.http.hold();
    let (headers, context) = (header("x-api-key", KEY), edge.host.context());
    let release = async {
        context.clock.sleep(Duration::from_secs(3)).await;
        held.release(http::Response::new(FOUND.into()));
    };
    let asking = edge.authenticator.authenticate(sent(&headers), &context);
    let (found, ()) = edge.host.block_on(futures_util::future::join(asking, release));
    assert!(found.is_ok());
    edge.host.clock.advance(Duration::from_secs(7));
    edge.host.http.reply_json(200, "{}");
    assert_eq!(edge.refusal(KEY), Reason::UnknownApiKey.into());
}

#[test]
fn an_unknown_key_is_looked_up_once_in_five_seconds() {
    let edge = Edge::new();
    edge.host.http.reply_json(200, "{}");
    for _ in 0..3 {
        assert_eq!(edge.refusal(KEY), Reason::UnknownApiKey.into());
    }
    assert_eq!(edge.look_ups(), 1);
    edge.host.clock.advance(Duration::from_secs(5));
    edge.host.http.reply_json(200, FOUND);
    assert!(edge.authenticate(KEY).is_ok());
}

#[test]
fn every_refused_key_gets_the_same_answer() {
    let answer = |refusal: Refusal| {
        let response = problem::Problem::from(refusal).into_response(problem::Dialect::ProblemJson, "r-1");
        (response.status(), response.headers().clone(), response.into_body())
    };
    let edge = Edge::new();
    edge.host.http.reply_json(200, "{}");
    let unknown = answer(edge.refusal(KEY));
    assert_eq!(unknown, answer(edge.refusal("qlp_nonsense")));
    assert_eq!(unknown, answer(Reason::NoApiKeys.into()));
    assert_eq!(unknown.0, 401);
}

#[test]
fn a_database_that_is_down_or_odd_is_503_and_not_remembered() {
    let edge = Edge::new();
    let failures: [fn(&Host); 4] = [
        |host| (0..2).for_each(|_| host.http.fail(SendError::Unreachable("down".into()))),
        |host| host.http.reply_json(500, "{}"),
        |host| host.http.reply_json(200, r#"{"key_id":"x"}"#),
        |host| host.http.reply_json(200, "null"),
    ];
    for fail in failures {
        fail(&edge.host);
        assert!(matches!(edge.refusal(KEY), Refusal::Unavailable { .. }));
    }
    edge.host.http.reply_json(200, FOUND);
    assert!(edge.authenticate(KEY).is_ok());
}

#[test]
fn without_a_pepper_every_key_is_refused() {
    let host = Host::new();
    let outcome = host.block_on(inline(&[]).authenticate(sent(&header("x-api-key", KEY)), &host.context()));
    assert_eq!(outcome.unwrap_err(), Reason::NoApiKeys.into());
    assert!(host.http.requests().is_empty());
}

#[test]
fn a_generated_key_can_be_used() {
    let edge = Edge::new();
    let key = token::api_key::generate(token::api_key::Environment::Live, &edge.host.entropy);
    edge.host.http.reply_json(200, FOUND);
    let headers = bearer(key.expose_secret());
    assert!(edge.host.block_on(edge.authenticator.authenticate(sent(&headers), &edge.host.context())).is_ok());
}

#[test]
fn whoever_tries_keys_that_do_not_exist_has_to_wait_and_keys_that_are_known_do_not() {
    let edge = Edge::new();
    edge.host.http.reply_json(200, FOUND);
    assert!(edge.authenticate_from(KEY, Some("192.0.2.1")).is_ok());
    edge.host.http.handle(|_| async { Ok(json_reply("{}")) });
    let guess = |number: u32, address: &str| {
        let (host, entropy) = (&edge.host, &edge.host.entropy);
        let key = token::api_key::generate(token::api_key::Environment::Test, entropy);
        host.clock.advance(Duration::from_nanos(number.into()));
        edge.authenticate_from(key.expose_secret(), Some(address)).unwrap_err()
    };
    for number in 0..100 {
        assert_eq!(guess(number, "192.0.2.1"), Reason::UnknownApiKey.into(), "{number}");
    }
    let before = edge.look_ups();
    assert_eq!(guess(100, "192.0.2.1"), Reason::UnknownApiKey.into(), "the one that finds out is looked up");
    let Refusal::TooManyAttempts { retry_after } = guess(101, "192.0.2.1") else { panic!("it has to wait") };
    assert!(Duration::ZERO < retry_after && retry_after <= Duration::from_secs(3), "{retry_after:?}");
    assert_eq!(edge.look_ups(), before + 1);
    assert!(edge.authenticate_from(KEY, Some("192.0.2.1")).is_ok(), "what is known needs no look-up");
    assert_eq!(guess(102, "192.0.2.2"), Reason::UnknownApiKey.into(), "another network");
    edge.host.clock.advance(retry_after);
    assert_eq!(guess(103, "192.0.2.1"), Reason::UnknownApiKey.into(), "whoever waits as long as told gets through");
}

#[test]
fn keys_that_begin_alike_are_counted_wherever_they_come_from() {
    let edge = Edge::new();
    edge.host.http.handle(|_| async { Ok(json_reply("{}")) });
    let answers: Vec<_> = (0..40)
        .map(|number| {
            edge.host.clock.advance(Duration::from_secs(5)); // an unknown key is looked up again after that time
            edge.authenticate_from(KEY, Some(&format!("198.51.100.{number}"))).unwrap_err()
        })
        .collect();
    // 20 at once and one more every 15 seconds.
    assert!(answers[..30].iter().all(|refusal| *refusal == Reason::UnknownApiKey.into()), "{answers:?}");
    assert!(answers[30..].iter().any(|refusal| matches!(refusal, Refusal::TooManyAttempts { .. })), "{answers:?}");
}

fn json_reply(body: impl Into<platform::Body>) -> platform::Response {
    let mut response = platform::Response::new(body.into());
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    response
}
