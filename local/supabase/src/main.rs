//! Serves the part of Supabase that the edge uses; see the library.

#![allow(clippy::disallowed_methods)] // a program: it has a process environment

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use local_supabase::{Description, Error, Options, serve};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: local-supabase --listen 127.0.0.1:PORT --database-url URL --state FOLDER --migrations FOLDER\n\
     IMPORTED_KEYS may hold a JSON Web Key Set whose tokens are valid too.";

#[tokio::main]
async fn main() -> ExitCode {
    let options = match read_arguments(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(reason) => {
            eprintln!("{reason}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let result = match asked_to_stop() {
        Ok(stop) => serve(&options, announce, stop).await,
        Err(source) => Err(Error::Io { step: "listen for signals".into(), source }),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn read_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let (mut listen, mut database_url, mut state, mut migrations) = (None, None, None, None);
    while let Some(name) = arguments.next() {
        let place = match name.as_str() {
            "--listen" => &mut listen,
            "--database-url" => &mut database_url,
            "--state" => &mut state,
            "--migrations" => &mut migrations,
            other => return Err(format!("unknown argument {other}")),
        };
        *place = Some(arguments.next().ok_or_else(|| format!("{name} needs a value"))?);
    }
    let missing = |name: &str| format!("{name} is missing");
    let listen = listen.ok_or_else(|| missing("--listen"))?;
    let address: SocketAddr =
        listen.parse().map_err(|_| format!("--listen {listen} is no address such as 127.0.0.1:54321"))?;
    if !address.ip().is_loopback() {
        return Err(format!("--listen {listen} can be reached from outside; this server is for one machine only"));
    }
    Ok(Options {
        listen: address,
        database_url: database_url.ok_or_else(|| missing("--database-url"))?,
        state: state.ok_or_else(|| missing("--state"))?.into(),
        migrations: migrations.ok_or_else(|| missing("--migrations"))?.into(),
        imported_keys: std::env::var("IMPORTED_KEYS").ok().filter(|keys| !keys.is_empty()),
    })
}

/// One JSON line for whoever started this.
fn announce(description: &Description) {
    let mut stdout = std::io::stdout().lock();
    let _ = serde_json::to_writer(&mut stdout, description);
    let _ = stdout.write_all(b"\n").and_then(|()| stdout.flush());
}

/// Completes at the first signal to stop; listens from now on, not only once it is awaited.
fn asked_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
