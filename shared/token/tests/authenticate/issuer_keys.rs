use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::poll;
use http::Response;
use platform::fakes::{Host, streamed_body};
use platform::{Body, Clock, SendError, StoreError, Timestamp};
use serde_json::{Value, json};
use token::{Authenticator, Reason, Refusal};

use crate::support::*;

const DAY: Duration = Duration::from_hours(24);

/// An edge with an issuer that publishes keys, and a verifier that is really asked.
struct Edge {
    host: Host,
    authenticator: Authenticator,
}

impl Edge {
    fn new() -> Self {
        Self { host: Host::new(), authenticator: remote() }
    }

    /// Another instance of the same edge: the same clock and shared cache, nothing in memory, no requests so far.
    fn another_instance(&self) -> Self {
        let Host { clock, cache, ledger, .. } = self.host.clone();
        let host = Host { clock, cache, ledger, ..Host::new() };
        Self { host, authenticator: remote() }
    }

    fn publish(&self, keys: &[&Key]) {
        self.host.http.reply_json(200, set(keys));
    }

    fn publish_with(&self, name: &str, value: &str, keys: &[&Key]) {
        self.host.http.reply(Response::builder().header(name, value).body(set(keys).into()).unwrap());
    }

    fn authenticate(&self, key: &Key) -> Result<(), Refusal> {
        let token = key.token(&claims_at(self.now()));
        self.present(&token)
    }

    fn present(&self, token: &str) -> Result<(), Refusal> {
        self.host.block_on(self.authenticator.authenticate(sent(&bearer(token)), &context(&self.host))).map(drop)
    }

    fn now(&self) -> i64 {
        self.host.clock.now().as_second()
    }

    fn advance(&self, seconds: u64) {
        self.host.clock.advance(Duration::from_secs(seconds));
    }

    fn run_background(&self) {
        self.host.block_on(self.host.background.run_all());
    }

    fn fetches(&self) -> usize {
        self.host.http.requests().len()
    }
}

fn set(keys: &[&Key]) -> String {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<Value>>() }).to_string()
}

fn key() -> Key {
    Key::new("k1", 1)
}

/// A token that names a key of its own.
fn forged(number: usize) -> String {
    let header = json!({"alg": "ES256", "kid": format!("forged-{number}")});
    format!("{}.{}", signing_input(&header.to_string(), &claims().to_string()), "A".repeat(86))
}

fn unknown() -> Result<(), Refusal> {
    Err(Reason::UnknownKey.into())
}

fn is_unavailable(outcome: &Result<(), Refusal>) -> bool {
    matches!(outcome, Err(Refusal::Unavailable { .. }))
}

#[test]
fn keys_are_fetched_once_and_are_fresh_for_ten_minutes() {
    let edge = Edge::new();
    edge.publish(&[&key()]);
    for _ in 0..3 {
        assert_eq!(edge.authenticate(&key()), Ok(()));
        edge.advance(199);
    }
    edge.run_background();
    assert_eq!(edge.fetches(), 1);
    let request = &edge.host.http.requests()[0];
    assert_eq!(request.uri, "https://x.supabase.co/auth/v1/.well-known/jwks.json");
    assert_eq!((request.header("accept"), request.header("authorization")), (Some("application/json"), None));
}

#[test]
fn stale_keys_are_used_at_once_and_renewed_behind_the_request() {
    let edge = Edge::new();
    edge.publish(&[&key()]);
    edge.authenticate(&key()).unwrap();
    edge.run_background();
    edge.advance(600);
    edge.publish(&[&key()]);
    assert_eq!(edge.authenticate(&key()), Ok(()));
    assert_eq!(edge.authenticate(&key()), Ok(()));
    assert_eq!(edge.fetches(), 1, "not on the request's path");
    edge.run_background();
    assert_eq!(edge.fetches(), 2);
    assert_eq!(edge.authenticate(&key()), Ok(()));
    edge.run_background();
    assert_eq!(edge.fetches(), 2);
}

#[test]
fn a_token_that_was_verified_renews_stale_keys_too() {
    let edge = Edge::new();
    edge.publish_with("cache-control", "max-age=60", &[&key()]);
    let token = key().token(&claims());
    edge.present(&token).unwrap();
    edge.run_background();
    edge.advance(60);
    edge.publish(&[]);
    edge.present(&token).unwrap();
    edge.run_background();
    assert_eq!((edge.fetches(), edge.present(&token)), (2, unknown()), "withdrawn keys end what they signed");
}

#[test]
fn a_key_that_is_replaced_under_its_name_ends_what_the_old_one_signed() {
    let edge = Edge::new();
    edge.publish_with("cache-control", "max-age=60", &[&key()]);
    let token = key().token(&claims());
    edge.present(&token).unwrap();
    edge.run_background();
    edge.advance(60);
    edge.publish(&[&Key::new("k1", 2)]);
    edge.present(&token).unwrap();
    edge.run_background();
    assert_eq!(edge.present(&token), Err(Reason::BadSignature.into()));
}

#[test]
fn max_age_decides_within_bounds_and_less_the_age() {
    for (name, value, fresh_seconds) in [
        ("cache-control", "public, max-age=300", 300),
        ("cache-control", "max-age=0", 60),
        ("cache-control", "no-store", 600),
        ("cache-control", "max-age=99999", 3600),
        ("cache-control", "max-age=abc", 600),
        ("age", "500", 100),
        ("age", "99999", 60),
    ] {
        let edge = Edge::new();
        edge.publish_with(name, value, &[&key()]);
        edge.authenticate(&key()).unwrap();
        edge.run_background();
        edge.advance(fresh_seconds - 1);
        edge.authenticate(&key()).unwrap();
        assert!(edge.host.background.is_empty(), "{value}");
        edge.advance(1);
        edge.authenticate(&key()).unwrap();
        assert_eq!(edge.host.background.len(), 1, "{value}");
    }
}

#[test]
fn no_token_is_refused_while_keys_rotate() {
    let edge = Edge::new();
    let (old, new) = (Key::new("old", 1), Key::new("new", 2));
    edge.publish(&[&old, &new]); // the new one stands by
    assert_eq!(edge.authenticate(&old), Ok(()));
    assert_eq!(edge.authenticate(&new), Ok(()), "in use");
    edge.run_background();
    edge.advance(600);
    edge.publish(&[&new, &old]); // the old one was used before
    assert_eq!((edge.authenticate(&old), edge.authenticate(&new)), (Ok(()), Ok(())));
    edge.run_background();
    edge.advance(600);
    edge.publish(&[&new]); // revoked
    assert_eq!(edge.authenticate(&new), Ok(()));
    edge.run_background();
    assert_eq!((edge.authenticate(&new), edge.authenticate(&old)), (Ok(()), unknown()));
    assert_eq!(edge.fetches(), 3);
}

#[test]
fn a_key_that_appears_without_notice_is_found_by_one_fetch() {
    let edge = Edge::new();
    edge.publish(&[&key()]);
    edge.authenticate(&key()).unwrap();
    edge.advance(30);
    let new = Key::new("new", 2);
    edge.publish(&[&key(), &new]);
    assert_eq!(edge.authenticate(&new), Ok(()));
    assert_eq!(edge.fetches(), 2);
}

#[test]
fn a_flood_of_forged_key_ids_causes_one_fetch_in_thirty_seconds() {
    let edge = Edge::new();
    edge.host.http.handle(|_| async { Ok(Response::new(set(&[&key()]).into())) });
    for number in 0..1000 {
        assert_eq!(edge.present(&forged(number)), unknown());
    }
    assert_eq!((edge.fetches(), edge.authenticate(&key())), (1, Ok(())));
    for round in 2..=4 {
        edge.advance(30);
        for number in 0..50 {
            assert_eq!(edge.present(&forged(round * 1000 + number)), unknown());
        }
        assert_eq!(edge.fetches(), round);
    }
}

#[test]
fn a_flood_at_once_causes_one_fetch_and_everybody_waits_for_it() {
    let edge = Edge::new();
    let held = edge.host.http.hold();
    let context = context(&edge.host);
    let good = bearer(&key().token(&claims()));
    let tokens: Vec<_> =
        (0..1000).map(|number| if number % 2 == 0 { good.clone() } else { bearer(&forged(number)) }).collect();
    let clock = edge.host.clock.clone();
    let release = async {
        Clock::sleep(&clock, Duration::from_secs(1)).await;
        held.release(Response::new(set(&[&key()]).into()));
    };
    let requests = join_all(tokens.iter().map(|headers| edge.authenticator.authenticate(sent(headers), &context)));
    let (outcomes, ()) = edge.host.block_on(futures_util::future::join(requests, release));
    for (number, outcome) in outcomes.into_iter().enumerate() {
        let expected = if number % 2 == 0 { Ok(()) } else { unknown() };
        assert_eq!(outcome.map(drop), expected, "{number}");
    }
    assert_eq!(edge.fetches(), 1);
}

#[test]
fn the_same_forged_key_id_is_remembered_for_a_minute() {
    let edge = Edge::new();
    edge.publish(&[&key()]);
    let forged = Key::new("forged", 2);
    assert_eq!(edge.authenticate(&forged), unknown());
    edge.advance(59);
    assert_eq!(edge.authenticate(&forged), unknown());
    assert_eq!(edge.fetches(), 1);
}

#[test]
fn an_issuer_that_cannot_be_asked_is_503_and_never_401_and_is_not_asked_again_for_thirty_seconds() {
    let too_long = format!("{}{}", set(&[&key()]), " ".repeat(64 * 1024));
    let many: Vec<_> = (0..33).map(|number| Key::new(&number.to_string(), 1)).collect();
    let redirect = || Response::builder().status(302).header("location", "http://evil.test/").body(Body::empty());
    let failures: [&dyn Fn(&Edge); 8] = [
        &|edge| edge.host.http.fail(SendError::Unreachable("refused".into())),
        &|edge| edge.host.http.reply_json(500, "{}"),
        &|edge| edge.host.http.reply_json(200, "<html></html>"),
        &|edge| edge.host.http.reply_json(200, too_long.clone()),
        &|edge| edge.host.http.reply_json(200, set(&many.iter().collect::<Vec<_>>())),
        &|edge| edge.host.http.reply(redirect().unwrap()),
        &|edge| edge.host.http.reply_json(404, set(&[&key()])),
        &|edge| {
            let (body, response) = streamed_body();
            body.send("{");
            body.cut();
            edge.host.http.reply(Response::new(response));
        },
    ];
    for (number, fail) in failures.iter().enumerate() {
        let edge = Edge::new();
        fail(&edge);
        for _ in 0..100 {
            assert!(is_unavailable(&edge.authenticate(&key())), "{number}");
        }
        assert_eq!(edge.fetches(), 1, "{number}");
        edge.advance(30);
        edge.publish(&[&key()]);
        assert_eq!(edge.authenticate(&key()), Ok(()), "{number}");
    }
}

#[test]
fn a_silent_issuer_is_given_five_seconds_and_retry_after_is_truthful() {
    let edge = Edge::new();
    let held = edge.host.http.hold();
    let began = edge.now();
    assert_eq!(edge.authenticate(&key()), Err(Refusal::Unavailable { retry_after: Duration::from_secs(25) }));
    assert_eq!(edge.now() - began, 5);
    assert!(held.is_cancelled());
    edge.publish(&[&key()]);
    edge.advance(25);
    assert_eq!(edge.authenticate(&key()), Ok(()));
}

#[test]
fn a_body_that_trickles_ends_with_the_deadline_too() {
    let edge = Edge::new();
    let (body, response) = streamed_body();
    body.send("{");
    edge.host.http.reply(Response::new(response));
    assert!(is_unavailable(&edge.authenticate(&key())));
    assert!(body.is_dropped());
}

#[test]
fn known_keys_outlive_the_issuer_by_a_day_and_unknown_ones_are_503() {
    let edge = Edge::new();
    edge.publish(&[&key()]);
    edge.authenticate(&key()).unwrap();
    edge.run_background();
    edge.host.http.handle(|_| async { Err(SendError::Unreachable("down".into())) });
    for hour in [1, 12, 24] {
        edge.host.clock.set(Timestamp::from_second(BEGIN + hour * 3600).unwrap());
        assert_eq!(edge.authenticate(&key()), Ok(()), "{hour} h");
        edge.run_background();
        assert!(is_unavailable(&edge.authenticate(&Key::new("new", 2))));
    }
    edge.advance(60);
    assert!(is_unavailable(&edge.authenticate(&key())), "after {DAY:?}");
}

#[test]
fn another_instance_takes_the_shared_copy_and_asks_nobody() {
    let first = Edge::new();
    first.publish(&[&key()]);
    first.authenticate(&key()).unwrap();
    first.run_background();
    assert_eq!(first.host.cache.keys().len(), 1);
    first.advance(100);
    let second = first.another_instance();
    assert_eq!((second.authenticate(&key()), second.fetches()), (Ok(()), 0));
}

#[test]
fn the_shared_copy_does_not_hide_a_new_key() {
    let first = Edge::new();
    first.publish(&[&key()]);
    first.authenticate(&key()).unwrap();
    first.run_background();
    first.advance(100);
    let (second, new) = (first.another_instance(), Key::new("new", 2));
    second.publish(&[&key(), &new]);
    assert_eq!((second.authenticate(&new), second.fetches()), (Ok(()), 1));
    second.run_background();
    let third = first.another_instance();
    assert_eq!((third.authenticate(&new), third.fetches()), (Ok(()), 0), "what the second found, the third knows");
    assert_eq!((third.authenticate(&Key::new("forged", 3)), third.fetches()), (unknown(), 0), "fetched just now");
}

#[test]
fn a_shared_copy_that_was_taken_does_not_count_as_a_fetch() {
    let first = Edge::new();
    first.publish(&[&key()]);
    first.authenticate(&key()).unwrap();
    first.run_background();
    first.advance(100);
    let (second, new) = (first.another_instance(), Key::new("new", 2));
    second.authenticate(&key()).unwrap();
    second.publish(&[&key(), &new]);
    assert_eq!((second.authenticate(&new), second.fetches()), (Ok(()), 1));
}

#[test]
fn instances_share_renewals_and_new_keys() {
    let (first, new) = (Edge::new(), Key::new("new", 2));
    first.publish(&[&key()]);
    first.authenticate(&key()).unwrap();
    first.run_background();
    let second = first.another_instance();
    second.authenticate(&key()).unwrap();
    first.advance(600);
    first.publish(&[&key(), &new]);
    first.authenticate(&key()).unwrap();
    first.run_background();
    first.advance(100);
    second.authenticate(&key()).unwrap();
    second.run_background();
    assert_eq!((second.authenticate(&new), second.fetches()), (Ok(()), 0));
}

#[test]
fn of_two_instances_that_meet_forged_key_ids_at_once_one_asks_the_issuer() {
    let first = Edge::new();
    first.publish(&[&key()]);
    first.authenticate(&key()).unwrap();
    first.run_background();
    let second = first.another_instance();
    second.authenticate(&key()).unwrap();
    first.advance(31);
    let held = first.host.http.hold();
    let (context, headers) = (context(&first.host), bearer(&forged(1)));
    let both = futures_util::future::join(
        first.authenticator.authenticate(sent(&headers), &context),
        second.authenticator.authenticate(sent(&headers), &context),
    );
    let clock = first.host.clock.clone();
    let release = async {
        Clock::sleep(&clock, Duration::from_secs(1)).await;
        held.release(Response::new(set(&[&key()]).into()));
    };
    let ((one, other), ()) = first.host.block_on(futures_util::future::join(both, release));
    assert_eq!((one.map(drop), other.map(drop)), (unknown(), unknown()));
    assert_eq!(first.fetches(), 2, "the first one, and one for both");
}

#[test]
fn an_older_shared_copy_does_not_bring_back_a_withdrawn_key() {
    let edge = Edge::new();
    edge.publish(&[&key()]);
    edge.authenticate(&key()).unwrap();
    edge.run_background();
    edge.advance(600);
    edge.host.cache.fail_with(StoreError::Unavailable("down".into()));
    edge.publish(&[]);
    edge.authenticate(&key()).unwrap();
    edge.run_background();
    edge.host.cache.fail_with(None);
    edge.advance(60);
    edge.publish(&[]);
    assert_eq!((edge.authenticate(&key()), edge.fetches()), (unknown(), 3));
}

#[test]
fn a_shared_cache_that_fails_or_holds_nonsense_is_no_help_and_no_harm() {
    let edge = Edge::new();
    edge.publish(&[&key()]);
    edge.authenticate(&key()).unwrap();
    edge.run_background();
    let name = edge.host.cache.keys().remove(0);
    for value in
        ["", "{}", "null", r#"{"fetched_at":"2026-01-01T00:00:00Z","fresh_seconds":600,"document":{"keys":1}}"#]
    {
        let other = edge.another_instance();
        let cache = other.host.context().cache;
        other.host.block_on(cache.set(&name, value.into(), DAY)).unwrap();
        other.publish(&[&key()]);
        assert_eq!((other.authenticate(&key()), other.fetches()), (Ok(()), 1), "{value}");
    }
    edge.host.cache.fail_with(StoreError::Unavailable("down".into()));
    let other = edge.another_instance();
    other.publish(&[&key()]);
    assert_eq!(other.authenticate(&key()), Ok(()));
    other.run_background();
}

#[test]
fn a_caller_who_hangs_up_takes_nobody_along() {
    let edge = Edge::new();
    let context = context(&edge.host);
    let held = edge.host.http.hold();
    let headers = bearer(&key().token(&claims()));
    edge.host.block_on(async {
        let mut first = Box::pin(edge.authenticator.authenticate(sent(&headers), &context));
        while edge.fetches() == 0 {
            assert!(poll!(&mut first).is_pending());
        }
    });
    assert!(held.is_cancelled());
    assert_eq!(edge.fetches(), 1);
    edge.publish(&[&key()]);
    let began = edge.host.clock.now();
    assert_eq!(edge.authenticate(&key()), Ok(()));
    assert_eq!(edge.host.clock.now().duration_since(began).as_secs(), 1, "no sooner, lest hang-ups become a flood");
}

#[test]
fn a_refresh_that_the_host_never_ran_is_given_up_and_begun_again() {
    let edge = Edge::new();
    edge.publish(&[&key()]);
    edge.authenticate(&key()).unwrap();
    edge.run_background();
    edge.advance(600);
    edge.authenticate(&key()).unwrap();
    assert_eq!(edge.host.background.len(), 1, "and never run");
    edge.advance(30);
    edge.authenticate(&key()).unwrap();
    assert_eq!(edge.host.background.len(), 2);
}

#[test]
fn a_clock_that_is_set_back_locks_nobody_out() {
    let edge = Edge::new();
    edge.host.http.fail(SendError::Unreachable("down".into()));
    assert!(is_unavailable(&edge.authenticate(&key())));
    edge.host.clock.set(Timestamp::from_second(BEGIN - 3600).unwrap());
    edge.publish(&[&key()]);
    assert_eq!(edge.authenticate(&key()), Ok(()));
}

#[test]
fn tokens_of_other_issuers_cause_no_fetch() {
    let edge = Edge::new();
    let mut claims = claims();
    claims["iss"] = json!("https://evil.test");
    assert_eq!(edge.present(&key().token(&claims)), Err(Reason::WrongIssuer.into()));
    assert_eq!(edge.present("garbage"), Err(Reason::NotCompact.into()));
    assert_eq!(edge.fetches(), 0);
}

#[test]
fn no_lock_is_held_while_the_issuer_is_asked() {
    let edge = Edge::new();
    let (asked, authenticator) = (Arc::new(AtomicBool::new(false)), Arc::new(remote()));
    let (inner, flag, host) = (Arc::clone(&authenticator), Arc::clone(&asked), edge.host.clone());
    edge.host.http.handle(move |_| {
        // Another request on the same instance, in the middle of the fetch.
        let mut other = Box::pin({
            let (inner, context) = (Arc::clone(&inner), host.context());
            async move { inner.authenticate(sent(&bearer("garbage")), &context).await.map(drop) }
        });
        flag.store(true, Ordering::Relaxed);
        async move {
            assert!(poll!(&mut other).is_ready());
            Ok(Response::new(set(&[&key()]).into()))
        }
    });
    let outcome =
        edge.host.block_on(authenticator.authenticate(sent(&bearer(&key().token(&claims()))), &context(&edge.host)));
    assert!(outcome.is_ok() && asked.load(Ordering::Relaxed));
}
