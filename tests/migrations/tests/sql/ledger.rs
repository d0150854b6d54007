//! The ledger in SQL decides what `shared/quota` decides.

use std::collections::BTreeMap;
use std::thread;

use postgres::{Row, Transaction};
use quota::account::{Account, Amounts, Operation, Outcome, Per, Reserve, Rule, Subject, Unit};
use quota::samples::sequence;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Test;
use crate::cluster::{As, Cluster, become_, call, code, new_id};

pub const TESTS: &[Test] = &[("whatever_happens_to_an_account_sql_and_rust_come_to_the_same", random_sequences)];

/// What was counted, and what is under way.
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
    thread::scope(|scope| {
        for part in 0..2 {
            scope.spawn(move || {
                for seed in (0..200).filter(|seed| seed % 2 == part) {
                    cluster.transaction(|transaction| {
                        become_(transaction, As::Service);
                        compare(&mut Sql::new(transaction, &format!("random {part}")), seed);
                    });
                }
            });
        }
    });
}

fn compare(sql: &mut Sql<'_, '_>, seed: u64) {
    let mut account = Account::default();
    for (step, (now, operation)) in sequence(seed, 60).into_iter().enumerate() {
        let expected = serde_json::to_value(account.apply(now, &operation)).unwrap();
        let (outcome, ended) = sql.apply(now, &operation);
        assert_eq!(outcome, expected, "seed {seed}, step {step}: {operation:?}");
        assert_eq!(ended, account.changes().ended, "seed {seed}, step {step}: {operation:?}");
        assert_eq!(sql.view(now), account.view(now), "seed {seed}, step {step}: {operation:?}");
    }
}
