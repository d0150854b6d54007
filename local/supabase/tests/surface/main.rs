//! The surface as its callers see it: the real program over a real PostgreSQL, through HTTP.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // a test fails by panicking
#![allow(clippy::disallowed_methods)] // and polls with a deadline

mod accounts;
mod clients;
mod functions;
mod keys;
mod program;
mod rig;
mod tables;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use rig::Rig;

/// A test and its name.
type Test = (&'static str, fn(&Rig));

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let tests = [accounts::TESTS, clients::TESTS, functions::TESTS, keys::TESTS, program::TESTS, tables::TESTS];
    let rig = (!arguments.list).then(|| Arc::new(Rig::start()));
    let trials = tests.iter().flat_map(|tests| tests.iter()).map(|(name, test)| {
        let (test, rig) = (*test, rig.clone());
        Trial::test(*name, move || {
            if let Some(rig) = &rig {
                test(rig);
            }
            Ok(())
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
