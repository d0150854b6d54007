use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why an application cannot run here.
#[derive(Debug, Error)]
pub enum Error {
    /// A file cannot be read, or an address not be used.
    #[error("{what}: {source}")]
    Io {
        /// The file or the address.
        what: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The manifest is not one, or holds something this host does not know.
    #[error("{}: {reason}", .path.display())]
    Syntax {
        /// The manifest.
        path: PathBuf,
        /// What is wrong, with its line.
        reason: String,
    },
    /// What the manifest says cannot be.
    #[error("the application cannot run:\n  {}", .0.join("\n  "))]
    Faults(Vec<String>),
    /// The engine cannot be set up.
    #[error("wasmtime: {0}")]
    Engine(String),
    /// A component does not load or has imports that this host does not offer.
    #[error("component {id}: {reason}")]
    Component {
        /// Its name in the manifest.
        id: String,
        /// Why not, with all causes.
        reason: String,
    },
}

impl Error {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { what: path.display().to_string(), source }
    }
}
