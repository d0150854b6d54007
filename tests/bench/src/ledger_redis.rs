//! What the ledger in Redis costs: calls per second, and CPU of the server for each, without what is in front of it. It needs
//! no edge: it starts a server of its own, which writes to disk before it answers.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use local_redis::Server;
use platform::fakes::{Host, block_on};
use platform::{Ledger as _, StoreError};
use quota::account::Outcome;
use redis::Value;
use redis_ledger::{Commands, RedisLedger, Reply};
use supabase::Supabase;

use crate::ledger_sql::{CONNECTIONS, LedgerRow, Work, next_number};
use crate::process::Process;
use crate::statistics::median;

/// A connection of its own.
struct Client(Mutex<redis::Connection>);

#[async_trait]
impl Commands for Client {
    async fn execute(&self, command: &str, arguments: &[&str]) -> Result<Vec<Reply>, StoreError> {
        let mut connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match redis::cmd(command).arg(arguments).query(&mut *connection) {
            Ok(Value::BulkString(bytes)) => Ok(vec![Reply::Text(String::from_utf8_lossy(&bytes).into_owned())]),
            Ok(other) => Err(StoreError::Refused(format!("{other:?}"))),
            Err(error) => Err(StoreError::Unavailable(error.to_string())),
        }
    }
}

/// Measures each kind of work over many accounts and on one.
pub fn measure(project: &Path, rounds: usize, seconds: f64) -> Result<Vec<LedgerRow>, String> {
    let folder = project.join(".local/bench-redis");
    std::fs::create_dir_all(&folder).map_err(text)?;
    let server = Server::start(project, &folder, true).map_err(text)?;
    let process = Process::with_children(server.pid())?;
    let mut rows = Vec::new();
    for (work, accounts) in [Work::Take, Work::ReserveAndSettle].into_iter().flat_map(|work| [(work, 100), (work, 1)]) {
        let (mut rates, mut costs, mut calls) = (Vec::new(), Vec::new(), 0);
        for _ in 0..=rounds {
            let (before, begun) = (process.cpu()?, Instant::now());
            let done = turn(&server, work, accounts, Duration::from_secs_f64(seconds))?;
            let (took, used) = (begun.elapsed(), process.cpu()?.saturating_sub(before));
            calls += done;
            #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
            let done = done as f64;
            rates.push(done / took.as_secs_f64());
            costs.push(used.as_secs_f64() * 1e6 / done);
        }
        // In the first turn accounts are made.
        let (rates, costs) = (rates.split_off(1), costs.split_off(1));
        let (per_second, cpu_us) = (median(rates), median(costs));
        let (store, work) = ("Redis", work.name());
        rows.push(LedgerRow { store, work, accounts, connections: CONNECTIONS, calls, per_second, cpu_us });
    }
    Ok(rows)
}

/// How many calls all connections make within `time`.
fn turn(server: &Server, work: Work, accounts: usize, time: Duration) -> Result<usize, String> {
    let end = Instant::now() + time;
    thread::scope(|scope| {
        let run = || {
            let (host, mut calls) = (host(), 0);
            let ledger = ledger(server, &host)?;
            while Instant::now() < end {
                let number = next_number();
                let account = format!("{}-{}", work.name(), number % accounts);
                for operation in work.operations(number) {
                    let outcomes = block_on(ledger.apply(&account, std::slice::from_ref(&operation))).map_err(text)?;
                    if !matches!(outcomes.as_slice(), [Outcome::Decided(decision)] if decision.allowed) {
                        return Err(format!("{operation:?} came to {outcomes:?}"));
                    }
                    calls += 1;
                }
                host.background.forget(); // rows stay where they are
            }
            Ok(calls)
        };
        let connections: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(run)).collect();
        connections.into_iter().try_fold(0, |calls, connection| {
            let ended = connection.join().map_err(|_| "a connection panicked".to_owned())?;
            Ok(calls + ended?)
        })
    })
}

fn host() -> Host {
    let host = Host::new().variable("SUPABASE_URL", "https://x.supabase.co");
    host.variable("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_x").variable("SUPABASE_SECRET_KEY", "sb_secret_x")
}

fn ledger(server: &Server, host: &Host) -> Result<RedisLedger<Client>, String> {
    let connection = redis::Client::open(server.url()).and_then(|client| client.get_connection()).map_err(text)?;
    let config = block_on(supabase::Config::load(&host.variables)).map_err(text)?;
    Ok(RedisLedger::new(Client(Mutex::new(connection)), host.context(), Supabase::new(config)))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
