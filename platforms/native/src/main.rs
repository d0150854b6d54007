//! The edge as one binary.

use std::io::{self, Write};
use std::process::ExitCode;

use native::{Config, Host, Limits, Server};
use tokio::signal::unix::{SignalKind, signal};

const HELP: &str = "\
The edge as a native server.

Usage: native [--help]

Environment:
  LISTEN      address and port to listen on; port 0 takes a free one [127.0.0.1:8080]
  LOG_LEVEL   error, warn, info, debug, trace or off [info]
The functions read their own variables; .env.example lists them all.

Prints {\"url\":\"http://…\"} to stdout when it is ready, logs JSON lines to stderr,
and stops on SIGTERM or SIGINT when what runs is done, after 10 s at the latest.
";

#[tokio::main]
async fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => match run().await {
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

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let host = Host::new()?;
    let config = Config::load(&*host.context.variables).await?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let server = Server::bind(config.listen, host, Limits::default())
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
    writeln!(io::stdout(), r#"{{"url":"http://{}"}}"#, server.address()?)?;
    server
        .run(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await;
    Ok(())
}

fn fail(error: &str) -> ExitCode {
    eprintln!("native: {error}");
    ExitCode::FAILURE
}
