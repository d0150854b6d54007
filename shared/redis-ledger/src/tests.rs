//! The scripts in a real Redis against `quota`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use async_trait::async_trait;
use local_redis::Server;
use platform::StoreError;
use platform::fakes::{Host, block_on};
use quota::account::{Account, Amounts, Operation, Outcome, Per, Reserve, Rule, Subject, Unit};
use quota::samples::{Random, sequence};
use quota::{Policy, State, Take};
use redis::Value as Told;
use serde_json::{Value, json};
use supabase::Supabase;
use tempfile::TempDir;

use crate::ledger::{ROWS, keys};
use crate::{Commands, RedisLedger, Reply, answer, script};

/// A connection of its own.
struct Client(Mutex<redis::Connection>);

impl Client {
    fn of(server: &Server) -> Self {
        Self(Mutex::new(redis::Client::open(server.url()).unwrap().get_connection().unwrap()))
    }
}

#[async_trait]
impl Commands for Client {
    async fn execute(&self, command: &str, arguments: &[&str]) -> Result<Vec<Reply>, StoreError> {
        let told = redis::cmd(command).arg(arguments).query(&mut *self.0.lock().unwrap());
        let mut parts = Vec::new();
        flatten(told.map_err(|error| StoreError::Unavailable(error.to_string()))?, &mut parts);
        Ok(parts)
    }
}

fn flatten(told: Told, parts: &mut Vec<Reply>) {
    match told {
        Told::Nil => parts.push(Reply::Nil),
        Told::Int(number) => parts.push(Reply::Integer(number)),
        Told::BulkString(bytes) => parts.push(Reply::Text(String::from_utf8(bytes).unwrap())),
        Told::SimpleString(text) => parts.push(Reply::Text(text)),
        Told::Okay => parts.push(Reply::Text("OK".into())),
        Told::Array(items) => items.into_iter().for_each(|item| flatten(item, parts)),
        other => panic!("{other:?}"),
    }
}

/// A Redis of its own, and a ledger in it.
struct Test {
    server: Server,
    host: Host,
    ledger: RedisLedger<Client>,
    _folder: TempDir,
}

impl Test {
    fn new() -> Self {
        Self::start(false)
    }

    fn durable() -> Self {
        Self::start(true)
    }

    fn start(durable: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let server = Server::start(&project, folder.path(), durable).unwrap_or_else(|error| panic!("{error}"));
        let host = Host::new()
            .variable("SUPABASE_URL", "https://x.supabase.co")
            .variable("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_x")
            .variable("SUPABASE_SECRET_KEY", "sb_secret_x");
        let ledger = ledger(&server, &host);
        Self { server, host, ledger, _folder: folder }
    }

    /// Another one in the same Redis.
    fn other(&self) -> RedisLedger<Client> {
        ledger(&self.server, &self.host)
    }

    fn command(&self, command: &str, arguments: &[&str]) -> Vec<Reply> {
        block_on(self.ledger.redis.execute(command, arguments)).unwrap()
    }

    fn apply(&self, now: u64, account: &str, operation: &Operation) -> Outcome {
        let applied = self.ledger.apply_at(Some(now), account, std::slice::from_ref(operation));
        block_on(applied).unwrap().0.remove(0)
    }

    /// The rows for the database, which are then forgotten.
    fn rows(&self) -> Vec<String> {
        let entries = texts(self.command("XRANGE", &[ROWS, "-", "+"]));
        self.command("DEL", &[ROWS]);
        entries.chunks(3).map(|entry| entry[2].clone()).collect()
    }

    /// All of an account, as `Account::view` shows it.
    fn view(&self, account: &str, now: u64) -> Value {
        let (mut rules, mut counters, mut calls) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for entry in texts(self.command("HGETALL", &[&keys(account).0])).chunks(2) {
            match entry[0].split_once(' ') {
                Some(("rules", subject)) => {
                    let kept: Vec<Vec<String>> = serde_json::from_str(&entry[1]).unwrap();
                    let shown = kept.iter().map(|rule| serde_json::from_str::<Value>(&rule[6]).unwrap());
                    rules.insert(subject.to_owned(), shown.collect::<Value>());
                }
                Some(("counter", name)) => {
                    let counter = answer::counter(&entry[1]).unwrap();
                    if !counter.is_idle(now) {
                        counters.insert(name.to_owned(), counter.view());
                    }
                }
                Some(("call", id)) => {
                    let kept: Value = serde_json::from_str(&entry[1]).unwrap();
                    let due: u64 = kept[1].as_str().unwrap().parse().unwrap();
                    calls.insert(id.to_owned(), json!({"stage": kept[0], "due": due}));
                }
                _ => (),
            }
        }
        json!({"rules": rules, "counters": counters, "calls": calls})
    }

    /// What the account says of itself: how many calls, counters and subjects with rules it has, and what is due first.
    fn check_numbers(&self, account: &str) {
        let (key, due) = keys(account);
        let kept: BTreeMap<String, String> = texts(self.command("HGETALL", &[&key]))
            .chunks(2)
            .map(|entry| (entry[0].clone(), entry[1].clone()))
            .collect();
        for (name, kind) in [("calls", "call "), ("counters", "counter "), ("rules", "rules ")] {
            let there = kept.keys().filter(|field| field.starts_with(kind)).count();
            assert_eq!(kept[name], there.to_string(), "{name}");
        }
        let mut calls: Vec<String> = kept
            .iter()
            .filter_map(|(field, text)| {
                let id = field.strip_prefix("call ")?;
                let call: Value = serde_json::from_str(text).unwrap();
                Some(format!("{:0>20} {id}", call[1].as_str().unwrap()))
            })
            .collect();
        calls.sort();
        assert_eq!(texts(self.command("ZRANGE", &[&due, "0", "-1"])), calls);
        let next = calls.first().map(|call| call[..20].to_owned()).unwrap_or_default();
        assert_eq!(kept.get("next").cloned().unwrap_or_default(), next);
    }
}

fn ledger(server: &Server, host: &Host) -> RedisLedger<Client> {
    let config = block_on(supabase::Config::load(&host.variables)).unwrap();
    RedisLedger::new(Client::of(server), host.context(), Supabase::new(config))
}

fn texts(parts: Vec<Reply>) -> Vec<String> {
    let text = |part| if let Reply::Text(text) = part { text } else { panic!("{part:?}") };
    parts.into_iter().map(text).collect()
}

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

const SECOND: u64 = 1_000_000_000;
const NOON: u64 = 1_800_014_400 * SECOND;

fn subject(name: &str, rule: Rule) -> Vec<Subject> {
    vec![Subject { name: name.into(), rules: vec![rule] }]
}

fn rate(limit: u64, seconds: u64) -> Rule {
    Rule { name: "requests".into(), unit: Unit::Requests, per: Per::Seconds(seconds), limit }
}

fn budget(limit: u64) -> Rule {
    Rule { name: "usd-month".into(), unit: Unit::NanoUsd, per: Per::Month, limit }
}

/// A call of 100 nano-dollars that expires after so long.
fn reserve(id: &str, limit: u64, expires_after: u64) -> Operation {
    Operation::Reserve(Reserve {
        id: id.into(),
        subjects: subject("org:1", budget(limit)),
        amounts: Amounts { nano_usd: 100, ..Amounts::ONE_REQUEST },
        expires_after,
        record: Some(json!({"id": format!("{id} is lost")}).to_string()),
    })
}

fn settle(id: &str) -> Operation {
    let actual = Amounts { nano_usd: 40, ..Amounts::ONE_REQUEST };
    Operation::Settle { id: id.into(), actual, record: Some(json!({"id": id}).to_string()) }
}

fn is_allowed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Decided(decision) if decision.allowed)
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
fn redis_knows_each_script_by_its_name_once_it_has_run() {
    let test = Test::new();
    test.apply(NOON, "org", &Operation::Expire);
    block_on(test.ledger.take_at(None, 1, "shard", &[])).unwrap();
    block_on(script::ROWS.run(&*test.ledger.redis, &[ROWS], &["1"])).unwrap();
    for script in [script::ACCOUNT, script::SHARD, script::ROWS] {
        assert_eq!(test.command("SCRIPT", &["EXISTS", script.sha1]), [Reply::Integer(1)], "{}", script.text);
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

/// Every operation of `numbers.lua` on three numbers.
const CALCULATE: &str = "
    local a, b, c = number(ARGV[1]), number(ARGV[2]), number(ARGV[3])
    local added, is_too_much = sum(a, b)
    local times, is_far_too_much = product(a, b)
    return {
      text(a), padded(a), text(added), tostring(is_too_much), text(difference(a, b)), text(times),
      tostring(is_far_too_much), text(scaled(a, b, c)), text(larger(a, b)), string.format('%.0f', seconds(a)),
    }";

#[test]
fn numbers_are_exact_up_to_the_largest() {
    let (test, mut random) = (Test::new(), Random::new(7));
    let script = format!("{}{CALCULATE}", include_str!("numbers.lua"));
    let mut number = || match random.below(4) {
        0 => random.below(20),
        1 => u64::MAX - random.below(20),
        2 => 10u64.pow(u32::try_from(random.below(20)).unwrap()) - random.below(2),
        // Of any length.
        _ => random.below(u64::MAX) >> random.below(64),
    };
    for _ in 0..20_000 {
        let [a, b, c] = [number(), number(), number()];
        let scaled = (u128::from(a) * u128::from(b)).div_ceil(u128::from(c.max(1)));
        let expected = [
            a.to_string(),
            format!("{a:0>20}"),
            a.saturating_add(b).to_string(),
            a.checked_add(b).is_none().to_string(),
            a.saturating_sub(b).to_string(),
            a.saturating_mul(b).to_string(),
            a.checked_mul(b).is_none().to_string(),
            u64::try_from(scaled).unwrap_or(u64::MAX).to_string(),
            a.max(b).to_string(),
            (a / 1_000_000_000).to_string(),
        ];
        let calculated = test.command("EVAL", &[&script, "0", &a.to_string(), &b.to_string(), &c.to_string()]);
        assert_eq!(texts(calculated), expected, "{a}, {b}, {c}");
    }
}
