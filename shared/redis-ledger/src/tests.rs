//! The scripts in a real Redis against `quota`.

mod account;
mod delivery;
mod model;
mod numbers;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use async_trait::async_trait;
use local_redis::Server;
use platform::StoreError;
use platform::fakes::{Host, block_on};
use quota::account::{Amounts, Operation, Outcome, Per, Reserve, Rule, Subject, Unit};
use redis::Value as Told;
use serde_json::{Value, json};
use supabase::Supabase;
use tempfile::TempDir;

use crate::ledger::{ROWS, keys};
use crate::{Commands, RedisLedger, Reply, answer};

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
