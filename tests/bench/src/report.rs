//! The figures.

use std::time::Duration;

use serde::Serialize;

use crate::client::Answer;
use crate::identity::Identity;
use crate::ledger::Cost;
use crate::ledger_sql::LedgerRow;

use crate::ledger_hop::Hops;
use crate::memory::Memory;
use crate::scenario::Scenario;
use crate::statistics::{median, percentile};
use crate::target::Target;
use crate::wasm::Size;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    pub cores: usize,
    /// The machine's load when the run began.
    pub load: String,
    pub rows: Vec<Row>,
    pub identity: Vec<Identity>,
    pub hops: Vec<Hops>,
    pub memory: Vec<Memory>,
    pub ledger_stores: Vec<LedgerRow>,
    pub ledger: Vec<Cost>,
    pub wasm: Vec<Size>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_ms: Option<f64>,
}

/// One scenario on one target.
#[derive(Debug, Serialize)]
pub struct Row {
    pub target: String,
    pub edge: bool,
    pub scenario: &'static str,
    pub connections: usize,
    pub requests: usize,
    pub errors: usize,
    pub error: Option<String>,
    pub rps: f64,
    pub rps_to_direct: f64,
    pub cpu_us: Option<f64>,
    pub p50_ms: f64,
    pub added_p50_ms: f64,
    pub added_p99_ms: f64,
    /// Streams only, as all that follows.
    pub frames: Option<Frames>,
}

/// What became of the frames of streams.
#[derive(Debug, Serialize)]
pub struct Frames {
    pub added_first_p50_ms: f64,
    pub added_first_p99_ms: f64,
    /// Frames per stream, the least and the most.
    pub least: usize,
    pub most: usize,
    pub expected: usize,
    /// Frames that did not come, of all streams.
    pub lost: usize,
    /// Paced frames that came together with the one before them, of all streams.
    pub merged: usize,
    pub paced: usize,
    pub gap_p99_ms: f64,
    pub gap_p99_direct_ms: f64,
    /// How much longer the pause is than the provider's own, in the same round.
    pub added_gap_p99_ms: f64,
}

/// Frames that were sent 10 ms apart, or more, and are closer than this came in one piece.
const MERGED_MS: f64 = 1.0;

/// One turn of one target.
#[derive(Debug, Clone, Default)]
pub struct Slice {
    seconds: f64,
    totals_ms: Vec<f64>,
    firsts_ms: Vec<f64>,
    gaps_ms: Vec<f64>,
    frames: Vec<usize>,
    merged: usize,
    pub cpu: Option<Duration>,
    pub errors: usize,
    pub error: Option<String>,
}

impl Report {
    /// Nothing yet.
    pub fn new() -> Self {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            load: load.split(' ').next().unwrap_or_default().to_owned(),
            rows: Vec::new(),
            identity: Vec::new(),
            hops: Vec::new(),
            memory: Vec::new(),
            ledger_stores: Vec::new(),
            ledger: Vec::new(),
            wasm: Vec::new(),
            boot_ms: None,
        }
    }
}

impl Slice {
    /// What the answers of one turn say.
    pub fn of<'a>(scenario: Scenario, elapsed: Duration, answers: impl Iterator<Item = &'a Answer>) -> Self {
        let mut slice = Self { seconds: elapsed.as_secs_f64(), ..Self::default() };
        for answer in answers {
            slice.totals_ms.push(millis(answer.total));
            if let Some((_, paced)) = scenario.frames() {
                slice.stream(answer, paced);
            }
        }
        slice
    }

    fn stream(&mut self, answer: &Answer, paced: usize) {
        let arrivals: Vec<f64> =
            answer.pieces.iter().flat_map(|(at, frames)| std::iter::repeat_n(millis(*at), *frames)).collect();
        self.frames.push(arrivals.len());
        self.firsts_ms.extend(arrivals.first());
        // The role frame comes with the first token, the last two with the last; the paced ones are in between.
        let gaps: Vec<f64> = arrivals.windows(2).filter_map(|pair| Some(pair.last()? - pair.first()?)).collect();
        self.gaps_ms.extend(gaps.iter().skip(1).take(paced));
        self.merged += gaps.iter().skip(1).take(paced).filter(|gap| **gap < MERGED_MS).count();
    }

    fn answers(&self) -> usize {
        self.totals_ms.len()
    }
}

impl Row {
    /// Sums up the turns of a target; `direct` are those of the provider itself in the same rounds.
    pub fn new(scenario: Scenario, target: &Target, connections: usize, slices: &[Slice], direct: &[Slice]) -> Self {
        let rps = median(slices.iter().map(rate).collect());
        let cpu =
            slices.iter().filter(|slice| slice.answers() > 0).filter_map(|slice| Some((slice.cpu?, slice.answers())));
        let cpu: Vec<f64> = cpu.map(|(cpu, answers)| cpu.as_secs_f64() * 1e6 / count(answers)).collect();
        Self {
            target: target.name.clone(),
            edge: target.is_edge(),
            scenario: scenario.name(),
            connections,
            requests: slices.iter().map(Slice::answers).sum(),
            errors: slices.iter().map(|slice| slice.errors).sum(),
            error: slices.iter().find_map(|slice| slice.error.clone()),
            rps,
            rps_to_direct: rps / median(direct.iter().map(rate).collect()).max(f64::MIN_POSITIVE),
            cpu_us: (!cpu.is_empty()).then(|| median(cpu)),
            p50_ms: median(slices.iter().map(|slice| at(&slice.totals_ms, 0.5)).collect()),
            added_p50_ms: added(slices, direct, |slice| &slice.totals_ms, 0.5),
            added_p99_ms: added(slices, direct, |slice| &slice.totals_ms, 0.99),
            frames: scenario.frames().map(|(expected, paced)| Frames {
                added_first_p50_ms: added(slices, direct, |slice| &slice.firsts_ms, 0.5),
                added_first_p99_ms: added(slices, direct, |slice| &slice.firsts_ms, 0.99),
                least: slices.iter().flat_map(|slice| slice.frames.clone()).min().unwrap_or(0),
                most: slices.iter().flat_map(|slice| slice.frames.clone()).max().unwrap_or(0),
                expected,
                lost: slices.iter().flat_map(|slice| &slice.frames).map(|came| expected.saturating_sub(*came)).sum(),
                merged: slices.iter().map(|slice| slice.merged).sum(),
                paced,
                gap_p99_ms: median(slices.iter().map(|slice| at(&slice.gaps_ms, 0.99)).collect()),
                gap_p99_direct_ms: median(direct.iter().map(|slice| at(&slice.gaps_ms, 0.99)).collect()),
                added_gap_p99_ms: added(slices, direct, |slice| &slice.gaps_ms, 0.99),
            }),
        }
    }
}

/// The median over the rounds of the difference between the target's percentile and the provider's.
fn added(slices: &[Slice], direct: &[Slice], values: impl Fn(&Slice) -> &Vec<f64>, fraction: f64) -> f64 {
    let rounds = slices.iter().zip(direct).filter(|(slice, _)| slice.answers() > 0);
    median(rounds.map(|(slice, direct)| at(values(slice), fraction) - at(values(direct), fraction)).collect())
}

fn at(values: &[f64], fraction: f64) -> f64 {
    percentile(&mut values.to_vec(), fraction)
}

fn rate(slice: &Slice) -> f64 {
    count(slice.answers()) / slice.seconds
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_comes_with_the_one_before_it_is_merged() {
        let mut pieces: Vec<(Duration, usize)> = (0..40).map(|at| (Duration::from_millis(at * 10), 1)).collect();
        pieces[0].1 = 2; // the role with the first token
        pieces[20].1 = 2;
        pieces.push((Duration::from_millis(400), 2));
        let answer = Answer { pieces, ..Answer::default() };
        let slice = Slice::of(Scenario::Paced, Duration::from_secs(1), [&answer].into_iter());
        assert_eq!((slice.frames, slice.merged, slice.gaps_ms.len()), (vec![44], 1, 40));
    }

    #[test]
    fn what_did_not_come_is_lost_and_what_came_late_is_measured_against_the_provider() {
        let stream = |frames: u32, late: u64| {
            let at = |number: u32| Duration::from_millis(250) * number;
            let mut pieces: Vec<_> = (0..frames).map(|number| (at(number), 1)).collect();
            if let Some(piece) = pieces.get_mut(10) {
                piece.0 += Duration::from_millis(late);
            }
            Slice::of(Scenario::Many, at(frames), [&Answer { pieces, ..Answer::default() }].into_iter())
        };
        let target = Target::new("edge", crate::target::Kind::Edge, "http://edge.test", "token", None).unwrap();
        let row =
            Row::new(Scenario::Many, &target, 512, &[stream(28, 40), stream(26, 40)], &[stream(28, 0), stream(28, 0)]);
        let frames = row.frames.unwrap();
        assert_eq!((frames.least, frames.most, frames.lost, frames.merged), (26, 28, 2, 0));
        assert!((frames.added_gap_p99_ms - 40.0).abs() < 0.001, "{}", frames.added_gap_p99_ms);
    }
}
