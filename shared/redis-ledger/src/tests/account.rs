//! What an account keeps, and for how long.

use std::sync::Barrier;
use std::thread;

use platform::fakes::block_on;
use quota::account::{Amounts, Operation, Outcome};
use serde_json::json;

use super::{NOON, SECOND, Test, budget, is_allowed, rate, reserve, settle, subject};
use crate::ledger::{ROWS, keys};
use crate::{Reply, script};

#[test]
fn an_account_holds_so_many_calls_counters_and_rules() {
    let test = Test::new();
    let with = |name: &str, count: &str, operation: &Operation| {
        test.command("HSET", &[&keys("full").0, name, count]);
        test.apply(NOON, "full", operation)
    };
    assert!(is_allowed(&with("calls", "49999", &reserve("a", 1_000, SECOND))));
    assert_eq!(with("calls", "50000", &reserve("b", 1_000, SECOND)), Outcome::Full);
    let adjust = Operation::Adjust { id: "c".into(), subject: "org:1".into(), rule: "usd-month".into(), by: 1 };
    assert_eq!(with("calls", "50000", &adjust), Outcome::Full);
    let set = Operation::SetRules { subject: "org:1".into(), rules: vec![budget(1)] };
    assert_eq!(with("rules", "50000", &set), Outcome::Full);
    assert!(is_allowed(&with("rules", "49999", &set)));
    assert!(is_allowed(&with("rules", "50000", &set)), "rules that are there can be changed");
    let take = Operation::Take { subjects: subject("user:2", rate(1, 60)), amounts: Amounts::ONE_REQUEST };
    assert_eq!(with("counters", "50001", &take), Outcome::Full);
}

#[test]
fn of_1000_calls_at_once_exactly_the_budget_is_reserved() {
    let test = Test::new();
    let at_once = Barrier::new(20);
    let allowed: usize = thread::scope(|scope| {
        let callers: Vec<_> = (0..20)
            .map(|caller| {
                let (ledger, at_once) = (test.other(), &at_once);
                scope.spawn(move || {
                    at_once.wait();
                    let begin = |number| {
                        let operation = reserve(&format!("{caller} {number}"), 10_000, 600 * SECOND);
                        let applied = block_on(platform::Ledger::apply(&ledger, "hot", &[operation]));
                        is_allowed(&applied.unwrap()[0])
                    };
                    (0..50).filter(|number| begin(*number)).count()
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).sum()
    });
    assert_eq!(allowed, 100);
}

#[test]
fn what_was_answered_is_there_after_a_crash() {
    let mut test = Test::durable();
    for number in 0..50 {
        let (id, limit) = (format!("call-{number}"), 100_000);
        block_on(test.ledger.apply_at(None, "org", &[reserve(&id, limit, 600 * SECOND), settle(&id)])).unwrap();
        if number % 10 == 0 {
            test.server.kill();
            assert!(block_on(test.ledger.apply_at(None, "org", &[Operation::Expire])).is_err());
            test.server.restart().unwrap();
            test.ledger = test.other(); // its script is not known there any more
            assert!(is_allowed(&block_on(test.ledger.apply_at(None, "org", &[settle(&id)])).unwrap().0[0]));
        }
    }
    let counters = test.view("org", 0)["counters"].clone();
    assert_eq!(
        (&counters["org:1 usd-month"]["spent"], &counters["org:1 usd-month"]["held"]),
        (&json!(2_000), &json!(0))
    );
    assert_eq!(
        test.rows(),
        (0..50).map(|number| json!({"id": format!("call-{number}")}).to_string()).collect::<Vec<_>>()
    );
}

#[test]
fn idle_accounts_are_forgotten_and_others_are_not() {
    let test = Test::new();
    // In hours, rounded up.
    let left = |account: &str| match test.command("PTTL", &[&keys(account).0])[..] {
        [Reply::Integer(milliseconds)] => (milliseconds + 3_599_999) / 3_600_000,
        ref other => panic!("{other:?}"),
    };
    let apply = |account: &str, operation: Operation| {
        assert!(is_allowed(&block_on(test.ledger.apply_at(None, account, &[operation])).unwrap().0[0]));
    };
    let take = |rule| Operation::Take {
        subjects: subject("user:1", rule),
        amounts: Amounts { nano_usd: 1, ..Amounts::ONE_REQUEST },
    };
    apply("rate", take(rate(1, 7_200)));
    assert_eq!(left("rate"), 3, "two hours, and one to be sure");
    apply("rate", take(rate(1_000_000, 1)));
    assert_eq!(left("rate"), 3, "never shorter");
    apply("budget", take(budget(10)));
    assert!((24..=800).contains(&left("budget")), "{}", left("budget"));
    apply("call", reserve("a", 100, SECOND));
    assert_eq!(test.command("PTTL", &[&keys("call").0]), [Reply::Integer(-1)], "its row would be lost");
    let rules = |rules| Operation::SetRules { subject: "org:1".into(), rules };
    apply("rules", rules(vec![budget(1)]));
    assert_eq!(test.command("PTTL", &[&keys("rules").0]), [Reply::Integer(-1)]);
    apply("rules", rules(Vec::new()));
    assert!((24 * 33..24 * 35).contains(&left("rules")), "{}", left("rules"));
}

#[test]
fn what_cannot_be_decided_changes_nothing() {
    let test = Test::new();
    assert!(is_allowed(&test.apply(NOON, "org", &reserve("a", 1_000, SECOND))));
    let before = test.view("org", 0);
    test.command("HSET", &[&keys("org").0, "counter org:1 usd-month", "damaged"]);
    assert!(block_on(test.ledger.apply_at(Some(NOON), "org", &[settle("a")])).is_err());
    test.command("HSET", &[&keys("org").0, "counter org:1 usd-month", "budget 1798761600 0 100"]);
    assert_eq!(test.view("org", 0)["calls"], before["calls"]);
    assert_eq!(test.rows(), Vec::<String>::new());
}

#[test]
fn redis_knows_each_script_by_its_name_once_it_has_run() {
    let test = Test::new();
    test.apply(NOON, "org", &Operation::Expire);
    block_on(test.ledger.take_at(None, 1, "shard", &[])).unwrap();
    block_on(script::ROWS.run(&*test.ledger.redis, &[ROWS], &["1"])).unwrap();
    for script in [script::ACCOUNT, script::SHARD, script::ROWS] {
        assert_eq!(test.command("SCRIPT", &["EXISTS", script.sha1]), [Reply::Integer(1)], "{}", script.text);
    }
}
