use std::time::Duration;

use platform::StoreError;
use quota::account::{Operation, Per, Rule, Unit};

use super::*;

const REQUEST: &str = r#"{"model":"default","messages":[{"role":"user","content":"Hi"}],"max_tokens":10}"#;
const ANSWER: &str = r#"{"choices":[{"message":{"content":"Hi."},"finish_reason":"stop"}],"usage":{"prompt_tokens":4,"completion_tokens":2}}"#;
const ACCOUNT: &str = "user:00000000-0000-0000-0000-000000000007";
/// `Hi`, `role`, `user` and `content` are 17 bytes at 150, ten tokens cost 600 each.
const WORST: u64 = 17 * 150 + 10 * 600;
const ACTUAL: u64 = 4 * 150 + 2 * 600;

fn scene_with(rules: &[Rule]) -> Scene {
    let scene = Scene::new();
    scene.provider_json(ANSWER);
    set(&scene, rules);
    scene
}

fn set(scene: &Scene, rules: &[Rule]) {
    let set = Operation::SetRules { subject: ACCOUNT.into(), rules: rules.to_vec() };
    scene.run(scene.host.context().ledger.apply(ACCOUNT, &[set])).unwrap();
}

fn budget(limit: u64) -> Rule {
    limits::rule(limits::Level::User, Unit::NanoUsd, Per::Month, limit)
}

fn rate(limit: u64) -> Rule {
    limits::rule(limits::Level::User, Unit::Requests, Per::Seconds(3600), limit)
}

fn header(headers: &http::HeaderMap, name: &str) -> String {
    headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap().to_owned()
}

#[test]
fn every_limited_answer_tells_where_the_limits_stand() {
    let scene = scene_with(&[]);
    let answer = scene.complete(REQUEST).unwrap();
    assert_eq!(header(answer.headers(), "ratelimit-policy"), r#""user";q=100;w=3600"#);
    assert_eq!(header(answer.headers(), "ratelimit"), r#""user";r=99;t=36"#);
    assert_eq!(header(answer.headers(), "x-ratelimit-limit-requests"), "100");
    assert_eq!(header(answer.headers(), "x-ratelimit-remaining-requests"), "99");
    assert_eq!(header(answer.headers(), "x-ratelimit-reset-requests"), "36s");
    scene.provider(|| Err(SendError::Unreachable("gone".into())));
    let (status, headers, _) = refused(scene.complete(REQUEST).unwrap_err());
    assert_eq!((status, header(&headers, "ratelimit")), (503, r#""user";r=98;t=36"#.to_owned()));
}

#[test]
fn the_ledger_is_asked_once_before_the_provider_and_told_once_after_the_answer() {
    let scene = Scene::new();
    let (ledger, asked) = (scene.host.ledger.clone(), Arc::new(Mutex::new(Vec::new())));
    let noted = Arc::clone(&asked);
    scene.provider(move || {
        noted.lock().unwrap().push(ledger.applied());
        Ok(response(200, "application/json", ANSWER))
    });
    scene.complete(REQUEST).unwrap();
    let asked = asked.lock().unwrap().clone();
    assert!(matches!(&*asked[0], [(_, operations)] if matches!(&**operations, [Operation::Reserve(_)])), "{asked:?}");
    assert_eq!(scene.events().len(), 1);
    let after = scene.host.ledger.applied().split_off(1);
    assert!(matches!(&*after, [(_, operations)] if matches!(&**operations, [Operation::Settle { .. }])), "{after:?}");
}

#[test]
fn who_waits_as_told_gets_through() {
    let scene = scene_with(&[rate(2)]);
    for _ in 0..2 {
        scene.complete(REQUEST).unwrap();
    }
    for _ in 0..5 {
        let (status, headers, error) = refused(scene.complete(REQUEST).unwrap_err());
        assert_eq!((status, error["code"].as_str()), (429, Some("rate_limited")));
        let wait: u64 = header(&headers, "retry-after-ms").parse().unwrap();
        assert_eq!(header(&headers, "retry-after"), wait.div_ceil(1000).to_string());
        assert_eq!(header(&headers, "x-ratelimit-remaining-requests"), "0");
        scene.host.clock.advance(Duration::from_millis(wait));
        scene.complete(REQUEST).unwrap();
    }
    assert_eq!(scene.events().len(), 7, "what was refused is no call");
}

#[test]
fn the_most_that_a_call_could_come_to_is_reserved_and_what_it_did_is_spent() {
    let scene = scene_with(&[budget(WORST + ACTUAL - 1)]);
    let reserved = scene.complete(REQUEST).unwrap();
    assert!(header(reserved.headers(), "ratelimit").starts_with(&format!("\"user-nano-usd-month\";r={}", ACTUAL - 1)));
    scene.events();
    let (status, headers, error) = refused(scene.complete(REQUEST).unwrap_err());
    assert_eq!((status, error["type"].as_str()), (429, Some("insufficient_quota")));
    assert_eq!(header(&headers, "x-should-retry"), "false");
    set(&scene, &[budget(WORST + ACTUAL)]);
    scene.complete(REQUEST).unwrap();
}

#[test]
fn a_call_that_comes_to_nothing_costs_nothing() {
    let scene = scene_with(&[budget(WORST)]);
    scene.provider(|| Err(SendError::Unreachable("gone".into())));
    for _ in 0..3 {
        assert_eq!(refused(scene.complete(REQUEST).unwrap_err()).0, 503);
        scene.events();
    }
    assert!(scene.events().iter().all(|event| event["cost_nano_usd"] == 0));
}

#[test]
fn a_request_that_no_budget_allows_is_told_what_to_change() {
    let scene = scene_with(&[budget(WORST - 1)]);
    let (status, headers, error) = refused(scene.complete(REQUEST).unwrap_err());
    assert_eq!((status, error["code"].as_str()), (400, Some("exceeds_limit")));
    assert!(error["message"].as_str().unwrap().contains("max_tokens"));
    assert!(!headers.contains_key("retry-after"));
}

#[test]
fn what_has_no_price_is_refused_where_there_is_a_budget() {
    let request = REQUEST.replace("default", "unpriced");
    let scene = scene_with(&[]);
    scene.complete(&request).unwrap();
    set(&scene, &[budget(1_000_000_000)]);
    assert_eq!(refused(scene.complete(&request).unwrap_err()).0, 400);
}

#[test]
fn without_the_ledger_nothing_that_costs_is_begun_and_it_is_found_again() {
    let scene = scene_with(&[]);
    scene.host.ledger.fail_with(StoreError::Unavailable("away".into()));
    for _ in 0..10 {
        let (status, headers, _) = refused(scene.complete(REQUEST).unwrap_err());
        assert_eq!(status, 503);
        assert!((1_000..4_000).contains(&header(&headers, "retry-after-ms").parse::<u64>().unwrap()));
    }
    let asked = scene.host.ledger.applied().len();
    assert!(asked < 6, "{asked} times asked: it is left alone for a moment");
    scene.host.ledger.fail_with(None);
    scene.host.clock.advance(Duration::from_secs(1));
    scene.complete(REQUEST).unwrap();
    scene.complete(REQUEST).unwrap();
    assert_eq!(scene.sent_count(), 2);
}

#[test]
fn a_ledger_that_is_slow_is_not_waited_for_and_what_it_holds_comes_back() {
    let scene = scene_with(&[budget(WORST)]);
    scene.host.ledger.hold();
    let started = scene.host.clock.now();
    assert_eq!(refused(scene.complete(REQUEST).unwrap_err()).0, 503);
    assert_eq!(scene.host.clock.now().duration_since(started).as_millis(), 50);
    scene.host.ledger.let_through();
    assert_eq!(scene.events().len(), 0, "a call that was not begun has no row");
    scene.complete(REQUEST).unwrap();
}

#[test]
fn a_call_of_which_nothing_is_heard_leaves_a_row_for_the_most_it_could_be() {
    let scene = scene_with(&[budget(WORST)]);
    let answer = scene.complete(REQUEST).unwrap();
    drop(answer);
    // The instance is gone before it can tell.
    scene.host.background.forget();
    scene.host.clock.advance(Duration::from_hours(1));
    set(&scene, &[]);
    let event = scene.event();
    assert_eq!((&event["status"], &event["usage_source"]), (&json!("abandoned"), &json!("reserved")));
    assert_eq!(event["cost_nano_usd"], WORST);
}
