//! Rate limits in SQL decide what `shared/quota` decides.

use std::collections::BTreeMap;
use std::thread;

use postgres::Transaction;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use quota::{Policy, State, Take};
use serde_json::{Value, json};

use crate::Test;
use crate::cluster::{As, Cluster, become_, code};

pub const TESTS: &[Test] = &[
    ("every_vector_is_decided_in_sql_as_in_rust", vectors),
    ("whatever_is_taken_in_whatever_order_sql_and_rust_decide_alike", random_sequences),
    ("of_many_takes_at_once_exactly_the_limit_passes", at_once),
    ("no_caller_says_what_time_it_is", time_is_the_databases),
    ("only_the_service_takes", grants),
    ("idle_rows_do_not_accumulate", sweeping),
    ("a_wrong_argument_of_a_take_is_named", wrong_arguments),
];

/// What the database decides at `now`: the decision, and the arrivals afterwards.
fn decide(
    transaction: &mut Transaction<'_>,
    arrivals: &Value,
    now: u64,
    takes: &Value,
    most: Option<usize>,
) -> (Value, Value) {
    let most = most.map_or_else(String::new, |most| format!(", {most}"));
    let call = format!("select private.decide_limits($1, $2::text::numeric, $3{most})");
    let mut decided: Value = transaction.query_one(&call, &[arrivals, &now.to_string(), takes]).unwrap().get(0);
    let arrivals = decided.as_object_mut().unwrap().remove("arrivals").unwrap();
    (decided, arrivals)
}

fn vectors(cluster: &Cluster) {
    let cases: Value = serde_json::from_str(include_str!("../../../../shared/quota/vectors.json")).unwrap();
    cluster.transaction(|transaction| {
        become_(transaction, As::Service);
        for case in cases.as_array().unwrap() {
            let mut arrivals = json!({});
            let most = case["most"].as_u64().map(|most| usize::try_from(most).unwrap());
            for (number, step) in case["steps"].as_array().unwrap().iter().enumerate() {
                let now = step["now"].as_u64().unwrap();
                let (decision, after) = decide(transaction, &arrivals, now, &step["takes"], most);
                assert_eq!(decision, step["decision"], "{}, step {number}", case["name"]);
                assert_eq!(after, step["arrivals"], "{}, step {number}", case["name"]);
                arrivals = after;
            }
        }
    });
}

fn random_sequences(cluster: &Cluster) {
    // Mostly numbers as they occur, so that takes are refused as often as not; sometimes absurd ones.
    let number = |usual: std::ops::Range<u64>| prop_oneof![9 => usual, 1 => any::<u64>()];
    let take =
        ("[a-e]", number(0..20), number(0..30), number(0..8)).prop_map(|(subject, limit, window_seconds, quantity)| {
            let name = if quantity % 2 == 0 { "even" } else { "odd" };
            Take { subject, policy: Policy { name: name.into(), limit, window_seconds }, quantity }
        });
    let step = (0u64..5_000_000_000, prop::collection::vec(take, 0..4));
    let begin = number(1_700_000_000_000_000_000..1_900_000_000_000_000_000);
    let sequences = (begin, prop::option::of(0..4usize), prop::collection::vec(step, 1..20));
    cluster.transaction(|transaction| {
        become_(transaction, As::Service);
        let transaction = std::cell::RefCell::new(transaction);
        let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
        let outcome = runner.run(&sequences, |(begin, most, steps)| {
            let (mut state, mut arrivals, mut now) = (State::default(), json!({}), begin);
            for (later, takes) in steps {
                now = now.saturating_add(later);
                let expected = match most {
                    Some(most) => state.take_within(most, now, &takes),
                    None => state.take(now, &takes),
                };
                let expected = serde_json::to_value(expected).unwrap();
                let takes = serde_json::to_value(&takes).unwrap();
                let (decision, after) = decide(&mut transaction.borrow_mut(), &arrivals, now, &takes, most);
                prop_assert_eq!(decision, expected);
                prop_assert_eq!(json!({"arrivals": &after}), serde_json::to_value(&state).unwrap());
                arrivals = after;
            }
            Ok(())
        });
        outcome.unwrap();
    });
}

fn take(limit: u64, window_seconds: u64, quantity: u64) -> Value {
    let policy = Policy { name: "test".into(), limit, window_seconds };
    json!([Take { subject: "a".into(), policy, quantity }])
}

const MONTH: u64 = 30 * 24 * 3600;

fn at_once(cluster: &Cluster) {
    let payload = json!({"shard": "at once", "takes": take(20, MONTH, 1)});
    let allowed = thread::scope(|scope| {
        let takers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let decide = || cluster.call(As::Service, "take_from_limits", &payload).unwrap();
                    (0..10).filter(|_| decide()["allowed"] == json!(true)).count()
                })
            })
            .collect();
        takers.into_iter().map(|taker| taker.join().unwrap()).sum::<usize>()
    });
    assert_eq!(allowed, 20);
}

fn time_is_the_databases(cluster: &Cluster) {
    let mut payload = json!({"shard": "time", "takes": take(1, MONTH, 1)});
    let decision = cluster.call(As::Service, "take_from_limits", &payload).unwrap();
    assert_eq!(
        (&decision["allowed"], &decision["standings"][0]["reset_after"]),
        (&json!(true), &json!(MONTH * 1_000_000_000))
    );
    for name in ["now", "present", "time"] {
        payload[name] = json!(9_000_000_000_000_000_000u64);
    }
    let decision = cluster.call(As::Service, "take_from_limits", &payload).unwrap();
    assert_eq!(decision["allowed"], json!(false));
    assert_eq!(decision.as_object().unwrap().keys().collect::<Vec<_>>(), ["allowed", "standings"]);
}

fn grants(cluster: &Cluster) {
    let payload = json!({"shard": "grants", "takes": take(1, 1, 1)});
    for who in [As::User(cluster.owner), As::Anonymous] {
        assert_eq!(code(&cluster.call(who, "take_from_limits", &payload).unwrap_err()), "42501");
        for statement in ["select * from private.rate_limits", "select private.decide_limits('{}', 0, '[]')"] {
            let refused = cluster.transaction(|transaction| {
                become_(transaction, who);
                transaction.execute(statement, &[]).unwrap_err()
            });
            assert_eq!(code(&refused), "42501", "{statement}");
        }
    }
}

fn sweeping(cluster: &Cluster) {
    let mut superuser = cluster.superuser("postgres");
    let idle = "insert into private.rate_limits (shard, idle_at) select 'idle ' || number, number from generate_series(1, 25) number";
    superuser.execute(idle, &[]).unwrap();
    let mut left = || -> BTreeMap<bool, i64> {
        let count = "select idle_at < 1000, count(*) from private.rate_limits where shard ~ '^(idle|new) ' group by 1";
        superuser.query(count, &[]).unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
    };
    for expected in [
        BTreeMap::from([(true, 15), (false, 1)]),
        BTreeMap::from([(true, 5), (false, 2)]),
        BTreeMap::from([(false, 3)]),
    ] {
        let payload = json!({"shard": format!("new {expected:?}"), "takes": take(1, MONTH, 1)});
        cluster.call(As::Service, "take_from_limits", &payload).unwrap();
        assert_eq!(left(), expected);
    }
}

fn wrong_arguments(cluster: &Cluster) {
    let takes = take(1, 1, 1);
    let with = |name: &str, value: Value| {
        let mut takes = takes.clone();
        takes[0][name] = value;
        json!({"shard": "wrong", "takes": takes})
    };
    let cases = [
        (json!({"takes": takes}), "shard"),
        (json!({"shard": "", "takes": takes}), "shard"),
        (json!({"shard": "x".repeat(201), "takes": takes}), "shard"),
        (json!({"shard": "wrong", "takes": {}}), "takes"),
        (with("quantity", json!(-1)), "takes"),
        (with("subject", Value::Null), "takes"),
        (with("policy", json!({"limit": 1})), "takes"),
    ];
    for (payload, field) in cases {
        let refused = cluster.call(As::Service, "take_from_limits", &payload).unwrap_err();
        assert_eq!((code(&refused), refused.as_db_error().unwrap().detail()), ("PT400", Some(field)), "{payload}");
    }
}
