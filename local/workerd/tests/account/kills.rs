//! Under load, workerd is killed at any moment: what was answered is there, and its row arrives once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use quota::samples::Random;

use super::{SECOND, allowed, apply, ask, dollars, now, reserve, settle};
use crate::account::database::{Database, Mood};
use crate::rig::{Worker, eventually, worker};

const ROUNDS: u64 = 20;
const CLIENTS: u64 = 6;
const RESERVED: u64 = 1000;

/// What one client knows of its calls.
#[derive(Default)]
struct Book {
    /// What was asked, by call: the amount it was, or would be, settled with.
    asked: BTreeMap<String, u64>,
    begun: Vec<String>,
    settled: Vec<String>,
}

#[test]
fn what_was_answered_survives_kills_at_any_moment() {
    let database = Database::start();
    let Some(mut worker) = worker(&database.variables()) else { return };
    let (mut random, mut all) = (Random::new(7), Book::default());
    for round in 0..ROUNDS {
        database.set(if round % 3 == 1 { Mood::Away } else { Mood::Works });
        let (url, answers, enough) = (worker.url().to_owned(), AtomicUsize::new(0), 1 + random.below(300));
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    scope.spawn({
                        let (url, answers) = (&url, &answers);
                        move || load(url, round * CLIENTS + client, answers)
                    })
                })
                .collect();
            assert!(eventually(|| (answers.load(Ordering::Relaxed) as u64 >= enough).then_some(())).is_some());
            worker.kill();
            for client in clients {
                let Book { asked, begun, settled } = client.join().unwrap();
                all.asked.extend(asked);
                all.begun.extend(begun);
                all.settled.extend(settled);
            }
        });
        worker.start();
        check(&worker, &all);
    }
    database.set(Mood::Works);
    let expected = end_all(&worker, &all);
    assert!(eventually(|| (database.ids() == expected).then_some(())).is_some(), "each row arrives");
    let rest = || (ask(worker.url(), "org", &json!({"stored": "o:"})).unwrap() == 0).then_some(());
    assert!(eventually(rest).is_some());
    assert!(expected.iter().all(|id| database.statuses(id) == ["settled"]));
}

/// Begins calls and ends two of three until nobody answers.
fn load(url: &str, client: u64, answers: &AtomicUsize) -> Book {
    let (mut book, mut random) = (Book::default(), Random::new(client + 1));
    for call in 0.. {
        let (id, amount) = (format!("{client:03}-{call:05}"), random.below(RESERVED));
        book.asked.insert(id.clone(), amount);
        match apply(url, "org", &[reserve(&id, &[dollars(u64::MAX)], RESERVED, 3600 * SECOND)]) {
            Ok(outcomes) => assert!(allowed(&outcomes)),
            Err(_) => break,
        }
        answers.fetch_add(1, Ordering::Relaxed);
        book.begun.push(id.clone());
        if random.below(3) == 0 {
            continue;
        }
        match apply(url, "org", &[settle(&id, amount)]) {
            Ok(outcomes) => assert!(allowed(&outcomes)),
            Err(_) => break,
        }
        answers.fetch_add(1, Ordering::Relaxed);
        book.settled.push(id);
    }
    book
}

/// All that was answered is there, and the sums are those of the calls that are there.
fn check(worker: &Worker, book: &Book) {
    let view = ask(worker.url(), "org", &json!({"view": now()})).unwrap();
    let stage = |id: &str| view["calls"][id]["stage"].as_str();
    assert!(book.begun.iter().all(|id| stage(id).is_some()), "a call that was let in is there");
    assert!(book.settled.iter().all(|id| stage(id) == Some("closed")), "a call that was settled is settled");
    let spent: u64 = book.asked.iter().filter(|(id, _)| stage(id) == Some("closed")).map(|(_, amount)| amount).sum();
    let open = book.asked.keys().filter(|id| stage(id) == Some("open")).count() as u64;
    let counter = &view["counters"]["org:1 usd-month"];
    assert_eq!((&counter["spent"], &counter["held"]), (&json!(spent), &json!(open * RESERVED)));
}

/// Settles what is still open; all calls that there are.
fn end_all(worker: &Worker, book: &Book) -> Vec<String> {
    let view = ask(worker.url(), "org", &json!({"view": now()})).unwrap();
    let calls = view["calls"].as_object().unwrap();
    let open: Vec<_> =
        calls.iter().filter(|(_, call)| call["stage"] == "open").map(|(id, _)| settle(id, book.asked[id])).collect();
    apply(worker.url(), "org", &open).unwrap();
    calls.keys().cloned().collect()
}
