use std::path::PathBuf;

use thiserror::Error;

/// Why the stack does not run: one line that says what to do.
#[derive(Debug, Error)]
pub enum Error {
    /// No stack has left its description.
    #[error("no stack is running here: start one with `cargo xtask up`")]
    NotRunning,
    /// Something that must be installed by hand is missing.
    #[error("{what} is missing: {install}")]
    Missing {
        /// The program.
        what: &'static str,
        /// The command that installs it.
        install: &'static str,
    },
    /// A process ended or did not get ready.
    #[error("{name} did not start: {reason}\n  its log: {log}")]
    Process {
        /// The process.
        name: String,
        /// What happened.
        reason: String,
        /// Where it logs.
        log: PathBuf,
    },
    /// Any other step.
    #[error("could not {step}: {reason}")]
    Step {
        /// What was tried.
        step: String,
        /// Why it failed.
        reason: String,
    },
}

impl Error {
    /// A failed step.
    #[expect(clippy::needless_pass_by_value, reason = "whoever calls has no further use for it")]
    pub fn step(step: impl Into<String>, reason: impl ToString) -> Self {
        Self::Step { step: step.into(), reason: reason.to_string() }
    }
}
