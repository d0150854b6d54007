//! The account of an organization in its Durable Object: what it decides, and what it still knows after a crash.

mod database;
mod kills;

use std::time::{SystemTime, UNIX_EPOCH};

use quota::account::{Account, Amounts, Operation, Outcome, Per, Reserve, Rule, Subject, Unit};
use quota::samples::{Random, sequence};
use serde_json::{Value, json};

use crate::rig::{Connection, Worker, eventually, post, worker};
use database::{Database, Mood};

const SECOND: u64 = 1_000_000_000;
/// Samples are moved a hundred years ahead, where no alarm finds anything due.
const CENTURY: u64 = 100 * 365 * 86_400 * SECOND;

/// Applies operations now.
fn apply(url: &str, account: &str, operations: &[Operation]) -> std::io::Result<Vec<Outcome>> {
    let (status, body) = post(url, &format!("/__probe/apply?account={account}"), &json!(operations).to_string())?;
    assert_eq!(status, 200, "{body}");
    Ok(serde_json::from_str(&body).unwrap())
}

/// Asks the object itself.
fn ask(url: &str, account: &str, question: &Value) -> std::io::Result<Value> {
    let (status, body) = post(url, &format!("/__probe/account?name={account}"), &question.to_string())?;
    assert_eq!(status, 200, "{body}");
    Ok(serde_json::from_str(&body).unwrap())
}

fn allowed(outcomes: &[Outcome]) -> bool {
    matches!(outcomes, [Outcome::Decided(decision)] if decision.allowed)
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

fn subjects(rules: &[Rule]) -> Vec<Subject> {
    vec![Subject { name: "org:1".into(), rules: rules.to_vec() }]
}

fn dollars(limit: u64) -> Rule {
    Rule { name: "usd-month".into(), unit: Unit::NanoUsd, per: Per::Month, limit }
}

fn hourly(limit: u64) -> Rule {
    Rule { name: "org".into(), unit: Unit::Requests, per: Per::Seconds(3600), limit }
}

fn reserve(id: &str, rules: &[Rule], nano_usd: u64, expires_after: u64) -> Operation {
    let amounts = Amounts { nano_usd, ..Amounts::ONE_REQUEST };
    let (id, record) = (id.to_owned(), Some(row(id, "expired")));
    Operation::Reserve(Reserve { id, subjects: subjects(rules), amounts, expires_after, record })
}

fn settle(id: &str, nano_usd: u64) -> Operation {
    let actual = Amounts { nano_usd, ..Amounts::ONE_REQUEST };
    Operation::Settle { id: id.to_owned(), actual, record: Some(row(id, "settled")) }
}

fn row(id: &str, status: &str) -> String {
    json!({"id": id, "status": status}).to_string()
}

#[test]
fn the_object_decides_what_the_account_decides_whenever_it_is_killed() {
    let Some(mut worker) = worker(&[]) else { return };
    for seed in 1..=4 {
        let (name, mut random, mut model) = (format!("sample-{seed}"), Random::new(seed), Account::default());
        for (at, operation) in sequence(seed, 150) {
            let now = at + CENTURY;
            match random.below(25) {
                0 => killed_during(&mut worker, &name, &mut model, now, &operation, random.below(100_000)),
                1 => {
                    restart(&mut worker);
                    assert_eq!(view(&worker, &name, now), model.view(now), "seed {seed}, before {operation:?}");
                }
                _ => step(&worker, &name, &mut model, now, &operation),
            }
        }
    }
}

fn step(worker: &Worker, name: &str, model: &mut Account, now: u64, operation: &Operation) {
    let outcomes: Vec<Outcome> = serde_json::from_value(ask(worker.url(), name, &at(now, operation)).unwrap()).unwrap();
    assert_eq!(outcomes, [model.apply(now, operation)], "{name}: {operation:?}");
}

/// Kills workerd while it applies `operation`, after some turns: all of it has happened or nothing.
fn killed_during(worker: &mut Worker, name: &str, model: &mut Account, now: u64, operation: &Operation, turns: u64) {
    let (url, question) = (worker.url().to_owned(), at(now, operation));
    let answer = std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask(&url, name, &question));
        (0..turns).for_each(|_| std::hint::spin_loop());
        worker.kill();
        asking.join().unwrap()
    });
    worker.start();
    let (kept, before) = (view(worker, name, now), model.view(now));
    if answer.is_err() && kept == before {
        return step(worker, name, model, now, operation);
    }
    model.apply(now, operation);
    assert_eq!(kept, model.view(now), "{name}: {operation:?}, answered with {answer:?}");
}

fn at(now: u64, operation: &Operation) -> Value {
    json!({"apply": {"now": now, "operations": [operation]}})
}

fn restart(worker: &mut Worker) {
    worker.kill();
    worker.start();
}

fn view(worker: &Worker, name: &str, now: u64) -> Value {
    ask(worker.url(), name, &json!({"view": now})).unwrap()
}

#[test]
fn a_thousand_calls_at_once_begin_as_often_as_a_budget_allows() {
    let Some(worker) = worker(&[]) else { return };
    let begun = |client: usize| {
        let begins = |call: &usize| {
            let call = reserve(&format!("call-{client}-{call}"), &[dollars(100)], 1, 3600 * SECOND);
            allowed(&apply(worker.url(), "org", &[call]).unwrap())
        };
        (0..40).filter(begins).count()
    };
    let total: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..25).map(|client| scope.spawn(move || begun(client))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert_eq!(total, 100);
}

#[test]
fn a_panic_loses_nothing_that_was_answered() {
    let database = Database::start();
    let Some(worker) = worker(&database.variables()) else { return };
    let rules = [dollars(100)];
    assert!(allowed(&apply(worker.url(), "org", &[reserve("a", &rules, 60, 3600 * SECOND)]).unwrap()));
    let (status, problem) = post(worker.url(), "/__probe/account?name=org", r#"{"panic":null}"#).unwrap();
    assert_eq!((status, problem.contains("/problems/internal")), (500, true), "in the object");
    assert!(!allowed(&apply(worker.url(), "org", &[reserve("b", &rules, 41, 3600 * SECOND)]).unwrap()));
    assert!(allowed(&apply(worker.url(), "org", &[settle("a", 10)]).unwrap()));
    assert_eq!(Connection::to(&worker).get("/__probe/panic").0.status(), 500, "in a request");
    assert!(allowed(&apply(worker.url(), "org", &[reserve("c", &rules, 90, 3600 * SECOND)]).unwrap()));
    assert!(!allowed(&apply(worker.url(), "org", &[reserve("d", &rules, 1, 3600 * SECOND)]).unwrap()));
    assert!(eventually(|| (database.statuses("a") == ["settled"]).then_some(())).is_some());
}

/// Whoever sent them is gone, and nobody calls the object.
#[test]
fn a_panic_while_rows_are_sent_does_not_stop_them() {
    let database = Database::start();
    let Some(worker) = worker(&database.variables()) else { return };
    database.set(Mood::Hangs);
    apply(worker.url(), "org", &[reserve("a", &[dollars(9)], 1, 3600 * SECOND), settle("a", 1)]).unwrap();
    assert!(eventually(|| (database.waiting() > 0).then_some(())).is_some());
    assert_eq!(Connection::to(&worker).get("/__probe/panic").0.status(), 500);
    database.set(Mood::Away);
    assert!(eventually(|| (database.waiting() == 0).then_some(())).is_some());
    database.set(Mood::Works);
    assert!(eventually(|| (database.statuses("a") == ["settled"]).then_some(())).is_some());
}

#[test]
fn rates_are_stored_a_little_later() {
    let Some(mut worker) = worker(&[]) else { return };
    let take = Operation::Take { subjects: subjects(&[hourly(2)]), amounts: Amounts::ONE_REQUEST };
    assert!(allowed(&apply(worker.url(), "org", std::slice::from_ref(&take)).unwrap()));
    let saved = |url: &str| (ask(url, "org", &json!({"unsaved": null})).unwrap() == false).then_some(());
    assert!(eventually(|| saved(worker.url())).is_some());
    // What is answered after this was written later.
    let set = Operation::SetRules { subject: "other".into(), rules: vec![hourly(1)] };
    assert!(allowed(&apply(worker.url(), "org", &[set]).unwrap()));
    restart(&mut worker);
    assert!(allowed(&apply(worker.url(), "org", std::slice::from_ref(&take)).unwrap()));
    assert!(!allowed(&apply(worker.url(), "org", &[take]).unwrap()));
}

#[test]
fn a_call_of_which_nothing_is_heard_is_charged_by_the_alarm() {
    let database = Database::start();
    let Some(worker) = worker(&database.variables()) else { return };
    let call = reserve("a", &[dollars(100)], 60, SECOND / 10);
    assert!(allowed(&apply(worker.url(), "org", &[call]).unwrap()));
    assert!(eventually(|| (database.statuses("a") == ["expired"]).then_some(())).is_some());
    let look = view(&worker, "org", now());
    assert_eq!(
        (&look["calls"]["a"]["stage"], &look["counters"]["org:1 usd-month"]["spent"]),
        (&json!("expired"), &json!(60))
    );
}

#[test]
fn rows_wait_for_the_database_beyond_a_crash() {
    let database = Database::start();
    let Some(mut worker) = worker(&database.variables()) else { return };
    database.set(Mood::Away);
    for id in ["a", "b"] {
        let call = [reserve(id, &[dollars(100)], 1, 3600 * SECOND), settle(id, 1)];
        assert_eq!(apply(worker.url(), "org", &call).unwrap().len(), 2);
    }
    assert!(eventually(|| (database.refusals() > 1).then_some(())).is_some(), "it is tried more than once");
    restart(&mut worker);
    assert_eq!(stored(&worker, "o:"), 2);
    database.set(Mood::Works);
    // Nobody has to call for it.
    assert!(eventually(|| (database.ids() == ["a", "b"]).then_some(())).is_some());
    assert!(eventually(|| (stored(&worker, "o:") == 0).then_some(())).is_some());
}

/// What a call used became known while the row of its expiry was on its way.
#[test]
fn a_row_that_is_written_anew_while_it_is_sent_is_sent_again() {
    let database = Database::start();
    let Some(worker) = worker(&database.variables()) else { return };
    database.set(Mood::Hangs);
    apply(worker.url(), "org", &[reserve("a", &[dollars(100)], 60, SECOND / 10)]).unwrap();
    assert!(eventually(|| (database.waiting() > 0).then_some(())).is_some());
    assert!(allowed(&apply(worker.url(), "org", &[settle("a", 10)]).unwrap()), "nobody waits for the database");
    database.set(Mood::Works);
    assert!(eventually(|| (database.statuses("a") == ["expired", "settled"]).then_some(())).is_some());
    assert!(eventually(|| (stored(&worker, "o:") == 0).then_some(())).is_some());
}

/// So many rows that they go out in several batches and are written in several pieces.
#[test]
fn many_rows_at_once_all_arrive() {
    let database = Database::start();
    let Some(worker) = worker(&database.variables()) else { return };
    let calls: Vec<_> = (0..500).map(|number| format!("call-{number:03}")).collect();
    let operations: Vec<_> =
        calls.iter().flat_map(|id| [reserve(id, &[dollars(1000)], 1, 3600 * SECOND), settle(id, 1)]).collect();
    assert!(
        apply(worker.url(), "org", &operations).unwrap().iter().all(|outcome| allowed(std::slice::from_ref(outcome)))
    );
    assert!(eventually(|| (database.ids() == calls).then_some(())).is_some());
    assert!(database.largest() <= 200);
}

#[test]
fn an_account_that_is_idle_is_deleted() {
    let database = Database::start();
    let Some(worker) = worker(&database.variables()) else { return };
    // Long ago: whatever this call leaves behind is over.
    let question =
        json!({"apply": {"now": 1_000 * SECOND, "operations": [reserve("a", &[dollars(9), hourly(9)], 1, SECOND)]}});
    ask(worker.url(), "org", &question).unwrap();
    assert!(eventually(|| (database.statuses("a") == ["expired"]).then_some(())).is_some(), "first its row is sent");
    assert!(eventually(|| (stored(&worker, "") == 0).then_some(())).is_some());
}

fn stored(worker: &Worker, prefix: &str) -> Value {
    ask(worker.url(), "org", &json!({"stored": prefix})).unwrap()
}
