//! The edge as one binary.

use std::error::Error;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;

use native::{Config, Host, Limits};
use router::Edge;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

const HELP: &str = "\
The edge as a native server.

Usage: native [--help]

Environment:
  LISTEN      address and port to listen on; port 0 takes a free one [127.0.0.1:8080]
  LOG_LEVEL   error, warn, info, debug, trace or off [info]
  LEDGER_DIR  folder for budgets, rules and usage that is not in the database yet [forgotten with the process]
The functions read their own variables; .env.example lists them all.

Prints {\"url\":\"http://…\"} to stdout when it is ready and logs JSON lines to stderr.
Stops on SIGTERM or SIGINT as soon as what runs is done, after 10 s at the latest.
";

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => match native::single_threaded().map_err(Into::into).and_then(|runtime| runtime.block_on(run())) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error.to_string()),
        },
        Some("--help" | "-h") => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Some(other) => fail(&format!("unknown argument {other}; see native --help")),
    }
}

/// How many connections may wait to be accepted; the kernel may lower it. The standard library would have 128, and of a
/// thousand callers who come at once some would be reset.
const BACKLOG: i32 = 4096;

async fn run() -> Result<(), Box<dyn Error>> {
    let mut host = Host::new()?;
    let config = Config::load(&*host.context.variables).await?;
    let clock = host.context.clock.clone();
    telemetry::install(config.log_level, move || clock.now(), log);
    if let Some(folder) = &config.ledger_dir {
        let refused = |error| format!("cannot use the ledger in {} (LEDGER_DIR): {error}", folder.display());
        host.open_ledger(folder).map_err(refused)?;
    } else {
        tracing::warn!(
            "LEDGER_DIR is not set: budgets and usage that is not in the database yet are forgotten when this stops"
        );
    }
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = listen(config.listen).map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
    let edge = Arc::new(Edge::load(&host.context).await);
    let bookkeeping = host.keep_books().await;
    let limits = Limits::default();
    let grace = limits.shutdown;
    let mut stopped_at = Instant::now();
    writeln!(io::stdout(), r#"{{"url":"http://{}"}}"#, listener.local_addr()?)?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopped_at = Instant::now();
    };
    if !native::serve(listener, host, edge, limits, stop).await? {
        tracing::warn!("stopped before all requests and background work were done");
    }
    let waiting = bookkeeping.finish(stopped_at + grace).await;
    if waiting > 0 {
        tracing::warn!(rows = waiting, "stopped before the database had all rows for the accounts");
    }
    Ok(())
}

/// One call of `write` per line, so that lines of different threads do not mix.
fn log(line: &str) {
    // Nobody is left to be told that logging fails.
    let _ = io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}

fn fail(error: &str) -> ExitCode {
    eprintln!("native: {error}");
    ExitCode::FAILURE
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}
