//! The test host as a program.

#![allow(clippy::disallowed_methods)] // a program has a process environment

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use spin_host::{Application, Error, Given, Host, Manifest, serve};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Runs a Spin application on wasmtime, for tests.
///
/// The application's variables are taken from SPIN_VARIABLE_<NAME>, as by Spin. When all components can answer, it prints
/// one line, "listening on http://127.0.0.1:PORT". It stops on SIGTERM or SIGINT. What components print goes to standard
/// error, each line with the component's name.
#[derive(Parser)]
struct Arguments {
    /// The manifest; the files it names are relative to its folder.
    #[arg(long, default_value = "spin.toml")]
    manifest: PathBuf,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// The value of a variable of the application, over one in the environment.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    variable: Vec<(String, String)>,
    /// An environment variable for every component.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    env: Vec<(String, String)>,
    /// Where compiled components are kept [default: .spin-host beside the first component]
    #[arg(long)]
    cache: Option<PathBuf>,
}

/// How many connections may wait to be accepted: a thousand callers may come at once.
const BACKLOG: i32 = 4096;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spin-host: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Error> {
    let folder = arguments.manifest.parent().unwrap_or(Path::new(""));
    let given = Given {
        variables: arguments.variable.into_iter().collect(),
        environment: arguments.env.into_iter().collect(),
        ..Given::from_environment(std::env::vars())
    };
    let application = Application::new(&Manifest::read(&arguments.manifest)?, folder, &given)?;
    let beside = application.components.values().next().map(|component| component.source.with_file_name(".spin-host"));
    let cache = arguments.cache.or(beside).unwrap_or_else(|| ".spin-host".into());
    let host = Host::new(application, &cache).await?;
    let failed = |source| Error::Io { what: format!("listen on {}", arguments.listen), source };
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate()).map_err(failed)?, signal(SignalKind::interrupt()).map_err(failed)?);
    let listener = TcpListener::bind(arguments.listen).await.map_err(failed)?;
    rustix::net::listen(&listener, BACKLOG).map_err(|error| failed(error.into()))?;
    let address = listener.local_addr().map_err(failed)?;
    writeln!(std::io::stdout(), "listening on http://{address}").map_err(failed)?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    serve(listener, host, stop).await;
    Ok(())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
