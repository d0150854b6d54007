//! Measures an edge beside its provider called directly: CPU per request, added latency, memory and size.
//!
//! Everything is measured in turns within one run, so that what disturbs the machine disturbs all alike. It prints a
//! table and judges nothing: its exit status says only whether it could measure.
#![allow(clippy::disallowed_methods)] // a native tool that measures time

mod account;
mod arguments;
mod boot;
mod client;
mod identity;
mod ledger;
mod ledger_hop;
mod ledger_redis;
mod ledger_sql;
mod load;
mod memory;
mod process;
mod reference;
mod report;
mod scenario;
mod stack;
mod statistics;
mod table;
mod target;
mod wasm;

use std::path::Path;
use std::process::ExitCode;

use arguments::Arguments;
use load::Pace;
use reference::Reference;
use report::Report;
use scenario::Scenario;
use target::Target;

/// One thread: the generator should take as little of the machine as it can.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{}", arguments::HELP);
            return ExitCode::SUCCESS;
        }
        Err(message) => return fail(&message),
    };
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(&message),
    }
}

async fn run(arguments: &Arguments) -> Result<(), String> {
    let mut report = Report::new();
    for path in &arguments.wasm {
        report.wasm.push(wasm::measure(Path::new(path))?);
    }
    if let Some((command, url)) = &arguments.boot {
        report.boot_ms = Some(boot::measure(command, url, arguments.rounds).await?);
    }
    if arguments.ledger_sql {
        report.ledger_stores = ledger_sql::measure(Path::new("."), arguments.rounds, arguments.seconds).await?;
    }
    if arguments.ledger_redis {
        report.ledger_stores.extend(ledger_redis::measure(Path::new("."), arguments.rounds, arguments.seconds)?);
    }
    if arguments.wants("ledger") && (arguments.only == ["ledger"] || !arguments.needs_no_edge()) {
        eprintln!("ledger");
        report.ledger = ledger::measure(&std::env::temp_dir(), arguments.rounds).await?;
    }
    let (direct, mut targets) = stack::targets(arguments)?;
    let reference = match &direct {
        Some(direct) if arguments.reference => Some(Reference::start(direct, arguments.workerd.as_deref()).await?),
        _ => None,
    };
    targets.splice(0..0, reference.as_ref().map(Reference::target));
    if let Some(direct) = &direct {
        measure(&mut report, direct, &targets, arguments).await?;
    }
    print!("{}", table::render(&report));
    if let Some(path) = &arguments.json {
        let json = serde_json::to_vec_pretty(&report).map_err(|error| error.to_string())?;
        std::fs::write(path, json).map_err(|error| format!("cannot write {path}: {error}"))?;
    }
    Ok(())
}

async fn measure(
    report: &mut Report,
    direct: &Target,
    targets: &[Target],
    arguments: &Arguments,
) -> Result<(), String> {
    let wanted = |scenario: &Scenario| {
        let name = scenario.name();
        if scenario.on_request() { arguments.asks_for(name) } else { arguments.wants(name) }
    };
    for scenario in Scenario::ALL.into_iter().filter(wanted) {
        for &connections in scenario.connections() {
            let pace = Pace { connections, seconds: arguments.seconds * scenario.slowness() };
            eprintln!("{} at {connections}", scenario.name());
            let rows = load::rounds(scenario, direct, targets, pace, arguments.rounds).await?;
            report.rows.extend(rows);
        }
    }
    if arguments.wants("identity")
        && let Some(account) = stack::account(arguments)?
    {
        eprintln!("identity");
        report.identity = identity::measure(targets, &account, arguments.rounds).await?;
    }
    if arguments.asks_for("hop") {
        eprintln!("hop");
        report.hops = ledger_hop::measure(targets, arguments.rounds).await?;
    }
    if arguments.wants("memory") {
        for target in targets.iter().filter(|target| target.is_edge()) {
            eprintln!("memory of {}", target.name);
            report.memory.push(memory::measure(target).await?);
        }
    }
    Ok(())
}

fn fail(message: &str) -> ExitCode {
    eprintln!("bench: {message}");
    ExitCode::FAILURE
}
