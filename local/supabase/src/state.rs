//! What is kept between starts: the project's API keys and its signing keys.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::signing::{KeyRing, SigningKey};

/// The content of `keys.json`.
#[derive(Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) publishable_key: String,
    pub(crate) secret_key: String,
    pub(crate) signing_keys: KeyRing,
    #[serde(skip)]
    file: PathBuf,
}

impl State {
    /// Reads the state in `folder`, or makes a new one at the first time.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(Error::io(format!("create {}", folder.display())))?;
        let file = folder.join("keys.json");
        match fs::read(&file) {
            Ok(bytes) => {
                let state = serde_json::from_slice::<Self>(&bytes);
                state.map(|state| Self { file: file.clone(), ..state }).map_err(|error| damaged(file, &error))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let state = Self::generate(file);
                state.save().map(|()| state)
            }
            Err(error) => Err(Error::io(format!("read {}", file.display()))(error)),
        }
    }

    /// Writes it where only this user can read it, in one step.
    pub(crate) fn save(&self) -> Result<(), Error> {
        let fresh = self.file.with_extension("new");
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&fresh)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            fs::rename(&fresh, &self.file)
        };
        write().map_err(Error::io(format!("write {}", self.file.display())))
    }

    fn generate(file: PathBuf) -> Self {
        Self {
            publishable_key: format!("sb_publishable_{}", random_text::<24>()),
            secret_key: format!("sb_secret_{}", random_text::<24>()),
            signing_keys: KeyRing::new(SigningKey::generate()),
            file,
        }
    }
}

/// `N` random bytes.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The operating system's source fails only where nothing else works either; a key of zeros must never be used.
    if getrandom::fill(&mut bytes).is_err() {
        std::process::abort();
    }
    bytes
}

/// `N` random bytes as text for URLs and headers.
pub(crate) fn random_text<const N: usize>() -> String {
    URL_SAFE_NO_PAD.encode(random::<N>())
}

fn damaged(file: PathBuf, error: &serde_json::Error) -> Error {
    Error::State { file, reason: error.to_string() }
}
