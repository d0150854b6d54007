use std::io;
use std::path::PathBuf;

/// Why there is no server. Every message is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable binaries on this machine.
    #[error("PostgreSQL 15 or later is missing; {install}")]
    Missing {
        /// The command that installs it on this operating system.
        install: &'static str,
    },
    /// Another process runs a server in the same folder.
    #[error("{} is in use by process {owner}; stop that one first, or use another folder", .folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// Its process id, as far as it is known.
        owner: String,
    },
    /// The data was made by another major version.
    #[error("the data in {} was made by PostgreSQL {made_by}, but PostgreSQL {found} is installed; install {made_by}, or \
             delete that folder to start afresh", .folder.display())]
    OtherVersion {
        /// The folder.
        folder: PathBuf,
        /// The major version that made the data.
        made_by: String,
        /// The major version of the binaries.
        found: u32,
    },
    /// Running as root, and no unprivileged account to run the server as.
    #[error(
        "PostgreSQL refuses to run as root, and neither the account `postgres` nor `nobody` exists; run as an ordinary user"
    )]
    NoAccount,
    /// A folder that the server must own belongs to somebody else.
    #[error("{} belongs to another user; delete it, or choose another folder", .0.display())]
    NotOurs(PathBuf),
    /// A program of PostgreSQL failed.
    #[error("{program} failed: {reason} (log: {})", .log.display())]
    Program {
        /// `initdb` or `postgres`.
        program: &'static str,
        /// Its last words.
        reason: String,
        /// Where the rest of them is.
        log: PathBuf,
    },
    /// The file system or the operating system refused.
    #[error("could not {step}: {source}")]
    Io {
        /// What was tried.
        step: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl Error {
    /// An [`Error::Io`] for `map_err`.
    pub(crate) fn io(step: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let step = step.into();
        move |source| Self::Io { step, source }
    }
}
