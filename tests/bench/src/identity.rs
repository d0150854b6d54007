//! What it costs an edge to know its caller: `GET /auth/session` less the trivial route, in CPU time.

use http::{HeaderValue, header};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::account::Account;
use crate::client::{Call, Client};
use crate::load::AFTERWARDS;
use crate::process::Process;
use crate::statistics::median;
use crate::target::Target;

/// One kind of caller of one edge.
#[derive(Debug, Serialize)]
pub struct Identity {
    pub target: String,
    pub caller: &'static str,
    pub requests: usize,
    /// Microseconds per request, whole process: of the trivial route, and of `GET /auth/session`.
    pub trivial_us: f64,
    pub cpu_us: f64,
    /// The median over the rounds of the difference of the two.
    pub added_us: f64,
}

/// An access token that the edge has seen before.
pub const SEEN: &str = "token seen before";
/// An access token that the edge has never seen.
pub const FIRST_SIGHT: &str = "token at first sight";
/// An API key that the edge keeps.
pub const API_KEY: &str = "API key";

const CONNECTIONS: usize = 16;
/// In one turn of one kind of caller.
const REQUESTS: usize = 20 * CONNECTIONS;
/// Turns that nobody counts: V8 compiles what it has often run.
const WARM_UP: usize = 3;

/// Measures every edge in turns. Every turn has tokens that were never used before.
pub async fn measure(targets: &[Target], account: &Account, rounds: usize) -> Result<Vec<Identity>, String> {
    let edges: Vec<&Target> = targets.iter().filter(|target| target.is_edge() && target.pid.is_some()).collect();
    let tokens = account.distinct_tokens(REQUESTS * (rounds + WARM_UP)).await?;
    let mut turns: Vec<Vec<Turn>> = edges.iter().map(|_| Vec::new()).collect();
    for fresh in tokens.chunks(REQUESTS) {
        for (target, turns) in edges.iter().zip(&mut turns) {
            turns.push(Turn::run(target, fresh, account.api_key()?).await?);
        }
    }
    let rows = edges.iter().zip(&turns).map(|(target, turns)| rows(target, turns.get(WARM_UP..).unwrap_or_default()));
    Ok(rows.flatten().collect())
}

/// Microseconds per request in one turn.
struct Turn {
    trivial: f64,
    seen: f64,
    first_sight: f64,
    api_key: f64,
}

impl Turn {
    async fn run(target: &Target, fresh: &[HeaderValue], api_key: HeaderValue) -> Result<Self, String> {
        let (trivial, session) = (Call::get("/healthz")?, Call::get("/auth/session")?);
        let token = target.headers.get(header::AUTHORIZATION).cloned().ok_or("the edge is called with no token")?;
        // Whatever the edge has forgotten since the last turn it learns here, uncounted.
        connection(target.clone(), session.clone(), vec![token.clone(), api_key.clone()]).await?;
        let (seen, api_key) = (vec![token; REQUESTS], vec![api_key; REQUESTS]);
        Ok(Self {
            trivial: cpu(target, &trivial, &seen).await?,
            seen: cpu(target, &session, &seen).await?,
            api_key: cpu(target, &session, &api_key).await?,
            first_sight: cpu(target, &session, fresh).await?,
        })
    }
}

fn rows(target: &Target, turns: &[Turn]) -> [Identity; 3] {
    let row = |caller, cpu: fn(&Turn) -> f64| Identity {
        target: target.name.clone(),
        caller,
        requests: REQUESTS * turns.len(),
        trivial_us: median(turns.iter().map(|turn| turn.trivial).collect()),
        cpu_us: median(turns.iter().map(cpu).collect()),
        added_us: median(turns.iter().map(|turn| cpu(turn) - turn.trivial).collect()),
    };
    [row(SEEN, |turn| turn.seen), row(FIRST_SIGHT, |turn| turn.first_sight), row(API_KEY, |turn| turn.api_key)]
}

/// CPU time per request in microseconds, one request for each credential.
async fn cpu(target: &Target, call: &Call, credentials: &[HeaderValue]) -> Result<f64, String> {
    let process = Process::with_children(target.pid.ok_or("CPU time needs a process id")?)?;
    let before = process.cpu()?;
    let mut connections = JoinSet::new();
    for share in credentials.chunks(credentials.len().div_ceil(CONNECTIONS)) {
        connections.spawn(connection(target.clone(), call.clone(), share.to_vec()));
    }
    while let Some(ended) = connections.join_next().await {
        ended.map_err(|error| error.to_string())??;
    }
    tokio::time::sleep(AFTERWARDS).await;
    let used = process.cpu()?.saturating_sub(before).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let requests = credentials.len() as f64;
    Ok(used * 1e6 / requests)
}

async fn connection(mut target: Target, call: Call, credentials: Vec<HeaderValue>) -> Result<(), String> {
    let mut client = Client::connect(&target).await?;
    for credential in credentials {
        target.headers.insert(header::AUTHORIZATION, credential);
        let answer = client.call(&target, &call, false).await?;
        if answer.status != 200 {
            let text = String::from_utf8_lossy(&answer.excerpt);
            return Err(format!("{} {}: {} {text:.200}", target.name, call.uri, answer.status));
        }
    }
    Ok(())
}
