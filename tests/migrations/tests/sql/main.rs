//! Applies the migrations to a fresh cluster, as a role that is no superuser, and proves what they promise: who may do
//! what with every table, how functions are declared, and what they answer.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test fails by panicking

mod anonymous;
mod api_keys;
mod audit;
mod catalog;
mod cluster;
mod identity;
mod invitations;
mod isolation;
mod ledger;
mod llm_cache;
mod locks;
mod matrix;
mod migrating;
mod models;
mod organizations;
mod prices;
mod prompt_logs;
mod rate_limits;
mod roles;
mod second_factor;
mod sessions;
mod teams;
mod usage;
mod usage_export;
mod usage_limits;

use std::process::ExitCode;
use std::sync::Arc;

use cluster::Cluster;
use libtest_mimic::{Arguments, Trial};

/// A test and its name.
type Test = (&'static str, fn(&Cluster));

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let tests = [
        anonymous::TESTS,
        api_keys::TESTS,
        audit::TESTS,
        catalog::TESTS,
        identity::TESTS,
        invitations::TESTS,
        isolation::TESTS,
        ledger::TESTS,
        llm_cache::TESTS,
        migrating::TESTS,
        locks::TESTS,
        models::TESTS,
        organizations::TESTS,
        prices::TESTS,
        prompt_logs::TESTS,
        rate_limits::TESTS,
        roles::TESTS,
        second_factor::TESTS,
        sessions::TESTS,
        teams::TESTS,
        usage::TESTS,
        usage_export::TESTS,
        usage_limits::TESTS,
    ];
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(&tests, None)).exit_code();
    }
    let cluster = Arc::new(Cluster::start());
    libtest_mimic::run(&arguments, trials(&tests, Some(&cluster))).exit_code()
}

fn trials(tests: &[&[Test]], cluster: Option<&Arc<Cluster>>) -> Vec<Trial> {
    let tests = tests.iter().flat_map(|tests| tests.iter());
    tests
        .map(|(name, test)| {
            let (test, cluster) = (*test, cluster.cloned());
            Trial::test(*name, move || {
                if let Some(cluster) = &cluster {
                    test(cluster);
                }
                Ok(())
            })
        })
        .collect()
}
