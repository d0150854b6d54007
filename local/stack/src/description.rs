use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;

/// What runs and how to reach it: the content of `stack.json`, for scripts and test rigs that attach to a stack.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Description {
    /// The edge per host: `workerd`, `native`, `spin`.
    pub edges: BTreeMap<String, Endpoint>,
    /// Where Supabase is.
    pub supabase: Supabase,
    /// PostgreSQL, as its owner; `None` when a hosted project is used.
    pub database_url: Option<String>,
    /// The LLM simulator; `None` when a real provider is used.
    pub simulator: Option<Simulator>,
    /// The user that `up` signs in.
    pub demo: Demo,
    /// Log files by process.
    pub logs: BTreeMap<String, String>,
    /// Process ids by process; `supervisor` is the one that stops the rest.
    pub pids: BTreeMap<String, u32>,
}

/// A server of the stack.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Endpoint {
    /// Base URL, without a slash at the end.
    pub url: String,
    /// Its process.
    pub pid: u32,
}

/// Supabase's address and keys.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Supabase {
    /// Base URL, without a slash at the end.
    pub url: String,
    /// The key that browsers may hold.
    pub publishable_key: String,
    /// The key that acts as `service_role`.
    pub secret_key: String,
}

/// The LLM simulator's addresses.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Simulator {
    /// Base URL, without a slash at the end; the provider's API is under `/v1`.
    pub url: String,
    /// `POST` faults here.
    pub control: String,
    /// `GET` counters here.
    pub counters: String,
    /// Its process.
    pub pid: u32,
}

/// A signed-in user.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Demo {
    /// The e-mail address.
    pub email: String,
    /// The password.
    pub password: String,
    /// A Supabase access token, valid for an hour from the start of the stack.
    pub access_token: String,
    /// An edge API key with the scope `llm`.
    pub api_key: Option<String>,
}

impl Description {
    /// Reads the description that a running stack has written.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read(path).map_err(|_| Error::NotRunning)?;
        serde_json::from_slice(&text).map_err(|error| Error::step("read stack.json", error))
    }

    /// Writes it where only this user can read it, in one step.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let fresh = path.with_extension("new");
        let write = || -> std::io::Result<()> {
            let mut file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&fresh)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            fs::rename(&fresh, path)
        };
        write().map_err(|error| Error::step("write stack.json", error))
    }
}
