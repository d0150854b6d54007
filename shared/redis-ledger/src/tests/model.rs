//! Random operations, and those that matter once there are many: the script comes to what Rust comes to.

use platform::fakes::block_on;
use quota::account::{Account, Amounts, Operation};
use quota::samples::{Random, sequence};
use quota::{Policy, State, Take};
use serde_json::{Value, json};

use super::{NOON, SECOND, Test, rate, reserve, settle, subject};

#[test]
fn whatever_happens_to_an_account_the_script_and_rust_come_to_the_same() {
    compare_all(300, |_, operation| operation);
}

#[test]
fn numbers_beyond_all_reason_are_counted_in_lua_as_in_rust() {
    compare_all(120, |random, operation| {
        let mut text = serde_json::to_value(operation).unwrap();
        exaggerate(&mut text, random);
        serde_json::from_value(text).unwrap()
    });
}

/// Replaces some of the numbers, but for those of either sign.
fn exaggerate(value: &mut Value, random: &mut Random) {
    const ABSURD: [u64; 6] =
        [u64::MAX, u64::MAX - 1, u64::MAX / 2, 1_000_000_000_000_000_000, (1 << 53) + 1, 9_999_999_999];
    match value {
        Value::Number(_) => {
            let chosen = usize::try_from(random.below(20)).unwrap();
            if let Some(absurd) = ABSURD.get(chosen) {
                *value = json!(absurd);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| exaggerate(item, random)),
        Value::Object(members) => {
            members.iter_mut().filter(|(name, _)| *name != "by").for_each(|(_, member)| exaggerate(member, random));
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Applies the operations of so many seeds, each as `change` makes it.
fn compare_all(seeds: u64, change: fn(&mut Random, Operation) -> Operation) {
    let test = Test::new();
    for seed in 0..seeds {
        let (mut account, mut random, name) = (Account::default(), Random::new(seed + 1_000), format!("org:{seed}"));
        for (step, (now, operation)) in sequence(seed, 60).into_iter().enumerate() {
            let operation = change(&mut random, operation);
            let expected = account.apply(now, &operation);
            let what = format!("seed {seed}, step {step}: {operation:?}");
            assert_eq!(test.apply(now, &name, &operation), expected, "{what}");
            let mut rows = test.rows();
            rows.sort();
            let mut ended: Vec<_> = account.changes().ended.into_values().collect();
            ended.sort();
            assert_eq!(rows, ended, "{what}");
            assert_eq!(test.view(&name, now), account.view(now), "{what}");
        }
        test.check_numbers(&name);
    }
}

#[test]
fn a_list_of_operations_is_applied_in_its_order_each_by_itself() {
    let test = Test::new();
    for seed in 0..100 {
        let (mut account, name) = (Account::default(), format!("org:{seed}"));
        for chunk in sequence(seed, 120).chunks(12) {
            let now = chunk[0].0;
            let operations: Vec<_> = chunk.iter().map(|(_, operation)| operation.clone()).collect();
            let expected: Vec<_> = operations.iter().map(|operation| account.apply(now, operation)).collect();
            let applied = block_on(test.ledger.apply_at(Some(now), &name, &operations)).unwrap().0;
            assert_eq!(applied, expected, "seed {seed}");
            let mut rows = test.rows();
            rows.sort();
            let mut ended: Vec<_> = account.changes().ended.into_values().collect();
            ended.sort();
            assert_eq!(rows, ended, "seed {seed}");
            assert_eq!(test.view(&name, now), account.view(now), "seed {seed}");
        }
        test.check_numbers(&name);
    }
}

#[test]
fn shards_are_counted_as_in_rust_and_with_so_much_room() {
    let test = Test::new();
    for seed in 0..60 {
        let (mut state, mut random, mut now) = (State::default(), Random::new(seed), 1_798_761_600_000_000_000);
        let most = usize::try_from(random.below(5)).unwrap();
        for step in 0..60 {
            // The clock of Redis counts microseconds; now and then it goes back.
            now = now + random.below(3_000_000) * 1_000 - random.below(20).saturating_sub(18) * 20_000_000_000;
            let takes: Vec<Take> = (0..random.below(4))
                .map(|_| {
                    let subject = format!("subject {}", random.below(8));
                    let policy = Policy {
                        name: format!("policy {}", random.below(3)),
                        limit: random.below(4),
                        window_seconds: random.below(30),
                    };
                    Take { subject, policy, quantity: random.below(3) }
                })
                .collect();
            let expected = state.take_within(most, now, &takes);
            let shard = format!("address:{seed}");
            let decision = block_on(test.ledger.take_at(Some(now), most, &shard, &takes)).unwrap();
            assert_eq!(decision, expected, "seed {seed}, step {step}: {takes:?}");
        }
    }
}

#[test]
fn counters_of_an_account_are_swept_in_lua_as_in_rust() {
    let (test, mut account, mut most) = (Test::new(), Account::default(), 0);
    for number in 0..1_200u64 {
        // Each is in use for 400 s; they follow each other by a second.
        let take = Operation::Take {
            subjects: subject(&format!("user:{number}"), rate(1, 400)),
            amounts: Amounts::ONE_REQUEST,
        };
        let now = NOON + number * SECOND;
        assert_eq!(test.apply(now, "swept", &take), account.apply(now, &take), "{number}");
        if number % 50 == 0 {
            let kept = test.view("swept", 0);
            assert_eq!(kept, account.view(0), "with what is idle: {number}");
            most = most.max(kept["counters"].as_object().unwrap().len());
        }
    }
    assert!((400..1_000).contains(&most), "{most} counters");
}

#[test]
fn a_call_that_is_due_at_once_has_ended_before_the_next_operation() {
    let (test, mut account) = (Test::new(), Account::default());
    for operations in [vec![reserve("a", 1_000, 0), Operation::Expire], vec![reserve("b", 1_000, 0)], vec![settle("b")]]
    {
        let expected: Vec<_> = operations.iter().map(|operation| account.apply(NOON, operation)).collect();
        assert_eq!(block_on(test.ledger.apply_at(Some(NOON), "org", &operations)).unwrap().0, expected);
        assert_eq!(test.view("org", NOON), account.view(NOON), "{operations:?}");
    }
}
