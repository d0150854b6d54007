use std::time::Duration;

use super::*;
use crate::recorder::{GATHER, Limits, Recorder};
use crate::usage_event::{Status, UsageEvent, UsageSource};

const REQUEST: &str = r#"{"model":"default","messages":[1]}"#;
const ANSWER: &str = r#"{"choices":[{"message":{"content":"Hi."},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;

fn event(context: &Context) -> UsageEvent {
    UsageEvent {
        id: context.new_id(),
        request_id: "request-1".into(),
        user_id: USER,
        org_id: None,
        api_key_id: None,
        alias: "default".into(),
        provider: "simulator",
        model: "sim/large".into(),
        stream: false,
        status: Status::Success,
        http_status: Some(200),
        finish_reason: None,
        input_tokens: 1,
        output_tokens: 1,
        cached_input_tokens: 0,
        usage_source: UsageSource::Provider,
        cost_nano_usd: None,
        latency_ms: 1,
        time_to_first_token_ms: None,
        attempts: 1,
        started_at: context.clock.now(),
    }
}

/// A recorder with `count` events promised and kept; their ids, in order.
fn recorder(scene: &Scene, count: usize, limits: Limits) -> (Arc<Recorder>, Vec<Value>) {
    scene.provider_json(ANSWER);
    let context = scene.host.context();
    let recorder = Recorder::new(scene.proxy.supabase.clone(), limits);
    let events: Vec<_> = (0..count).map(|_| event(&context)).collect();
    let ids = events.iter().map(|event| json!(event.id)).collect();
    for event in events {
        recorder.expect(&context).send(event).unwrap();
    }
    (recorder, ids)
}

fn ids(events: &[Value]) -> Vec<Value> {
    events.iter().map(|event| event["id"].clone()).collect()
}

fn batches(scene: &Scene) -> Vec<usize> {
    scene.database.lock().unwrap().recorded.iter().map(Vec::len).collect()
}

#[test]
fn events_are_written_in_batches_and_in_order() {
    let scene = Scene::new();
    let (_, expected) = recorder(&scene, 7, Limits { queue: 100, batch: 3 });
    // The first request writes its own event and what the others add while it lets them gather.
    scene.run(scene.host.background.run_all());
    assert_eq!(batches(&scene), [3, 3, 1]);
    assert_eq!(ids(&scene.events()), expected);
}

#[test]
fn a_database_that_fails_for_a_while_gets_every_event_once() {
    for failures in [vec![500], vec![503, 503], vec![504, 500, 502, 500, 500]] {
        let scene = Scene::new();
        let (_, expected) = recorder(&scene, 3, Limits { queue: 100, batch: 10 });
        scene.database.lock().unwrap().failures = failures;
        assert_eq!(ids(&scene.events()), expected);
    }
}

#[test]
fn a_database_that_stays_away_gets_the_events_later() {
    let scene = Scene::new();
    scene.provider_json(ANSWER);
    scene.call(get("https://edge.test/v1/models")).unwrap();
    scene.database.lock().unwrap().unreachable = true;
    let started = scene.host.clock.now();
    scene.complete(REQUEST).unwrap();
    assert_eq!(scene.events().len(), 0);
    assert!(scene.host.clock.now().duration_since(started).as_secs() < 30, "background work must end with its host");
    scene.database.lock().unwrap().unreachable = false;
    scene.run(scene.proxy.flush(&scene.host.context()));
    scene.run(scene.proxy.flush(&scene.host.context()));
    assert_eq!(scene.events().len(), 1);
}

#[test]
fn the_next_request_takes_along_what_was_left() {
    let scene = Scene::new();
    scene.provider_json(ANSWER);
    scene.complete(REQUEST).unwrap();
    scene.database.lock().unwrap().unreachable = true;
    assert_eq!(scene.events().len(), 0);
    scene.database.lock().unwrap().unreachable = false;
    scene.complete(REQUEST).unwrap();
    assert_eq!(scene.events().len(), 2);
    assert_eq!(batches(&scene), [2]);
}

#[test]
fn a_wrong_key_is_no_reason_to_lose_or_to_repeat_anything() {
    let scene = Scene::new();
    let (recorder, expected) = recorder(&scene, 1, Limits { queue: 100, batch: 10 });
    scene.database.lock().unwrap().failures = vec![401];
    assert_eq!(scene.events().len(), 0);
    assert_eq!(scene.calls_to("record_llm_usage"), 1);
    scene.run(recorder.write(&scene.host.context()));
    assert_eq!(ids(&scene.events()), expected);
}

#[test]
fn an_event_that_the_database_refuses_does_not_hold_up_the_others() {
    let scene = Scene::new();
    let (recorder, expected) = recorder(&scene, 2, Limits { queue: 100, batch: 10 });
    scene.database.lock().unwrap().refused = json!([{"id": expected[0], "reason": "too long"}]);
    assert_eq!(scene.events().len(), 2);
    scene.run(recorder.write(&scene.host.context()));
    assert_eq!(scene.events().len(), 2);
}

#[test]
fn a_full_queue_lets_go_of_the_oldest_event() {
    let scene = Scene::new();
    let (recorder, expected) = recorder(&scene, 5, Limits { queue: 3, batch: 10 });
    scene.database.lock().unwrap().unreachable = true;
    assert_eq!(scene.events().len(), 0);
    scene.database.lock().unwrap().unreachable = false;
    scene.run(recorder.write(&scene.host.context()));
    assert_eq!(ids(&scene.events()), expected[2..]);
}

#[test]
fn only_one_request_writes_and_what_comes_meanwhile_goes_with_it() {
    let scene = Scene::new();
    let (recorder, _) = recorder(&scene, 1, Limits { queue: 100, batch: 10 });
    let context = scene.host.context();
    let held = scene.host.http.hold();
    let mut first = Box::pin(scene.host.background.run_all());
    assert!(futures_util::FutureExt::now_or_never(&mut first).is_none());
    assert_eq!(scene.calls_to("record_llm_usage"), 0, "it lets events gather");
    scene.host.clock.advance(GATHER);
    assert!(futures_util::FutureExt::now_or_never(&mut first).is_none());
    for _ in 0..3 {
        recorder.expect(&context).send(event(&context)).unwrap();
    }
    // These requests add their events and are done at once, although the first is still writing.
    assert_eq!(futures_util::FutureExt::now_or_never(scene.host.background.run_all()), Some(()));
    assert_eq!(scene.calls_to("record_llm_usage"), 1);
    held.release(response(200, "application/json", r#"{"recorded":1}"#));
    scene.run(first);
    assert_eq!(batches(&scene), [3]);
}

#[test]
fn a_writer_that_is_torn_down_loses_nothing() {
    let scene = Scene::new();
    let (recorder, expected) = recorder(&scene, 1, Limits { queue: 100, batch: 10 });
    let _held = scene.host.http.hold();
    let mut writing = Box::pin(scene.host.background.run_all());
    assert!(futures_util::FutureExt::now_or_never(&mut writing).is_none());
    drop(writing);
    scene.run(recorder.write(&scene.host.context()));
    assert_eq!(ids(&scene.events()), expected);
}

#[test]
fn a_writer_that_vanishes_is_replaced_after_its_lease() {
    let scene = Scene::new();
    let (recorder, expected) = recorder(&scene, 1, Limits { queue: 100, batch: 10 });
    let _held = scene.host.http.hold();
    let mut vanished = Box::pin(scene.host.background.run_all());
    assert!(futures_util::FutureExt::now_or_never(&mut vanished).is_none());
    // Some hosts neither continue nor drop the work of a request that has ended.
    std::mem::forget(vanished);
    let context = scene.host.context();
    assert_eq!(futures_util::FutureExt::now_or_never(recorder.write(&context)), Some(()));
    assert_eq!(scene.events().len(), 0);
    scene.host.clock.advance(Duration::from_secs(10));
    scene.run(recorder.write(&context));
    assert_eq!(ids(&scene.events()), expected);
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
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (sink, now) = (Arc::clone(&lines), scene.host.clock.now());
    let write = move |line: &str| sink.lock().unwrap().push(line.to_owned());
    let subscriber = telemetry::subscriber(telemetry::Level::TRACE, move || now, write);
    tracing::subscriber::with_default(subscriber, || {
        scene.complete(r#"{"model":"default","messages":[{"role":"user","content":"purple elephants"}]}"#).unwrap();
        scene.database.lock().unwrap().failures = vec![500];
        scene.events();
    });
    let lines = lines.lock().unwrap();
    for secret in ["purple elephants", "green whales", KEY, "sb_secret_x", "user.access.token"] {
        assert!(!lines.concat().contains(secret), "{secret} in {lines:?}");
    }
    let calls: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let call = calls.iter().find(|line| line["message"] == "llm call").unwrap();
    let names = [
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "status",
        "request_id",
    ];
    assert_eq!(
        names.map(|name| call[name].clone()),
        [
            json!("simulator"),
            json!("default"),
            json!("sim/large-0613"),
            json!(3),
            json!(2),
            json!("success"),
            json!("request-1")
        ]
    );
}
