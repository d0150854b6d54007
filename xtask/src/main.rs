//! The project's commands: `cargo xtask up`, `demo`, `test`, `check`, …

#![allow(clippy::disallowed_methods)] // a tool on a person's machine: it has a process environment and a clock
#![allow(clippy::indexing_slicing)] // a member that a JSON value lacks reads as null

mod audit;
mod bench;
mod check;
mod demo;
mod prices;
mod progress;
mod test;
mod tool;
mod up;
mod wasm;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// QLP Edge on this machine: no account, no key, no Docker, no root.
#[derive(Parser)]
#[command(name = "cargo xtask", arg_required_else_help = true, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  cargo xtask up                     run everything; Ctrl-C stops it
  cargo xtask demo                   in a second terminal: stream a chat completion, see its usage row
  cargo xtask up --detach            run it in the background; `cargo xtask down` stops it
  OPENAI_API_KEY=… cargo xtask up    the same with a real provider";

#[derive(Subcommand)]
enum Command {
    /// Set up, build and run the whole stack, and say how to call it.
    Up(up::Arguments),
    /// Stop the stack that `up --detach` (or a crashed `up`) left running.
    Down,
    /// Drive the main job against the running stack: a streamed answer and its usage row.
    Demo(demo::Arguments),
    /// Run every test of the project.
    Test(test::Arguments),
    /// Check the audit log.
    Audit(audit::Arguments),
    /// Measure CPU per request, added latency, memory and size, beside a direct run.
    Bench(bench::Arguments),
    /// Generate the price table from its sources, which are fetched and pinned.
    Prices,
    /// Format, lints for each target, docs, dependency policy.
    Check,
    /// Build what ships: the Worker's modules into `dist/`, and the Spin components where `spin.toml` looks for them.
    Wasm,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Up(arguments) => up::run(&arguments),
        Command::Down => up::down(),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Prices => prices::run(),
        Command::Check => check::run(),
        Command::Wasm => wasm::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The project's folder.
fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map_or_else(|| xtask.to_owned(), Path::to_owned)
}

/// Where `up` keeps its data, logs and `stack.json`.
fn state() -> PathBuf {
    root().join(".local")
}
