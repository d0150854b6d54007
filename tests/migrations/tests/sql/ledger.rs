//! The ledger in SQL decides what `shared/quota` decides.

use std::collections::BTreeMap;
use std::thread;

use postgres::Transaction;
use quota::account::{Account, Amounts, Operation, Outcome, Per, Reserve, Rule, Subject, Unit};
use quota::samples::sequence;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Test;
use crate::cluster::{As, Cluster, become_, call, code, new_id};

pub const TESTS: &[Test] = &[
    ("whatever_happens_to_an_account_sql_and_rust_come_to_the_same", random_sequences),
    ("numbers_beyond_all_reason_are_counted_in_sql_as_in_rust", absurd_numbers),
    ("counters_of_an_account_are_swept_in_sql_as_in_rust", swept_counters),
    ("an_account_holds_so_many_calls_counters_and_rules", capacity),
    ("of_1000_calls_at_once_exactly_the_budget_is_reserved", at_once),
    ("operations_are_applied_in_their_order_each_by_itself", several_operations),
    ("what_time_it_is_for_an_account_the_database_says", time_is_the_databases),
    ("a_call_of_which_nothing_is_heard_is_recorded_and_its_late_report_replaces_that", late_report),
    ("calls_of_accounts_that_nobody_touches_are_charged_and_recorded", nobody_touches),
    ("a_record_that_breaks_a_rule_does_not_undo_the_settling", refused_record),
    ("refused_records_do_not_accumulate", refused_records_are_bounded),
    ("idle_accounts_do_not_accumulate", sweeping),
    ("an_account_that_somebody_changes_is_not_waited_for_by_a_sweep", skipping),
    ("changes_records_and_sweeps_at_once_never_deadlock", no_deadlock),
    ("takes_of_rates_alone_do_not_wait_for_the_disk", durability),
    ("only_the_service_applies_operations", grants),
    ("a_wrong_argument_of_an_operation_is_named", wrong_arguments),
];

/// An account in SQL, at times of one's own choice.
struct Sql<'a, 'b> {
    transaction: &'a mut Transaction<'b>,
    number: i64,
}

const STATE: &str =
    "row(number, seen, due, counters, calls, ruled, sweep_at, false, null, '{}', '{}')::private.ledger_state";

impl<'a, 'b> Sql<'a, 'b> {
    fn new(transaction: &'a mut Transaction<'b>, account: &str) -> Self {
        let insert = "insert into private.ledger_accounts (account) values ($1) returning number";
        let number = transaction.query_one(insert, &[&account]).unwrap().get(0);
        Self { transaction, number }
    }

    /// The outcome of an operation at `now`, and the records of calls that ended.
    fn apply(&mut self, now: u64, operation: &Operation) -> (Value, BTreeMap<String, String>) {
        let apply = format!(
            "with done as materialized (
               select private.ledger_operate({STATE}, $2::text::numeric, $3) as kept
               from private.ledger_accounts where number = $1
             )
             select (kept).outcome, (kept).ended, (kept).records, private.ledger_write(kept)::text from done"
        );
        let operation = serde_json::to_value(operation).unwrap();
        let row = self.transaction.query_one(&apply, &[&self.number, &now.to_string(), &operation]).unwrap();
        let (ended, records): (Vec<String>, Vec<String>) = (row.get(1), row.get(2));
        (row.get(0), ended.into_iter().zip(records).collect())
    }

    /// All of it, as `Account::view` shows it.
    fn view(&mut self, now: u64) -> Value {
        let view = "select jsonb_build_object(
           'rules', (
             select coalesce(jsonb_object_agg(subject, rules), '{}') from private.ledger_rules where account = $1
           ),
           'counters', (
             select coalesce(jsonb_object_agg(name, case kind
               when 'r' then jsonb_build_object('arrival', arrival, 'spacing', spacing)
               when 'b' then jsonb_build_object('start', start, 'spent', spent, 'held', held)
               else jsonb_build_object('held', held)
             end), '{}')
             from private.ledger_counters c
             where account = $1 and not private.ledger_is_idle(c, $2::text::numeric)
           ),
           'calls', (
             select coalesce(jsonb_object_agg(id, jsonb_build_object('stage', stage, 'due', due)), '{}')
             from private.ledger_calls where account = $1
           )
         )";
        self.transaction.query_one(view, &[&self.number, &now.to_string()]).unwrap().get(0)
    }
}

fn random_sequences(cluster: &Cluster) {
    compare_all(cluster, "random", 200, |_, operation| operation);
}

fn absurd_numbers(cluster: &Cluster) {
    compare_all(cluster, "absurd", 40, |seed, operation| {
        let mut text = serde_json::to_value(operation).unwrap();
        exaggerate(&mut text, &mut (seed + 1));
        serde_json::from_value(text).unwrap()
    });
}

/// Replaces some of the numbers, but for those of either sign.
fn exaggerate(value: &mut Value, chance: &mut u64) {
    match value {
        Value::Number(_) => {
            *chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let absurd = [u64::MAX, u64::MAX - 1, u64::MAX / 2, 1_000_000_000_000_000_000];
            if let Some(absurd) = absurd.get(usize::try_from(*chance >> 60).unwrap()) {
                *value = json!(absurd);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| exaggerate(item, chance)),
        Value::Object(members) => {
            members.iter_mut().filter(|(name, _)| *name != "by").for_each(|(_, member)| exaggerate(member, chance));
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Applies the operations of so many seeds, each as `change` makes it.
fn compare_all(cluster: &Cluster, name: &str, seeds: u64, change: fn(u64, Operation) -> Operation) {
    thread::scope(|scope| {
        for part in 0..2 {
            scope.spawn(move || {
                for seed in (0..seeds).filter(|seed| seed % 2 == part) {
                    let operations = sequence(seed, 60).into_iter().enumerate();
                    let operations = operations.map(|(step, (now, operation))| {
                        (now, change(seed * 1_000 + u64::try_from(step).unwrap(), operation))
                    });
                    cluster.transaction(|transaction| {
                        become_(transaction, As::Service);
                        compare(&mut Sql::new(transaction, &format!("{name} {part}")), seed, operations);
                    });
                }
            });
        }
    });
}

fn compare(sql: &mut Sql<'_, '_>, seed: u64, operations: impl Iterator<Item = (u64, Operation)>) {
    let mut account = Account::default();
    for (step, (now, operation)) in operations.enumerate() {
        let expected = serde_json::to_value(account.apply(now, &operation)).unwrap();
        let (outcome, ended) = sql.apply(now, &operation);
        assert_eq!(outcome, expected, "seed {seed}, step {step}: {operation:?}");
        assert_eq!(ended, account.changes().ended, "seed {seed}, step {step}: {operation:?}");
        assert_eq!(sql.view(now), account.view(now), "seed {seed}, step {step}: {operation:?}");
    }
}

const SECOND: u64 = 1_000_000_000;
const MONTH: u64 = 30 * 24 * 3600 * SECOND;
const NOON: u64 = 1_800_014_400 * SECOND;

fn rate(limit: u64, seconds: u64) -> Rule {
    Rule { name: "requests".into(), unit: Unit::Requests, per: Per::Seconds(seconds), limit }
}

fn budget(limit: u64) -> Rule {
    Rule { name: "usd-month".into(), unit: Unit::NanoUsd, per: Per::Month, limit }
}

fn subject(name: &str, rules: &[Rule]) -> Vec<Subject> {
    vec![Subject { name: name.into(), rules: rules.to_vec() }]
}

fn take(name: &str, rules: &[Rule]) -> Operation {
    Operation::Take { subjects: subject(name, rules), amounts: Amounts::ONE_REQUEST }
}

fn look(rules: &[Rule]) -> Operation {
    Operation::Take { subjects: subject("user", rules), amounts: Amounts::default() }
}

/// A call of 100 that expires after so long.
fn reserve(id: Uuid, rules: &[Rule], expires_after: u64, record: Option<&Value>) -> Operation {
    let amounts = Amounts { requests: 1, tokens: 0, nano_usd: 100 };
    let (id, record) = (id.to_string(), record.map(Value::to_string));
    Operation::Reserve(Reserve { id, subjects: subject("user", rules), amounts, expires_after, record })
}

fn settle(id: Uuid, nano_usd: u64, record: Option<&Value>) -> Operation {
    let actual = Amounts { requests: 1, tokens: 0, nano_usd };
    Operation::Settle { id: id.to_string(), actual, record: record.map(Value::to_string) }
}

/// A row for the accounts.
fn event(id: Uuid, status: &str, source: &str) -> Value {
    json!({
        "id": id, "request_id": "r", "alias": "default", "status": status, "usage_source": source,
        "cost_nano_usd": 100, "started_at": "2025-03-01T12:00:00Z",
    })
}

fn payload(account: &str, operations: &[Operation]) -> Value {
    json!({ "account": account, "operations": operations })
}

fn apply(cluster: &Cluster, account: &str, operations: &[Operation]) -> Vec<Outcome> {
    let mut answer = cluster.call(As::Service, "apply_to_ledger", &payload(account, operations)).unwrap();
    assert_eq!(answer.as_object().unwrap().len(), 1);
    serde_json::from_value(answer["outcomes"].take()).unwrap()
}

fn is_allowed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Decided(decision) if decision.allowed)
}

/// What is left of the only rule.
fn remaining(cluster: &Cluster, account: &str, rule: &Rule) -> u64 {
    let look = payload(account, &[look(std::slice::from_ref(rule))]);
    let answer = cluster.call(As::Service, "apply_to_ledger", &look).unwrap();
    answer["outcomes"][0]["decided"]["standings"][0]["remaining"].as_u64().unwrap()
}

/// Status and source of the row in the accounts.
fn recorded(cluster: &Cluster, id: Uuid) -> Option<String> {
    let select = "select status || ', ' || usage_source from public.llm_usage where id = $1";
    let row = cluster.superuser("postgres").query_opt(select, &[&id]).unwrap();
    row.map(|row| row.get(0))
}

fn number(cluster: &Cluster, sql: &str) -> i64 {
    cluster.superuser("postgres").query_one(sql, &[]).unwrap().get(0)
}

fn swept_counters(cluster: &Cluster) {
    cluster.transaction(|transaction| {
        become_(transaction, As::Service);
        let (mut sql, mut account) = (Sql::new(transaction, "swept"), Account::default());
        let mut most = 0;
        for number in 0..1_200u64 {
            // Each is in use for 400 s; they follow each other by a second.
            let (now, wish) = (NOON + number * SECOND, take(&format!("user:{number}"), &[rate(1, 400)]));
            let expected = serde_json::to_value(account.apply(now, &wish)).unwrap();
            assert_eq!(sql.apply(now, &wish).0, expected, "{number}");
            if number % 50 == 0 {
                let kept = sql.view(0);
                assert_eq!(kept, account.view(0), "with what is idle: {number}");
                most = most.max(kept["counters"].as_object().unwrap().len());
            }
        }
        assert!((400..1_000).contains(&most), "{most} counters");
    });
}

fn capacity(cluster: &Cluster) {
    let full = |column: &str| {
        let account = format!("full of {column}");
        apply(cluster, &account, &[take("user", &[rate(10, 60)])]);
        let fill = format!("update private.ledger_accounts set {column} = $2 where account = $1");
        move |count: i32, operation: &Operation| {
            cluster.superuser("postgres").execute(&fill, &[&account, &count]).unwrap();
            apply(cluster, &account, std::slice::from_ref(operation)).remove(0)
        }
    };
    let calls = full("calls");
    assert!(is_allowed(&calls(49_999, &reserve(new_id(), &[], MONTH, None))));
    assert_eq!(calls(50_000, &reserve(new_id(), &[], MONTH, None)), Outcome::Full);
    let adjust = Operation::Adjust { id: "a".into(), subject: "user".into(), rule: "requests".into(), by: 1 };
    assert_eq!(calls(50_000, &adjust), Outcome::Full);
    let rules = full("ruled");
    let set = Operation::SetRules { subject: "user".into(), rules: vec![budget(1)] };
    assert_eq!(rules(50_000, &set), Outcome::Full);
    assert!(is_allowed(&rules(49_999, &set)));
    assert!(is_allowed(&rules(50_000, &set)), "rules that are there can be changed");
}

fn at_once(cluster: &Cluster) {
    let allowed = thread::scope(|scope| {
        let callers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let begin = || apply(cluster, "at once", &[reserve(new_id(), &[budget(10_000)], MONTH, None)]);
                    (0..125).filter(|_| is_allowed(&begin()[0])).count()
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).sum::<usize>()
    });
    assert_eq!(allowed, 100);
}

fn several_operations(cluster: &Cluster) {
    let (id, rules) = (new_id(), [budget(150)]);
    let other = settle(new_id(), 0, None);
    let operations = [
        reserve(id, &rules, MONTH, None),
        reserve(new_id(), &rules, MONTH, None),
        other,
        settle(id, 50, None),
        reserve(new_id(), &rules, MONTH, None),
        Operation::Expire,
    ];
    let outcomes = apply(cluster, "several", &operations);
    let allowed: Vec<_> = outcomes.iter().map(is_allowed).collect();
    assert_eq!(allowed, [true, false, false, true, true, true]);
    assert_eq!(outcomes[2], Outcome::Unknown);
    assert_eq!(apply(cluster, "several", &[]), []);
}

fn time_is_the_databases(cluster: &Cluster) {
    let once = payload("time", &[take("user", &[rate(1, 3600)])]);
    let mut later = once.clone();
    for name in ["now", "present", "time"] {
        later[name] = json!(9_000_000_000_000_000_000u64);
        later["operations"][0][name] = json!(9_000_000_000_000_000_000u64);
    }
    let allowed = |payload: &Value| {
        let answer = cluster.call(As::Service, "apply_to_ledger", payload).unwrap();
        answer["outcomes"][0]["decided"]["allowed"].as_bool().unwrap()
    };
    assert_eq!([allowed(&once), allowed(&later)], [true, false]);
}

fn late_report(cluster: &Cluster) {
    let (id, rule) = (new_id(), budget(100));
    let begin = reserve(id, std::slice::from_ref(&rule), 0, Some(&event(id, "abandoned", "reserved")));
    assert!(is_allowed(&apply(cluster, "late", &[begin])[0]));
    assert_eq!(recorded(cluster, id), None);
    assert_eq!(remaining(cluster, "late", &rule), 0);
    assert_eq!(recorded(cluster, id).unwrap(), "abandoned, reserved");
    for status in ["success", "upstream_error"] {
        assert!(is_allowed(&apply(cluster, "late", &[settle(id, 30, Some(&event(id, status, "provider")))])[0]));
        assert_eq!(recorded(cluster, id).unwrap(), "success, provider", "once");
    }
    assert_eq!(remaining(cluster, "late", &rule), 70);
    let again = json!({ "events": [event(id, "abandoned", "reserved")] });
    assert_eq!(cluster.call(As::Service, "record_llm_usage", &again).unwrap(), json!({ "recorded": 0 }));
    assert_eq!(recorded(cluster, id).unwrap(), "success, provider", "a report is not replaced by a guess");

    let both = new_id();
    let events = json!({ "events": [event(both, "abandoned", "reserved"), event(both, "success", "provider")] });
    assert_eq!(cluster.call(As::Service, "record_llm_usage", &events).unwrap(), json!({ "recorded": 1 }));
    assert_eq!(recorded(cluster, both).unwrap(), "success, provider");
}

fn nobody_touches(cluster: &Cluster) {
    let ids: Vec<_> = (0..3).map(|_| new_id()).collect();
    for (number, id) in ids.iter().enumerate() {
        let begin = reserve(*id, &[budget(100)], 0, Some(&event(*id, "abandoned", "reserved")));
        apply(cluster, &format!("nobody touches {number}"), &[begin]);
    }
    // Others may do it as well.
    while ids.iter().any(|id| recorded(cluster, *id).is_none()) {
        let answer = cluster.call(As::Service, "expire_ledger", &json!({ "accounts": 1 })).unwrap();
        assert!(answer["accounts"].as_i64().unwrap() <= 1, "{answer}");
    }
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(recorded(cluster, *id).unwrap(), "abandoned, reserved");
        assert_eq!(remaining(cluster, &format!("nobody touches {number}"), &budget(100)), 0);
    }
    for (wrong, field) in [(json!({ "accounts": 0 }), "accounts"), (json!({ "accounts": 1_001 }), "accounts")] {
        assert_eq!(cluster.refusal(As::Service, "expire_ledger", &wrong), ("PT422".into(), field.into()));
    }
}

fn refused_record(cluster: &Cluster) {
    let bad = |id: Uuid| {
        let mut unpriced = event(id, "success", "provider");
        unpriced["cost_nano_usd"] = json!(-1);
        [unpriced.to_string(), "no JSON".into(), "[]".into(), "7".into(), "[".repeat(100_000)]
    };
    for number in 0..bad(new_id()).len() {
        let (id, next, rule) = (new_id(), new_id(), budget(100));
        let account = format!("refused record {number}");
        apply(cluster, &account, &[reserve(id, std::slice::from_ref(&rule), MONTH, None)]);
        let actual = Amounts { requests: 1, tokens: 0, nano_usd: 60 };
        let record = bad(id)[number].clone();
        let good = event(next, "success", "provider");
        let operations = [
            Operation::Settle { id: id.to_string(), actual, record: Some(record.clone()) },
            Operation::Reserve(Reserve {
                id: next.to_string(),
                subjects: vec![],
                amounts: actual,
                expires_after: MONTH,
                record: None,
            }),
            settle(next, 0, Some(&good)),
        ];
        assert!(apply(cluster, &account, &operations).iter().all(is_allowed));
        assert_eq!(remaining(cluster, &account, &rule), 40);
        assert_eq!((recorded(cluster, id), recorded(cluster, next).unwrap()), (None, "success, provider".into()));
        let kept = "select left(record, 100), reason from private.ledger_refused_records where call = $1";
        let kept = cluster.superuser("postgres").query_opt(kept, &[&id.to_string()]).unwrap();
        let kept = kept.map(|row| (row.get(0), row.get::<_, String>(1).is_empty()));
        let expected = Some((record.chars().take(100).collect::<String>(), false));
        assert_eq!(kept, expected);
    }
}

fn refused_records_are_bounded(cluster: &Cluster) {
    cluster.transaction(|transaction| {
        become_(transaction, As::Service);
        let fill = "insert into private.ledger_refused_records (call, record, reason)
                    select 'old', '{}', 'r' from generate_series(1, 10050)";
        transaction.execute(fill, &[]).unwrap();
        let store = "select private.store_ledger_records('{new}', array['no JSON' || repeat('x', 20000)])";
        transaction.execute(store, &[]).unwrap();
        let left = "select count(*), max(char_length(record)) from private.ledger_refused_records";
        let left = transaction.query_one(left, &[]).unwrap();
        assert_eq!((left.get::<_, i64>(0), left.get::<_, i32>(1)), (10_000, 10_000));
    });
}

const IDLE: &str = "from private.ledger_accounts where account like 'sweep: idle %'";

/// While no other test can sweep, a new account takes ten along.
fn sweep_alone(cluster: &Cluster, rules: &[Rule]) {
    let mut client = cluster.superuser("postgres");
    let mut alone = client.transaction().unwrap();
    alone.batch_execute("lock table private.ledger_accounts in share row exclusive mode").unwrap();
    let before: i64 = alone.query_one(&format!("select count(*) {IDLE}"), &[]).unwrap().get(0);
    let take = payload("sweep: new alone", &[take("user", rules)]);
    alone.query_one("select api.apply_to_ledger(payload := $1)", &[&take]).unwrap();
    let after: i64 = alone.query_one(&format!("select count(*) {IDLE}"), &[]).unwrap().get(0);
    assert_eq!(after, before - before.min(10));
    alone.commit().unwrap();
}

fn sweeping(cluster: &Cluster) {
    let used = [rate(1, 3600), budget(100)];
    apply(cluster, "sweep: used", &[take("user", &used)]);
    apply(cluster, "sweep: call", &[reserve(new_id(), &[], MONTH, None)]);
    apply(cluster, "sweep: rules", &[Operation::SetRules { subject: "user".into(), rules: used.to_vec() }]);
    for number in 0..25 {
        apply(cluster, &format!("sweep: idle {number}"), &[take("user", &[rate(1_000_000_000, 1)])]);
    }
    // All of them are due, and the idle ones first.
    let due = "update private.ledger_accounts set due = (account !~ 'idle')::integer where account like 'sweep: %'";
    cluster.superuser("postgres").execute(due, &[]).unwrap();
    sweep_alone(cluster, &used);
    let left = || number(cluster, &format!("select count(*) {IDLE}"));
    let mut new = 0;
    while left() > 0 {
        apply(cluster, &format!("sweep: new {new}"), &[take("user", &used)]);
        new += 1;
        assert!(new < 100, "{} are left", left());
    }
    cluster.call(As::Service, "expire_ledger", &json!({})).unwrap();
    for name in ["used", "call", "rules", "new alone"] {
        let kept = format!("select count(*) from private.ledger_accounts where account = 'sweep: {name}'");
        assert_eq!(number(cluster, &kept), 1, "{name}");
    }
    let orphans = "select count(*) from private.ledger_counters c
                   where not exists (select from private.ledger_accounts a where a.number = c.account)";
    assert_eq!(number(cluster, orphans), 0);
}

fn skipping(cluster: &Cluster) {
    let (id, event) = (new_id(), |id| event(id, "abandoned", "reserved"));
    apply(cluster, "skipped", &[reserve(id, &[budget(100)], 0, Some(&event(id)))]);
    cluster.transaction(|other| {
        become_(other, As::Service);
        other.execute("select from private.ledger_accounts where account = 'skipped' for update", &[]).unwrap();
        cluster.call(As::Service, "expire_ledger", &json!({ "accounts": 1_000 })).unwrap();
        assert_eq!(recorded(cluster, id), None);
    });
}

fn no_deadlock(cluster: &Cluster) {
    // The same rows of the accounts, by whoever comes first, in every order.
    let ids: Vec<_> = (0..12).map(|_| new_id()).collect();
    thread::scope(|scope| {
        for thread in 0..6usize {
            let ids = &ids;
            scope.spawn(move || {
                for round in 0..15usize {
                    let account = format!("deadlock {thread} {round}");
                    let mut ids = ids.clone();
                    ids.rotate_left((thread * 5 + round) % 12);
                    if thread % 2 == 0 {
                        ids.reverse();
                    }
                    let lost = |id: &Uuid| reserve(*id, &[], 0, Some(&event(*id, "abandoned", "reserved")));
                    let begin: Vec<_> = ids.iter().map(lost).collect();
                    apply(cluster, &account, &begin);
                    let end: Vec<_> =
                        ids.iter().map(|id| settle(*id, 1, Some(&event(*id, "success", "provider")))).collect();
                    apply(cluster, &account, &end);
                    cluster.call(As::Service, "expire_ledger", &json!({})).unwrap();
                }
            });
        }
    });
}

fn durability(cluster: &Cluster) {
    cluster.transaction(|transaction| {
        let mut waits = |operation: Operation| {
            transaction.execute("set local synchronous_commit to on", &[]).unwrap();
            call(transaction, As::Service, "apply_to_ledger", &payload("durable", &[operation])).unwrap();
            transaction.query_one("show synchronous_commit", &[]).unwrap().get::<_, String>(0) != "off"
        };
        let (rates, id) = ([rate(10, 60)], new_id());
        waits(take("user", &rates)); // a new account sweeps others, which may matter
        assert!(!waits(take("user", &rates)));
        assert!(!waits(look(&rates)));
        assert!(waits(reserve(id, &rates, MONTH, None)));
        assert!(waits(settle(id, 1, None)));
        assert!(waits(take("user", &[budget(100)])), "it is money");
        assert!(waits(Operation::SetRules { subject: "user".into(), rules: rates.to_vec() }));
        assert!(waits(reserve(new_id(), &[], 0, None)));
        assert!(waits(look(&rates)), "a call has expired");
    });
}

fn grants(cluster: &Cluster) {
    let payload = payload("grants", &[Operation::Expire]);
    for who in [As::User(cluster.owner), As::Anonymous] {
        for function in ["apply_to_ledger", "expire_ledger"] {
            assert_eq!(code(&cluster.call(who, function, &payload).unwrap_err()), "42501");
        }
        let internals = ["accounts", "counters", "calls", "rules", "refused_records"]
            .map(|table| format!("select from private.ledger_{table}"));
        let functions = [
            "select private.expire_ledger(1, null)".to_owned(),
            "select private.store_ledger_records('{}', '{}')".to_owned(),
            format!("select private.ledger_operate({NOBODY}, 0, '\"expire\"')"),
            format!("select private.ledger_write({NOBODY})"),
        ];
        for statement in internals.iter().chain(&functions) {
            let refused = cluster.transaction(|transaction| {
                become_(transaction, who);
                transaction.execute(statement, &[]).unwrap_err()
            });
            assert_eq!(code(&refused), "42501", "{statement}");
        }
    }
}

const NOBODY: &str = "row(0, 0, 0, 0, 0, 0, 0, false, null, '{}', '{}')::private.ledger_state";

fn wrong_arguments(cluster: &Cluster) {
    let good = payload("wrong", &[reserve(new_id(), &[rate(1, 1)], 1, None)]);
    let with = |pointer: &str, value: Value| {
        let mut payload = good.clone();
        *payload.pointer_mut(pointer).unwrap() = value;
        payload
    };
    let (reserve, rule) = ("/operations/0/reserve", "/operations/0/reserve/subjects/0/rules/0");
    let cases = [
        (json!({ "operations": [] }), "account"),
        (with("/account", json!("")), "account"),
        (with("/account", json!("x".repeat(201))), "account"),
        (with("/operations", json!({})), "operations"),
        (with("/operations", json!(vec!["expire"; 1_001])), "operations"),
        (with("/operations/0", json!("forget")), "operations"),
        (with("/operations/0", json!({ "give": {} })), "operations"),
        (with("/operations/0", Value::Null), "operations"),
        (with(&format!("{reserve}/id"), json!("x".repeat(201))), "id"),
        (with(&format!("{reserve}/id"), Value::Null), "id"),
        (with(&format!("{reserve}/expires_after"), json!(-1)), "expires_after"),
        (with(&format!("{reserve}/amounts/tokens"), json!(0.5)), "amounts"),
        (with(&format!("{reserve}/amounts/tokens"), json!(-1)), "amounts"),
        (with(&format!("{reserve}/amounts"), Value::Null), "amounts"),
        (with(&format!("{reserve}/subjects"), Value::Null), "subjects"),
        (with(&format!("{reserve}/subjects/0/name"), Value::Null), "subjects"),
        (with(&format!("{reserve}/subjects/0/rules"), Value::Null), "rules"),
        (with(&format!("{rule}/name"), Value::Null), "rules"),
        (with(&format!("{rule}/unit"), json!("miles")), "rules"),
        (with(&format!("{rule}/per"), json!("year")), "rules"),
        (with(&format!("{rule}/per"), Value::Null), "rules"),
        (with(&format!("{rule}/limit"), json!(-1)), "rules"),
        (with("/operations/0", json!({ "settle": { "actual": {} } })), "id"),
        (with("/operations/0", json!({ "settle": { "id": "a", "actual": { "tokens": "many" } } })), "amounts"),
        (with("/operations/0", json!({ "release": {} })), "id"),
        (with("/operations/0", json!({ "adjust": { "id": "a", "subject": "s", "rule": "r" } })), "by"),
        (with("/operations/0", json!({ "adjust": { "id": "a", "subject": "s", "rule": "r", "by": 0.5 } })), "by"),
        (with("/operations/0", json!({ "adjust": { "id": "a", "subject": 7, "rule": "r", "by": 1 } })), "subject"),
        (with("/operations/0", json!({ "set_rules": { "subject": "s" } })), "rules"),
        (with("/operations/0", json!({ "set_rules": { "subject": "s", "rules": [{ "name": "r" }] } })), "rules"),
    ];
    for (payload, field) in cases {
        let refused = cluster.call(As::Service, "apply_to_ledger", &payload).unwrap_err();
        assert_eq!((code(&refused), refused.as_db_error().unwrap().detail()), ("PT400", Some(field)), "{payload}");
    }
}
