//! The same list of checks for every host: `TARGET=native|workerd|spin cargo test -p conformance`, without `TARGET` all.

#![allow(clippy::disallowed_methods)] // a test binary: it has a process environment
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a failed expectation ends its test

mod suite;

use std::path::Path;
use std::process::ExitCode;

use conformance::{Client, Rig};
use libtest_mimic::{Arguments, Trial};
use local_stack::{Host, Options, Settings, Stack};

/// Checks that cannot be asked of a host, each with the reason. They are listed as ignored, and named at the end.
const DIFFERENCES: [(Host, &str, &str); 7] = [
    (
        Host::Spin,
        "dependencies::with_a_known_token_and_a_warm_catalogue_nothing_is_asked_before_the_provider",
        "an instance keeps keys and catalogue for itself, and the host alone decides which instance answers, or a new one",
    ),
    (Host::Workerd, BY_REDIS[0], A_LEDGER_OF_ITS_OWN),
    (Host::Workerd, BY_REDIS[1], A_LEDGER_OF_ITS_OWN),
    (Host::Workerd, BY_REDIS[2], A_LEDGER_OF_ITS_OWN),
    (Host::Native, BY_REDIS[0], A_LEDGER_OF_ITS_OWN),
    (Host::Native, BY_REDIS[1], A_LEDGER_OF_ITS_OWN),
    (Host::Native, BY_REDIS[2], A_LEDGER_OF_ITS_OWN),
];
const BY_REDIS: [&str; 3] = [
    "limits::of_a_thousand_requests_at_once_exactly_a_hundred_pass_by_redis",
    "limits::a_thousand_streams_at_the_edge_of_a_budget_overspend_nothing_by_redis",
    "limits::when_redis_crashes_every_answered_call_has_its_row_and_its_charge",
];
const A_LEDGER_OF_ITS_OWN: &str = "the host keeps the ledger itself and knows no Redis";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let hosts = hosts();
    if arguments.list {
        return libtest_mimic::run(&arguments, listed(&hosts)).exit_code();
    }
    let state = tempfile::Builder::new().prefix("qlp-conformance").tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let settings = Settings::from(suite::SETTINGS);
    let options = Options {
        root: &root,
        state: state.path(),
        hosts: &hosts,
        port: 0,
        durable: false,
        release: false,
        settings: &settings,
        progress: &|step| eprintln!("  {step}"),
    };
    let stack = Stack::start(&options).unwrap_or_else(|error| panic!("{error}"));
    let mut conclusion = libtest_mimic::run(&arguments, trials(&stack, &hosts));
    if let Err(finding) = suite::logs::hold_no_secret(&stack.description) {
        eprintln!("\nFAILED: {finding}");
        conclusion.num_failed += 1;
    }
    drop(stack);
    for (host, name, reason) in DIFFERENCES.iter().filter(|(host, ..)| hosts.contains(host)) {
        println!("ignored: {}::{name}: {reason}", host.name());
    }
    conclusion.exit_code()
}

fn hosts() -> Vec<Host> {
    match std::env::var("TARGET").as_deref() {
        Err(_) => vec![Host::Workerd, Host::Native, Host::Spin],
        Ok("workerd") => vec![Host::Workerd],
        Ok("native") => vec![Host::Native],
        Ok("spin") => vec![Host::Spin],
        Ok(other) => panic!("TARGET={other}: it is `workerd`, `native` or `spin`"),
    }
}

/// The trials by name alone, for `--list`.
fn listed(hosts: &[Host]) -> Vec<Trial> {
    let names =
        hosts.iter().flat_map(|host| suite::checks().into_iter().map(|(name, _)| format!("{}::{name}", host.name())));
    names.map(|name| Trial::test(name, || Ok(()))).collect()
}

fn trials(stack: &Stack, hosts: &[Host]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for host in hosts {
        let url = stack.description.edges.get(host.name()).map(|edge| edge.url.clone()).unwrap_or_default();
        let rig = Rig {
            host: host.name(),
            kind: *host,
            launcher: stack.launcher.clone(),
            edge: Client::new(&url),
            stack: stack.description.clone(),
        };
        for (name, check) in suite::checks() {
            let rig = rig.clone();
            let differs = DIFFERENCES.iter().any(|(other, known, _)| other == host && *known == name);
            let trial = Trial::test(format!("{}::{name}", host.name()), move || {
                check(&rig);
                Ok(())
            });
            trials.push(trial.with_ignored_flag(differs));
        }
    }
    trials
}
