//! What an account costs: to decide, to tell what must be kept, and to keep it in the native host's journal.

use std::hint::black_box;
use std::path::Path;
use std::time::SystemTime;

use quota::account::{Account, Amounts, Operation, Per, Reserve, Rule, Subject, Unit};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::statistics::median;

/// Nanoseconds of this thread's CPU time per operation, the median of the rounds.
#[derive(Debug, Serialize)]
pub struct Cost {
    pub what: &'static str,
    pub ns: f64,
    /// The most it should be.
    pub limit: Option<f64>,
}

const CALLS: u64 = 20_000;
/// Between two calls: so that as many of them are remembered as at 100 a second.
const APART: u64 = 10_000_000;
/// Calls under way at a time.
const OPEN: usize = 100;
const DECIDE_LIMIT: f64 = 1000.0;

/// Measures in turns, within this process. The journal is in a folder of its own within `folder`.
pub async fn measure(folder: &Path, rounds: usize) -> Result<Vec<Cost>, String> {
    let calls: Vec<_> = (0..CALLS).map(call).collect();
    let take = take();
    let folder = folder.join(format!("bench-ledger-{}", std::process::id()));
    let mut turns: [Vec<f64>; 9] = Default::default();
    for _ in 0..rounds {
        let kept = kept(&folder, &take, &calls).await;
        // What was measured is thrown away also when it failed.
        let _ = std::fs::remove_dir_all(&folder);
        for (turns, ns) in turns.iter_mut().zip(decided(&take, &calls).into_iter().chain(kept?)) {
            turns.push(ns);
        }
    }
    let limit = Some(DECIDE_LIMIT);
    let names = [
        ("take, 2 rules", limit),
        ("reserve, 4 rules", limit),
        ("settle, 4 rules", limit),
        ("take, 2 rules, and what is to be kept", None),
        ("reserve and settle, 4 rules, and what is to be kept", None),
        ("the same take through the native ledger, in memory", None),
        ("the same reserve and settle, in memory", None),
        ("the take through the native ledger, with a journal", None),
        ("the reserve and settle, with a journal", None),
    ];
    Ok(names.into_iter().zip(turns).map(|((what, limit), turns)| Cost { what, ns: median(turns), limit }).collect())
}

/// Accounts alone. Of the calls some are open at a time.
fn decided(take: &Operation, calls: &[(Operation, Operation)]) -> [f64; 5] {
    let takes = vec![take; calls.len()];
    let both: Vec<_> = calls.iter().flat_map(|(reserve, settle)| [reserve, settle]).collect();
    let (mut account, mut reserving, mut settling) = (Bench::new(), 0, 0);
    for open in calls.chunks(OPEN) {
        reserving += account.decide(open.iter().map(|(reserve, _)| reserve));
        settling += account.decide(open.iter().map(|(_, settle)| settle));
    }
    let take = Bench::new().decide(takes.iter().copied());
    let [take, reserve, settle] = [take, reserving, settling].map(per_call);
    [take, reserve, settle, Bench::new().decide_and_tell(&takes), Bench::new().decide_and_tell(&both)]
}

struct Bench {
    account: Account,
    now: u64,
}

impl Bench {
    fn new() -> Self {
        Self { account: Account::default(), now: now() }
    }

    /// Nanoseconds for all. What has changed is asked for in between, so that no more of it gathers than does elsewhere.
    fn decide<'a>(&mut self, operations: impl Iterator<Item = &'a Operation>) -> i64 {
        let operations: Vec<_> = operations.collect();
        let mut total = 0;
        for some in operations.chunks(50) {
            let start = cpu();
            self.apply(some);
            total += cpu() - start;
            self.account.changes();
        }
        total
    }

    fn decide_and_tell(&mut self, operations: &[&Operation]) -> f64 {
        let start = cpu();
        for operation in operations {
            self.apply(&[operation]);
            black_box(self.account.changes());
        }
        per_call(cpu() - start)
    }

    fn apply(&mut self, operations: &[&Operation]) {
        for operation in operations {
            black_box(self.account.apply(self.now, operation));
            self.now += APART;
        }
    }
}

/// Through the native host.
async fn kept(folder: &Path, take: &Operation, calls: &[(Operation, Operation)]) -> Result<[f64; 4], String> {
    let mut host = native::Host::new().map_err(|error| error.to_string())?;
    let memory = applied(&host, take, calls).await?;
    host.open_ledger(folder).map_err(|error| error.to_string())?;
    let journal = applied(&host, take, calls).await?;
    Ok([memory.0, memory.1, journal.0, journal.1])
}

async fn applied(
    host: &native::Host,
    take: &Operation,
    calls: &[(Operation, Operation)],
) -> Result<(f64, f64), String> {
    let apply = async |operation: &Operation| {
        let applied = host.context.ledger.apply("org:bench", std::slice::from_ref(operation)).await;
        applied.map(|outcomes| drop(black_box(outcomes))).map_err(|error| error.to_string())
    };
    let start = cpu();
    for _ in calls {
        apply(take).await?;
    }
    let between = cpu();
    for (reserve, settle) in calls {
        apply(reserve).await?;
        apply(settle).await?;
    }
    Ok((per_call(between - start), per_call(cpu() - between)))
}

fn take() -> Operation {
    let rules =
        vec![rule("requests", Unit::Requests, Per::Seconds(60)), rule("tokens", Unit::Tokens, Per::Seconds(60))];
    let subjects = vec![Subject { name: "user:6f1d0a52-6c5e-4f0c-9d4c-0c6d1e2f3a4b".into(), rules }];
    Operation::Take { subjects, amounts: Amounts { tokens: 100, ..Amounts::ONE_REQUEST } }
}

/// A call that begins, and its end.
fn call(number: u64) -> (Operation, Operation) {
    let id = format!("01890a5d-ac96-774b-bcce-{number:012x}");
    let user =
        vec![rule("requests", Unit::Requests, Per::Seconds(60)), rule("concurrent", Unit::Requests, Per::Moment)];
    let organization = vec![rule("tokens-day", Unit::Tokens, Per::Day), rule("usd-month", Unit::NanoUsd, Per::Month)];
    let subjects = vec![
        Subject { name: "user:6f1d0a52-6c5e-4f0c-9d4c-0c6d1e2f3a4b".into(), rules: user },
        Subject { name: "org:0b9c8d7e-1f2a-4b3c-8d4e-5f6a7b8c9d0e".into(), rules: organization },
    ];
    let record = Some(format!(r#"{{"id":"{id}","model":"default","input_tokens":57,"output_tokens":24}}"#));
    let reserve = Operation::Reserve(Reserve {
        id: id.clone(),
        subjects,
        amounts: Amounts { tokens: 1000, nano_usd: 500_000, ..Amounts::ONE_REQUEST },
        expires_after: 900_000_000_000,
        record: record.clone(),
    });
    let actual = Amounts { tokens: 81, nano_usd: 40_500, ..Amounts::ONE_REQUEST };
    (reserve, Operation::Settle { id, actual, record })
}

/// So high that nothing is refused.
fn rule(name: &str, unit: Unit, per: Per) -> Rule {
    Rule { name: name.into(), unit, per, limit: 1_000_000_000_000 }
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn per_call(total: i64) -> f64 {
    total as f64 / CALLS as f64
}

/// Nanoseconds that this thread has run.
fn cpu() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn now() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or_default()
}
