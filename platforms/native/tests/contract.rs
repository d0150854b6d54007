//! The native adapters keep the port's contract.

#![allow(clippy::unwrap_used)] // a test may fail this way

use std::process::{Command, ExitCode};
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use platform::contract::{self, VARIABLES};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use url::Url;

fn main() -> ExitCode {
    // A process cannot set its own variables safely once it runs.
    if std::env::var_os("CONTRACT_VALUE").is_none() {
        return with_variables();
    }
    let runtime = Arc::new(Runtime::new().unwrap());
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let peer: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    runtime.spawn(llm_simulator::serve(listener, llm_simulator::Options::default()));
    let context = native::Host::new().unwrap().context;
    let trials = contract::checks().iter().map(|check| {
        let (runtime, context, peer) = (Arc::clone(&runtime), context.clone(), peer.clone());
        Trial::test(check.name, move || match runtime.block_on(check.run(&context, &peer)).failure {
            None => Ok(()),
            Some(failure) => Err(failure.into()),
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn with_variables() -> ExitCode {
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(std::env::args_os().skip(1)).envs(VARIABLES.iter().copied());
    if again.status().unwrap().success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
