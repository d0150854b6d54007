use std::path::PathBuf;

use thiserror::Error;

/// Why the Worker cannot be built or run: one line that says what to do.
#[derive(Debug, Error)]
pub enum Error {
    /// workerd's binary is not there.
    #[error("workerd is not installed ({} is missing): run `npm ci`", .0.display())]
    NotInstalled(PathBuf),
    /// workerd has no binary for this machine.
    #[error("workerd has no binary for {os} on {architecture}", os = std::env::consts::OS, architecture = std::env::consts::ARCH)]
    UnknownPlatform,
    /// The compiler cannot build WASM.
    #[error("the Rust target {0} is missing: run `rustup target add {0}`")]
    NoTarget(&'static str),
    /// `cargo build` failed; it has printed why.
    #[error("the Worker does not build: see cargo's output above")]
    Build,
    /// The WASM cannot be made into modules.
    #[error("the WASM cannot be made into modules: {0}")]
    Bindgen(String),
    /// A variable's name cannot be a binding.
    #[error("the variable {0:?} cannot be a binding: its name has letters, digits and underscores only")]
    VariableName(String),
    /// workerd ended, or did not answer.
    #[error("workerd {what}; its log: {}", .log.display())]
    Process {
        /// What it did.
        what: String,
        /// Where it logs.
        log: PathBuf,
    },
    /// A file or a connection failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl Error {
    /// Names what was tried when `source` came up.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        |source| Self::Io { what: what.into(), source }
    }
}
