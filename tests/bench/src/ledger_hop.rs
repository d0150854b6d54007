//! What a hop to the ledger's Durable Object costs, in CPU time: a route that asks it, less the same route that does not.

use bytes::Bytes;
use http::{Method, Uri};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::{Call, Client};
use crate::load::AFTERWARDS;
use crate::process::Process;
use crate::statistics::median;
use crate::target::Target;

/// One kind of hop on one target.
#[derive(Debug, Serialize)]
pub struct Hops {
    pub target: String,
    pub hop: &'static str,
    pub requests: usize,
    /// Microseconds per request, whole process: without the hop, and with it.
    pub without_us: f64,
    pub cpu_us: f64,
    /// The median over the rounds of the difference of the two.
    pub added_us: f64,
}

/// A counter in JavaScript, in memory alone.
pub const COUNTER: &str = "counter";
/// A counter in JavaScript, written at each request.
pub const WRITTEN: &str = "counter, written";
/// Two rates.
pub const TAKE: &str = "take";
/// A call that is reserved and settled in turns: half a call, kept on disk before it is answered.
pub const CALL: &str = "reserve, settle";

const CONNECTIONS: usize = 16;
/// In one turn, on each connection.
const REQUESTS: usize = 100;
/// Turns that nobody counts: V8 compiles what it has often run.
const WARM_UP: usize = 3;

/// The routes of one hop, and what is posted.
struct Hop {
    name: &'static str,
    without: &'static str,
    with: &'static str,
    body: fn(&str, usize) -> Value,
}

const REFERENCE: [Hop; 2] = [
    Hop { name: COUNTER, without: "/body", with: "/counter", body: take },
    Hop { name: WRITTEN, without: "/body", with: "/written", body: take },
];
const EDGE: [Hop; 2] = [
    Hop { name: TAKE, without: "/__probe/apply", with: "/__probe/apply?account=bench-take", body: take },
    Hop { name: CALL, without: "/__probe/apply", with: "/__probe/apply?account=bench-call", body: call },
];

/// Measures every target in turns: the yardstick, and Workers that are built with the feature `probe`.
pub async fn measure(targets: &[Target], rounds: usize) -> Result<Vec<Hops>, String> {
    let hops = targets.iter().filter(|target| target.pid.is_some()).flat_map(|target| {
        let hops = if target.is_edge() { &EDGE } else { &REFERENCE };
        hops.iter().map(move |hop| (target, hop))
    });
    let mut turns: Vec<_> = hops.map(|hop| (hop, Vec::new())).collect();
    for round in 0..rounds + WARM_UP {
        for ((target, hop), turns) in &mut turns {
            let without = cpu(target, hop.without, hop, round).await?;
            turns.push((without, cpu(target, hop.with, hop, round).await?));
        }
    }
    Ok(turns.iter().map(|((target, hop), turns)| row(target, hop, turns.get(WARM_UP..).unwrap_or_default())).collect())
}

fn row(target: &Target, hop: &Hop, turns: &[(f64, f64)]) -> Hops {
    Hops {
        target: target.name.clone(),
        hop: hop.name,
        requests: CONNECTIONS * REQUESTS * turns.len(),
        without_us: median(turns.iter().map(|(without, _)| *without).collect()),
        cpu_us: median(turns.iter().map(|(_, with)| *with).collect()),
        added_us: median(turns.iter().map(|(without, with)| with - without).collect()),
    }
}

/// CPU time per request in microseconds.
async fn cpu(target: &Target, path: &'static str, hop: &Hop, round: usize) -> Result<f64, String> {
    let process = Process::with_children(target.pid.ok_or("CPU time needs a process id")?)?;
    let mut connections = JoinSet::new();
    let before = process.cpu()?;
    for connection in 0..CONNECTIONS {
        let prefix = format!("{}-{round}-{connection}", std::process::id());
        let bodies = (0..REQUESTS).map(|number| Bytes::from(json!([(hop.body)(&prefix, number)]).to_string()));
        connections.spawn(requests(target.clone(), path, bodies.collect()));
    }
    while let Some(ended) = connections.join_next().await {
        ended.map_err(|error| error.to_string())??;
    }
    tokio::time::sleep(AFTERWARDS).await;
    let used = process.cpu()?.saturating_sub(before).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let requests = (CONNECTIONS * REQUESTS) as f64;
    Ok(used * 1e6 / requests)
}

async fn requests(target: Target, path: &'static str, bodies: Vec<Bytes>) -> Result<(), String> {
    let mut client = Client::connect(&target).await?;
    for body in bodies {
        let call = Call { method: Method::POST, uri: Uri::from_static(path), body };
        let answer = client.call(&target, &call, false).await?;
        if answer.status != 200 {
            let text = String::from_utf8_lossy(&answer.excerpt);
            return Err(format!("{} {path}: {} {text:.200}; is it built with `probe`?", target.name, answer.status));
        }
    }
    Ok(())
}

fn take(_: &str, _: usize) -> Value {
    json!({"take": {"subjects": subjects(), "amounts": {"requests": 1}}})
}

/// A call's beginning and its end, in turns.
fn call(prefix: &str, number: usize) -> Value {
    let id = format!("{prefix}-{}", number / 2);
    if number.is_multiple_of(2) {
        let amounts = json!({"requests": 1, "tokens": 500, "nano_usd": 100_000});
        let expires_after = 600_000_000_000_u64;
        return json!({"reserve": {"id": id, "subjects": subjects(), "amounts": amounts, "expires_after": expires_after}});
    }
    json!({"settle": {"id": id, "actual": {"requests": 1, "tokens": 300, "nano_usd": 60_000}}})
}

/// A user's rate and an organization's, which nobody reaches.
fn subjects() -> Value {
    let subject = |name: &str, limit: u64| json!({"name": name, "rules": [{"name": "rate", "unit": "requests", "per": {"seconds": 3600}, "limit": limit}]});
    json!([subject("user:1", 100_000_000), subject("org:1", 1_000_000_000)])
}
