//! What an open stream costs in memory.

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::json;

use crate::client::{Call, Client};
use crate::process::Process;
use crate::scenario::chat;
use crate::target::Target;

/// Resident memory of an edge with so many open streams.
#[derive(Debug, Serialize)]
pub struct Memory {
    pub target: String,
    /// Open streams, and kB.
    pub resident: Vec<(usize, u64)>,
    /// kB per stream, from none to the most.
    pub per_stream_kb: f64,
}

/// An open stream: dropping it hangs up.
struct Open {
    _client: Client,
    body: Incoming,
}

const STREAMS: [usize; 3] = [0, 100, 400];
/// Allocators and collectors give back late: the lowest of some readings counts.
const SETTLING: Duration = Duration::from_secs(2);

/// Opens more and more streams that say a word each second, and reads the memory of the edge's process.
pub async fn measure(target: &Target) -> Result<Memory, String> {
    let pid = target.pid.ok_or_else(|| format!("{}: its memory needs its process id", target.name))?;
    let process = Process::with_children(pid)?;
    let call = Call::chat(chat(true, &json!({"tokens": 300, "interval_ms": 1000})));
    let mut open: Vec<Open> = Vec::new();
    let mut resident = Vec::new();
    for count in STREAMS {
        while open.len() < count {
            open.push(stream(target, &call).await?);
        }
        resident.push((count, settled(&process, &mut open).await?));
    }
    let per_stream_kb = per_stream(&resident);
    Ok(Memory { target: target.name.clone(), resident, per_stream_kb })
}

/// Opens a stream and waits for its first piece.
async fn stream(target: &Target, call: &Call) -> Result<Open, String> {
    let mut client = Client::connect(target).await?;
    let response = client.open(target, call).await?;
    if response.status() != 200 {
        return Err(format!("{}: a stream is answered with {}", target.name, response.status()));
    }
    let mut open = Open { _client: client, body: response.into_body() };
    open.next().await?;
    Ok(open)
}

/// The lowest memory within a while, during which all streams are read.
async fn settled(process: &Process, open: &mut [Open]) -> Result<u64, String> {
    let until = Instant::now() + SETTLING;
    let mut lowest = process.resident_kb()?;
    while Instant::now() < until {
        for stream in open.iter_mut() {
            stream.next().await?;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        lowest = lowest.min(process.resident_kb()?);
    }
    Ok(lowest)
}

fn per_stream(resident: &[(usize, u64)]) -> f64 {
    let (Some((none, before)), Some((count, after))) = (resident.first(), resident.last()) else { return 0.0 };
    #[expect(clippy::cast_precision_loss, reason = "kilobytes and counts")]
    let per_stream = (*after as f64 - *before as f64) / (count - none).max(1) as f64;
    per_stream
}

impl Open {
    async fn next(&mut self) -> Result<(), String> {
        let next = tokio::time::timeout(Duration::from_secs(20), self.body.frame()).await;
        match next {
            Ok(Some(Ok(_))) => Ok(()),
            Ok(Some(Err(error))) => Err(format!("an open stream broke: {error}")),
            Ok(None) => Err("an open stream ended".to_owned()),
            Err(_) => Err("an open stream is silent".to_owned()),
        }
    }
}
