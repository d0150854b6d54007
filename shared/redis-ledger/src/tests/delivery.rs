//! The way of rows to the database.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use platform::fakes::{Host, block_on};
use quota::account::Operation;
use serde_json::Value;

use super::{SECOND, Test, reserve, settle, texts};
use crate::Reply;
use crate::ledger::ROWS;

/// A database that is away at first, and the ids it has been given.
fn database(host: &Host, failures: usize) -> Arc<Mutex<Vec<String>>> {
    let failures = AtomicUsize::new(failures);
    let given = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&given);
    host.http.handle(move |request| {
        let is_away = failures.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
        let kept = Arc::clone(&kept);
        async move {
            if is_away {
                return Err(platform::SendError::Unreachable("it is away".into()));
            }
            let body = request.into_body().read(1 << 20).await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let events = body["payload"]["events"].as_array().unwrap();
            kept.lock().unwrap().extend(events.iter().map(|event| event["id"].as_str().unwrap().to_owned()));
            Ok(platform::Response::new(platform::Body::from("{}")))
        }
    });
    given
}

#[test]
fn rows_wait_for_the_database_and_then_come_once_each() {
    let test = Test::new();
    let given = database(&test.host, 6);
    for number in 0..450 {
        let id = format!("call-{number}");
        let operations = [reserve(&id, 1_000_000, 600 * SECOND), settle(&id)];
        block_on(test.ledger.apply_at(None, "org", &operations)).unwrap();
    }
    let applied = platform::Ledger::apply(&test.ledger, "org", &[Operation::Expire]);
    block_on(applied).unwrap();
    test.host.block_on(test.host.background.run_all());
    assert_eq!(*given.lock().unwrap(), (0..450).map(|number| format!("call-{number}")).collect::<Vec<_>>());
    assert_eq!(test.command("XLEN", &[ROWS]), [Reply::Integer(0)]);
}

#[test]
fn calls_of_accounts_that_nobody_touches_are_charged_and_recorded() {
    let test = Test::new();
    let given = database(&test.host, 0);
    for number in 0..3 {
        let operation = reserve(&format!("call-{number}"), 1_000, 0);
        block_on(test.ledger.apply_at(None, &format!("org:{number}"), &[operation])).unwrap();
    }
    block_on(test.ledger.apply_at(None, "busy", &[reserve("busy", 1_000, 600 * SECOND)])).unwrap();
    let TimeOf(seconds) = TimeOf::now(&test);
    test.host.clock.set(platform::Timestamp::from_second(seconds).unwrap());
    block_on(test.ledger.expire_others()).unwrap();
    let mut given = given.lock().unwrap().clone();
    given.sort();
    assert_eq!(given, (0..3).map(|number| format!("call-{number} is lost")).collect::<Vec<_>>());
}

/// What time it is for Redis.
struct TimeOf(i64);

impl TimeOf {
    fn now(test: &Test) -> Self {
        Self(texts(test.command("TIME", &[]))[0].parse().unwrap())
    }
}

#[test]
fn while_somebody_delivers_nobody_else_does() {
    let test = Test::new();
    let given = database(&test.host, 0);
    let deliver = |id: &str| {
        block_on(platform::Ledger::apply(&test.ledger, "org", &[reserve(id, 1_000, SECOND), settle(id)])).unwrap();
        test.host.block_on(test.host.background.run_all());
        given.lock().unwrap().len()
    };
    test.command("SET", &["{qlp-ledger}:delivery", "taken", "PX", "60000"]);
    assert_eq!(deliver("a"), 0);
    test.command("DEL", &["{qlp-ledger}:delivery"]);
    assert_eq!(deliver("b"), 2);
    assert_eq!(test.command("EXISTS", &["{qlp-ledger}:delivery"]), [Reply::Integer(0)]);
}
