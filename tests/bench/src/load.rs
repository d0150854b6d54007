//! The closed loop: each connection sends its next request as soon as it has the answer to the last.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::client::{Answer, Client};
use crate::process::Process;
use crate::report::{Row, Slice};
use crate::scenario::Scenario;
use crate::target::Target;

/// How hard, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub connections: usize,
    pub seconds: f64,
}

/// What one connection saw.
#[derive(Debug, Default)]
struct Seen {
    answers: Vec<Answer>,
    /// Answers that failed or were not 200, and the first of them.
    errors: usize,
    error: Option<String>,
}

/// Background work that a request leaves behind counts as its CPU time.
pub const AFTERWARDS: Duration = Duration::from_millis(200);
const WARM_UP_SECONDS: f64 = 0.3;

/// Loads every target in turn, `rounds` times; one row for each target, the direct one first.
pub async fn rounds(
    scenario: Scenario,
    direct: &Target,
    targets: &[Target],
    pace: Pace,
    rounds: usize,
) -> Result<Vec<Row>, String> {
    let all: Vec<&Target> = std::iter::once(direct).chain(targets).collect();
    let mut slices: Vec<Vec<Slice>> = all.iter().map(|_| Vec::new()).collect();
    for target in &all {
        slice(scenario, target, Pace { seconds: WARM_UP_SECONDS * scenario.slowness(), ..pace }).await?;
    }
    for _ in 0..rounds {
        for (target, slices) in all.iter().zip(&mut slices) {
            slices.push(slice(scenario, target, pace).await?);
        }
    }
    let beside = slices.first().cloned().unwrap_or_default();
    let rows =
        all.iter().zip(&slices).map(|(target, slices)| Row::new(scenario, target, pace.connections, slices, &beside));
    Ok(rows.collect())
}

/// One turn of one target.
async fn slice(scenario: Scenario, target: &Target, pace: Pace) -> Result<Slice, String> {
    let process = target.pid.map(Process::with_children).transpose()?;
    let before = process.as_ref().map(Process::cpu).transpose()?;
    let begun = Instant::now();
    let until = begun + Duration::from_secs_f64(pace.seconds);
    let mut connections = JoinSet::new();
    for number in 0..pace.connections {
        let wait = share(scenario.ramp(), number, pace.connections);
        connections.spawn(connection(scenario, target.clone(), wait, until));
    }
    let seen = connections.join_all().await;
    let elapsed = begun.elapsed();
    let mut slice = Slice::of(scenario, elapsed, seen.iter().flat_map(|seen| &seen.answers));
    slice.errors = seen.iter().map(|seen| seen.errors).sum();
    slice.error = seen.into_iter().find_map(|seen| seen.error);
    if let (Some(process), Some(before)) = (process, before) {
        tokio::time::sleep(AFTERWARDS).await;
        slice.cpu = Some(process.cpu()?.saturating_sub(before));
    }
    Ok(slice)
}

/// `number` of `parts` equal parts of the whole.
fn share(whole: Duration, number: usize, parts: usize) -> Duration {
    let [number, parts] = [number, parts].map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    whole * number / parts.max(1)
}

/// Asks at least once.
async fn connection(scenario: Scenario, target: Target, wait: Duration, until: Instant) -> Seen {
    tokio::time::sleep(wait).await;
    let call = scenario.call();
    let mut seen = Seen::default();
    let mut client = None;
    while seen.is_empty() || Instant::now() < until {
        let mut connected = match client.take() {
            Some(client) => client,
            None => match Client::connect(&target).await {
                Ok(client) => client,
                Err(error) => {
                    seen.fail(error);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            },
        };
        match connected.call(&target, &call, scenario.frames().is_some()).await {
            Ok(answer) if answer.status == 200 => {
                seen.answers.push(answer);
                client = Some(connected);
            }
            Ok(answer) => {
                let text = String::from_utf8_lossy(&answer.excerpt).into_owned();
                seen.fail(format!("{}: {}", answer.status, text.chars().take(200).collect::<String>()));
                client = Some(connected);
            }
            Err(error) => seen.fail(error),
        }
    }
    seen
}

impl Seen {
    fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.errors == 0
    }

    fn fail(&mut self, error: String) {
        self.errors += 1;
        self.error.get_or_insert(error);
    }
}
