//! What the ledger in Postgres costs: calls per second, and CPU of the server for each, without what is in front of it.
//! It needs no edge: it starts a server of its own, which writes to disk as one that serves does.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use local_postgres::{Options, Server};
use local_supabase::{Login, login_url};
use quota::account::{Amounts, Operation, Outcome, Per, Reserve, Rule, Subject, Unit};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};

use crate::process::Process;
use crate::statistics::median;

/// One kind of work on so many accounts.
#[derive(Debug, Serialize)]
pub struct LedgerRow {
    /// Where the ledger is.
    pub store: &'static str,
    pub work: &'static str,
    pub accounts: usize,
    pub connections: usize,
    /// Lists of operations applied.
    pub calls: usize,
    pub per_second: f64,
    /// Microseconds of the server's CPU per call.
    pub cpu_us: f64,
}

/// What one connection does again and again.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    /// One request of a user and of the organization.
    Take,
    /// A call begins, with a budget beside the rates, and ends, with a row for the accounts: two calls.
    ReserveAndSettle,
}

#[derive(Deserialize)]
struct Applied {
    outcomes: Vec<Outcome>,
}

pub const CONNECTIONS: usize = 8;
const USERS: usize = 50;
const APPLY: &str = "select api.apply_to_ledger($1::text::jsonb)::text";

/// Measures each kind of work over many accounts and on one.
pub async fn measure(project: &Path, rounds: usize, seconds: f64) -> Result<Vec<LedgerRow>, String> {
    let options =
        Options { directory: project.join(".local/bench-postgres"), project: project.to_owned(), durable: true };
    let server = Server::start(&options).map_err(text)?;
    local_supabase::prepare(&server.url("postgres"), &project.join("supabase/migrations")).await.map_err(text)?;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Arc::new(connect(&server).await?));
    }
    let process = Process::with_children(server.pid().ok_or("the server has no process")?)?;
    let mut rows = Vec::new();
    for (work, accounts) in [Work::Take, Work::ReserveAndSettle].into_iter().flat_map(|work| [(work, 100), (work, 1)]) {
        let (mut rates, mut costs, mut calls) = (Vec::new(), Vec::new(), 0);
        for _ in 0..=rounds {
            let (before, begun) = (process.cpu()?, Instant::now());
            let done = turn(&clients, work, accounts, Duration::from_secs_f64(seconds)).await?;
            let (took, used) = (begun.elapsed(), process.cpu()?.saturating_sub(before));
            calls += done;
            #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
            let done = done as f64;
            rates.push(done / took.as_secs_f64());
            costs.push(used.as_secs_f64() * 1e6 / done);
        }
        // In the first turn accounts are made and plans are chosen.
        let (rates, costs) = (rates.split_off(1), costs.split_off(1));
        let (per_second, cpu_us) = (median(rates), median(costs));
        let (store, work) = ("Postgres", work.name());
        rows.push(LedgerRow { store, work, accounts, connections: CONNECTIONS, calls, per_second, cpu_us });
    }
    drop(clients);
    Ok(rows)
}

async fn connect(server: &Server) -> Result<Client, String> {
    let url = login_url(&server.url("postgres"), Login::Authenticator).map_err(text)?;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.map_err(text)?;
    tokio::spawn(connection);
    client.batch_execute("set role service_role").await.map_err(text)?;
    Ok(client)
}

/// How many calls all connections make within `time`.
async fn turn(clients: &[Arc<Client>], work: Work, accounts: usize, time: Duration) -> Result<usize, String> {
    let end = Instant::now() + time;
    let mut connections = JoinSet::new();
    for client in clients {
        let client = Arc::clone(client);
        connections.spawn(async move {
            let apply = client.prepare(APPLY).await.map_err(text)?;
            let mut calls = 0;
            while Instant::now() < end {
                let number = next_number();
                let account = format!("{}-{}", work.name(), number % accounts);
                for operation in work.operations(number) {
                    let payload = json!({"account": account, "operations": [operation]}).to_string();
                    let answer: String = client.query_one(&apply, &[&payload]).await.map_err(text)?.get(0);
                    let Applied { outcomes } = serde_json::from_str(&answer).map_err(text)?;
                    if !matches!(outcomes.as_slice(), [Outcome::Decided(decision)] if decision.allowed) {
                        return Err(format!("{operation:?} came to {outcomes:?}"));
                    }
                    calls += 1;
                }
            }
            Ok(calls)
        });
    }
    let mut calls = 0;
    while let Some(ended) = connections.join_next().await {
        calls += ended.map_err(text)??;
    }
    Ok(calls)
}

impl Work {
    pub fn name(self) -> &'static str {
        match self {
            Self::Take => "take",
            Self::ReserveAndSettle => "reserve+settle",
        }
    }

    /// With a number that nobody else has.
    pub fn operations(self, number: usize) -> Vec<Operation> {
        let user = format!("user:{}", number / 100 % USERS);
        // So large that nothing is refused, which would cost less.
        let rate = |limit| Rule { name: "requests".into(), unit: Unit::Requests, per: Per::Seconds(3600), limit };
        let budget = Rule { name: "usd-month".into(), unit: Unit::NanoUsd, per: Per::Month, limit: u64::MAX };
        let (user_rules, mut org_rules) = (vec![rate(1_000_000)], vec![rate(1_000_000_000)]);
        let amounts = Amounts { requests: 1, tokens: 1_000, nano_usd: 1_000_000 };
        if let Self::ReserveAndSettle = self {
            org_rules.push(budget);
        }
        let subjects =
            vec![Subject { name: user.into(), rules: user_rules }, Subject { name: "org".into(), rules: org_rules }];
        match self {
            Self::Take => vec![Operation::Take { subjects, amounts: Amounts::ONE_REQUEST }],
            Self::ReserveAndSettle => {
                let id = call_id(number);
                let event = json!({
                    "id": id, "request_id": id, "alias": "default", "provider": "together", "model": "llama",
                    "stream": true, "status": "success", "http_status": 200, "finish_reason": "stop",
                    "input_tokens": 100, "output_tokens": 100, "usage_source": "provider", "cost_nano_usd": 100_000,
                    "latency_ms": 1_000, "time_to_first_token_ms": 100, "attempts": 1,
                    "started_at": "2026-03-01T12:00:00Z",
                });
                let record = Some(event.to_string());
                let expires_after = 600_000_000_000;
                let reserve = Reserve { id: id.clone(), subjects, amounts, expires_after, record: record.clone() };
                let actual = Amounts { requests: 1, tokens: 200, nano_usd: 100_000 };
                vec![Operation::Reserve(reserve), Operation::Settle { id, actual, record }]
            }
        }
    }
}

/// One that this run has not used.
pub fn next_number() -> usize {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// A UUID that no other run used.
fn call_id(number: usize) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    format!("{now:08x}-0000-4000-8000-{number:012x}")
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
