//! The table as text.

use std::fmt::Write;

use crate::identity::{FIRST_SIGHT, Identity, SEEN};
use crate::ledger_hop::{CALL, COUNTER, Hops, TAKE, WRITTEN};
use crate::report::{Frames, Report, Row};
use crate::wasm::Size;

const HEAD: [&str; 14] = [
    "target", "row", "c", "requests", "rps", "/direct", "cpu us", "p50", "+p50", "+p99", "+first", "frames", "gap99",
    "limit",
];

const IDENTITY_HEAD: [&str; 7] = ["target", "caller", "requests", "trivial us", "cpu us", "added us", "limit"];

const HOP_HEAD: [&str; 7] = ["target", "hop", "requests", "without us", "cpu us", "added us", "limit"];

/// The largest Worker, gzipped.
const MOST_GZIP_KB: f64 = 600.0;
/// The largest Spin component.
const MOST_COMPONENT_KB: f64 = 400.0;
/// The fewest streams through Spin components.
const STREAMS_PER_SECOND: f64 = 1000.0;
/// By how much one paced frame of a hundred may be later than the provider sent it.
const LATEST_FRAME_MS: f64 = 5.0;
/// The longest boot, in milliseconds.
const LONGEST_BOOT: f64 = 1000.0;

/// Renders all figures; milliseconds where nothing else is said.
pub fn render(report: &Report) -> String {
    let mut text =
        format!("{} cores, load {} at the start; milliseconds unless said otherwise\n", report.cores, report.load);
    if !report.rows.is_empty() {
        text.push_str(&align(&HEAD, &report.rows.iter().map(cells).collect::<Vec<_>>()));
    }
    for row in report.rows.iter().filter(|row| row.errors > 0) {
        let error = row.error.as_deref().unwrap_or_default();
        line(
            &mut text,
            &format!("{} {} c={}: {} errors, first: {error}", row.target, row.scenario, row.connections, row.errors),
        );
    }
    if !report.identity.is_empty() {
        text.push_str(&align(&IDENTITY_HEAD, &report.identity.iter().map(identity_cells).collect::<Vec<_>>()));
    }
    if !report.hops.is_empty() {
        let rows: Vec<_> = report.hops.iter().map(|row| hop_cells(row, &report.hops)).collect();
        text.push_str(&align(&HOP_HEAD, &rows));
    }
    for memory in &report.memory {
        let sizes: Vec<String> =
            memory.resident.iter().map(|(streams, kb)| format!("{:.1} MB with {streams} streams", kilo(*kb))).collect();
        line(
            &mut text,
            &format!("{} memory: {}; {:.1} kB per stream", memory.target, sizes.join(", "), memory.per_stream_kb),
        );
    }
    for row in &report.ledger_stores {
        line(
            &mut text,
            &format!(
                "ledger in {}, {}, {} accounts, {} connections: {:.0} calls/s, {:.0} us of CPU each",
                row.store, row.work, row.accounts, row.connections, row.per_second, row.cpu_us
            ),
        );
    }
    for cost in &report.ledger {
        let limit = cost.limit.map(|limit| format!(" ({})", verdict(cost.ns, limit))).unwrap_or_default();
        line(&mut text, &format!("ledger: {}: {:.0} ns{limit}", cost.what, cost.ns));
    }
    for size in &report.wasm {
        line(&mut text, &module(size));
    }
    if let Some(boot) = report.boot_ms {
        line(&mut text, &format!("boot to the first 200: {boot:.0} ms ({})", verdict(boot, LONGEST_BOOT)));
    }
    text
}

fn module(size: &Size) -> String {
    let (name, raw, gzip) = (&size.name, kilo(size.raw as u64), kilo(size.gzip as u64));
    if size.component {
        format!("{name}: {raw:.0} kB ({}), gzipped {gzip:.0} kB", verdict(raw, MOST_COMPONENT_KB))
    } else {
        format!("{name}: {raw:.0} kB, gzipped {gzip:.0} kB ({})", verdict(gzip, MOST_GZIP_KB))
    }
}

fn cells(row: &Row) -> [String; 14] {
    let direct = row.target == "direct";
    let added = |value: f64| if direct { String::new() } else { format!("{value:.2}") };
    let frames = row.frames.as_ref();
    [
        row.target.clone(),
        row.scenario.to_owned(),
        row.connections.to_string(),
        row.requests.to_string(),
        format!("{:.0}", row.rps),
        format!("{:.3}", row.rps_to_direct),
        row.cpu_us.map(|cpu| format!("{cpu:.0}")).unwrap_or_default(),
        format!("{:.2}", row.p50_ms),
        added(row.added_p50_ms),
        added(row.added_p99_ms),
        frames.map(|frames| added(frames.added_first_p50_ms)).unwrap_or_default(),
        frames.map(frame_counts).unwrap_or_default(),
        frames
            .filter(|frames| frames.paced > 0)
            .map(|frames| format!("{:.1}/{:.1}", frames.gap_p99_ms, frames.gap_p99_direct_ms))
            .unwrap_or_default(),
        limits(row).join(", "),
    ]
}

fn identity_cells(row: &Identity) -> [String; 7] {
    let limit = match (row.target.as_str(), row.caller) {
        ("workerd" | "spin", SEEN) => Some(15.0),
        ("workerd", FIRST_SIGHT) => Some(250.0),
        ("native", FIRST_SIGHT) => Some(150.0),
        _ => None,
    };
    [
        row.target.clone(),
        row.caller.to_owned(),
        row.requests.to_string(),
        format!("{:.0}", row.trivial_us),
        format!("{:.0}", row.cpu_us),
        format!("{:.1}", row.added_us),
        limit.map(|limit| verdict(row.added_us, limit)).unwrap_or_default(),
    ]
}

/// A hop may cost 120 us where a counter in JavaScript costs 55, and as many times what one costs here that keeps as much.
fn hop_cells(row: &Hops, all: &[Hops]) -> [String; 7] {
    let yardstick = match row.hop {
        TAKE => Some(COUNTER),
        CALL => Some(WRITTEN),
        _ => None,
    };
    let counter = |hop| all.iter().find(|row| row.hop == hop).map_or(55.0, |row| row.added_us);
    let limit = yardstick.map(|hop| (counter(hop) * 120.0 / 55.0).round());
    [
        row.target.clone(),
        row.hop.to_owned(),
        row.requests.to_string(),
        format!("{:.0}", row.without_us),
        format!("{:.0}", row.cpu_us),
        format!("{:.1}", row.added_us),
        limit.map(|limit| verdict(row.added_us, limit)).unwrap_or_default(),
    ]
}

/// Microseconds per request, with identity, ledger and usage on.
const CPU_LIMITS: [(&str, &str, f64); 7] = [
    ("workerd", "trivial", 110.0),
    ("workerd", "json", 400.0),
    ("workerd", "short", 1000.0),
    ("native", "trivial", 80.0),
    ("native", "json", 100.0),
    ("spin", "json", 200.0),
    ("spin", "short", 400.0),
];

/// What the row should keep, with what it does not.
fn limits(row: &Row) -> Vec<String> {
    if !row.edge {
        return Vec::new();
    }
    let cpu = CPU_LIMITS.iter().find(|(target, scenario, _)| row.target == *target && row.scenario == *scenario);
    let alone = row.connections == 1;
    let json = (alone && row.scenario == "json").then_some(if row.target == "spin" { 0.5 } else { 1.0 });
    let first = row.frames.as_ref().filter(|frames| alone && frames.paced > 0).map(|frames| frames.added_first_p50_ms);
    let mut limits = Vec::new();
    if let (Some((.., cpu)), Some(used)) = (cpu, row.cpu_us) {
        limits.push(format!("cpu {}", verdict(used, *cpu)));
    }
    limits.extend(json.map(|limit| format!("+p50 {}", verdict(row.added_p50_ms, limit))));
    if row.target == "spin" && row.scenario == "sse" && !alone {
        let under = if row.rps < STREAMS_PER_SECOND { " under" } else { "" };
        limits.push(format!("rps >= {STREAMS_PER_SECOND}{under}"));
    }
    limits.extend(first.map(|added| format!("+first {}", verdict(added, 1.0))));
    let late = row.frames.as_ref().filter(|_| row.scenario == "many").map(|frames| frames.added_gap_p99_ms);
    limits.extend(late.map(|added| format!("gap99 +{added:.1} {}", verdict(added, LATEST_FRAME_MS))));
    if let Some(frames) =
        row.frames.as_ref().filter(|frames| frames.least != frames.expected || frames.most != frames.expected)
    {
        limits.push(format!("{} frames over", frames.expected));
    }
    limits
}

fn verdict(value: f64, limit: f64) -> String {
    format!("<= {limit}{}", if value > limit { " over" } else { "" })
}

fn frame_counts(frames: &Frames) -> String {
    let counts = span(frames.least, frames.most);
    if frames.paced > 0 { format!("{counts}, {} lost, {} merged", frames.lost, frames.merged) } else { counts }
}

fn span(least: usize, most: usize) -> String {
    if least == most { least.to_string() } else { format!("{least}-{most}") }
}

#[expect(clippy::cast_precision_loss, reason = "sizes")]
fn kilo(number: u64) -> f64 {
    number as f64 / 1000.0
}

/// Columns as wide as their widest cell; words to the left, numbers to the right.
fn align<const COLUMNS: usize>(head: &[&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let head = head.map(str::to_owned);
    let widths: Vec<usize> = (0..COLUMNS)
        .map(|column| {
            std::iter::once(&head).chain(rows).filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in std::iter::once(&head).chain(rows) {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column < 2 || column == COLUMNS - 1 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        line(&mut text, cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

fn line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}
