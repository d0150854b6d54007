use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use platform::StoreError;
use quota::account::{Amounts, Operation, Reserve};

use crate::settlements::{GATHER, Limits, Settlements};

const REQUEST: &str = r#"{"model":"default","messages":[1]}"#;
const ANSWER: &str = r#"{"choices":[{"message":{"content":"Hi."},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;

const LIMITS: Limits = Limits { queue: 100, batch: 10 };

/// Settlements with `count` calls that have been admitted and are over; their ids, in order.
fn settlements(scene: &Scene, count: usize, limits: Limits) -> (Arc<Settlements>, Vec<String>) {
    let settlements = Settlements::new(scene.proxy.supabase.clone(), limits);
    let ids = (0..count).map(|_| end_one(scene, &settlements)).collect();
    (settlements, ids)
}

/// Admits a call and ends it; its id.
fn end_one(scene: &Scene, settlements: &Arc<Settlements>) -> String {
    let (context, proxy) = (scene.host.context(), &scene.proxy);
    let id = context.new_id().to_string();
    let reserve = Reserve {
        id: id.clone(),
        subjects: Vec::new(),
        amounts: Amounts::ONE_REQUEST,
        expires_after: 60_000_000_000,
        record: None,
    };
    let expect = |answered| settlements.expect(answered, "user:1".into(), reserve, &context);
    let reservation = scene.run(limits::reserve(&proxy.limits, &proxy.availability, &context, expect));
    let record = Some(json!({"id": id}).to_string());
    let settle = Operation::Settle { id: id.clone(), actual: Amounts::ONE_REQUEST, record };
    reservation.unwrap().end(settle);
    id
}

fn ids(events: &[Value]) -> BTreeSet<String> {
    events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

/// How many calls were settled at a time.
fn batches(scene: &Scene) -> Vec<usize> {
    let applied = scene.host.ledger.applied();
    let is_settle = |operation: &Operation| matches!(operation, Operation::Settle { .. });
    applied
        .iter()
        .map(|(_, operations)| operations.iter().filter(|each| is_settle(each)).count())
        .filter(|n| *n > 0)
        .collect()
}

fn away() -> StoreError {
    StoreError::Unavailable("the ledger is away".into())
}

#[test]
fn calls_are_settled_in_batches() {
    let scene = Scene::new();
    let (_, expected) = settlements(&scene, 7, Limits { queue: 100, batch: 3 });
    // The first request settles its own call and what the others add while it lets them gather.
    scene.run(scene.host.background.run_all());
    assert_eq!(batches(&scene), [3, 3, 1]);
    assert_eq!(ids(&scene.events()), expected.into_iter().collect());
}

#[test]
fn every_account_is_told_its_own_part() {
    let scene = Scene::new();
    scene.provider_json(ANSWER);
    for number in 1..=2 {
        let member = Member { user: Uuid::from_u128(number), org: None, key: None, tier: token::Tier::T1 };
        let Caller { payer, .. } = caller();
        let caller = Caller { payer: Payer { member, ..payer }, ..caller() };
        scene.run(scene.proxy.route(post(REQUEST), caller, &scene.host.context())).unwrap();
    }
    assert_eq!(scene.events().len(), 2);
    assert_eq!(batches(&scene), [1, 1]);
}

#[test]
fn a_ledger_that_stays_away_is_told_later() {
    let scene = Scene::new();
    scene.provider_json(ANSWER);
    let started = scene.host.clock.now();
    scene.complete(REQUEST).unwrap();
    scene.host.ledger.fail_with(away());
    assert_eq!(scene.events().len(), 0);
    assert!(scene.host.clock.now().duration_since(started).as_secs() < 30, "background work must end with its host");
    scene.host.ledger.fail_with(None);
    scene.run(scene.proxy.flush(&scene.host.context()));
    scene.run(scene.proxy.flush(&scene.host.context()));
    assert_eq!(scene.events().len(), 1);
}

#[test]
fn the_next_request_takes_along_what_was_left() {
    let scene = Scene::new();
    scene.provider_json(ANSWER);
    scene.complete(REQUEST).unwrap();
    scene.host.ledger.fail_with(away());
    assert_eq!(scene.events().len(), 0);
    scene.host.ledger.fail_with(None);
    scene.complete(REQUEST).unwrap();
    assert_eq!(scene.events().len(), 2);
    assert_eq!(batches(&scene).last(), Some(&2));
}

#[test]
fn a_call_that_the_ledger_has_forgotten_gets_its_row_all_the_same() {
    let scene = Scene::new();
    let (_, expected) = settlements(&scene, 1, LIMITS);
    scene.provider_json(ANSWER);
    // It expires after a minute, and is forgotten an hour later.
    scene.host.clock.advance(Duration::from_secs(3_700));
    assert_eq!(scene.events().len(), 0);
    assert_eq!(ids(&scene.database.lock().unwrap().recorded), expected.into_iter().collect());
}

#[test]
fn a_full_queue_lets_go_of_the_oldest_call() {
    let scene = Scene::new();
    let (settlements, expected) = settlements(&scene, 5, Limits { queue: 3, batch: 10 });
    scene.host.ledger.fail_with(away());
    assert_eq!(scene.events().len(), 0);
    scene.host.ledger.fail_with(None);
    scene.run(settlements.write(&scene.host.context()));
    assert_eq!(ids(&scene.events()), expected.into_iter().skip(2).collect());
}

#[test]
fn only_one_request_writes_and_what_comes_meanwhile_goes_with_it() {
    let scene = Scene::new();
    let (settlements, _) = settlements(&scene, 1, LIMITS);
    let mut first = Box::pin(scene.host.background.run_all());
    assert!(futures_util::FutureExt::now_or_never(&mut first).is_none());
    assert_eq!(batches(&scene), [0; 0], "it lets endings gather");
    scene.host.ledger.hold();
    scene.host.clock.advance(GATHER);
    assert!(futures_util::FutureExt::now_or_never(&mut first).is_none());
    scene.host.ledger.let_through();
    for _ in 0..3 {
        end_one(&scene, &settlements);
    }
    // These requests add their endings and are done at once, although the first is still writing.
    assert_eq!(futures_util::FutureExt::now_or_never(scene.host.background.run_all()), Some(()));
    assert_eq!(batches(&scene), [1]);
    scene.run(first);
    assert_eq!(batches(&scene), [1, 3]);
}

#[test]
fn a_writer_that_is_torn_down_loses_nothing() {
    let scene = Scene::new();
    let (settlements, expected) = settlements(&scene, 1, LIMITS);
    let mut writing = Box::pin(scene.host.background.run_all());
    assert!(futures_util::FutureExt::now_or_never(&mut writing).is_none());
    drop(writing);
    scene.run(settlements.write(&scene.host.context()));
    assert_eq!(ids(&scene.events()), expected.into_iter().collect());
}

#[test]
fn a_writer_that_vanishes_is_replaced_after_its_lease() {
    let scene = Scene::new();
    let (settlements, expected) = settlements(&scene, 1, LIMITS);
    let mut vanished = Box::pin(scene.host.background.run_all());
    assert!(futures_util::FutureExt::now_or_never(&mut vanished).is_none());
    // Some hosts neither continue nor drop the work of a request that has ended.
    std::mem::forget(vanished);
    let context = scene.host.context();
    assert_eq!(futures_util::FutureExt::now_or_never(settlements.write(&context)), Some(()));
    assert_eq!(scene.events().len(), 0);
    scene.host.clock.advance(Duration::from_secs(10));
    scene.run(settlements.write(&context));
    assert_eq!(ids(&scene.events()), expected.into_iter().collect());
}

#[test]
fn every_event_has_its_own_id_whatever_the_request_is_called() {
    let scene = Scene::new();
    scene.provider_json(ANSWER);
    scene.complete(REQUEST).unwrap();
    scene.complete(REQUEST).unwrap();
    let events = scene.events();
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["request_id"], events[1]["request_id"]);
    assert_ne!(events[0]["id"], events[1]["id"]);
}

#[test]
fn the_log_has_figures_and_no_word_of_prompt_answer_or_credential() {
    let scene = Scene::new();
    scene.provider_json(
        r#"{"model":"sim/large-0613","choices":[{"message":{"content":"green whales"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
    );
    // A line that another test reaches for the first time while this one begins to listen could stay silent: so it is
    // reached before.
    scene.complete(REQUEST).unwrap();
    scene.events();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (sink, now) = (Arc::clone(&lines), scene.host.clock.now());
    let write = move |line: &str| sink.lock().unwrap().push(line.to_owned());
    let subscriber = telemetry::subscriber(telemetry::Level::TRACE, move || now, write);
    tracing::subscriber::with_default(subscriber, || {
        scene.complete(r#"{"model":"default","messages":[{"role":"user","content":"purple elephants"}]}"#).unwrap();
        scene.host.ledger.fail_with(away());
        scene.events();
    });
    let lines = lines.lock().unwrap();
    for secret in ["purple elephants", "green whales", KEY, "sb_secret_x", "user.access.token"] {
        assert!(!lines.concat().contains(secret), "{secret} in {lines:?}");
    }
    let calls: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let call = calls.iter().find(|line| line["message"] == "llm call").unwrap();
    let expected = json!({
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "simulator", "gen_ai.request.model": "default",
        "gen_ai.request.stream": false, "gen_ai.response.model": "sim/large-0613",
        "gen_ai.response.finish_reasons": "stop", "gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.cache_read.input_tokens": 0, "gen_ai.usage.cache_creation.input_tokens": 0,
        "gen_ai.client.operation.duration": 0.0, "http.response.status_code": 200, "user.id": USER,
        "usage_source": "provider", "cost_nano_usd": 3 * 150 + 2 * 600, "price_version": "route", "cache_hit": false,
        "attempts": 1, "status": "success", "request_id": "request-1",
    });
    let mut told = call.clone();
    let about_the_line = ["ts", "level", "target", "message", "event"];
    told.as_object_mut().unwrap().retain(|name, _| !about_the_line.contains(&name.as_str()));
    assert_eq!(told, expected);
}
