use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use local_workerd::Workerd;

use crate::process::Process;
use crate::spin::Runner;
use crate::watchdog::Watch;
use crate::{Error, Host};

/// Starts edges of one stack: the same variables, unless a test overrides some.
#[derive(Clone)]
pub struct Launcher {
    pub(crate) root: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) binaries: PathBuf,
    /// The Worker's modules; `None` when no host needs them.
    pub(crate) modules: Option<PathBuf>,
    /// What runs the Spin components; `None` when no host needs it.
    pub(crate) spin: Option<Runner>,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) started: Arc<AtomicUsize>,
    pub(crate) watch: Watch,
}

/// A running edge; dropping it stops it.
pub struct Edge {
    /// Base URL, without a slash at the end.
    pub url: String,
    /// The runtime it runs on.
    pub host: Host,
    log: PathBuf,
    server: Server,
}

enum Server {
    Workerd(Workerd),
    Process(Process),
}

impl Launcher {
    /// Starts the edge on `host` at `port` (0: any free one), with `overrides` over the stack's variables. An empty value
    /// unsets a variable.
    pub fn start(&self, host: Host, port: u16, overrides: &[(String, String)]) -> Result<Edge, Error> {
        let mut variables = self.variables.clone();
        variables.extend(overrides.iter().cloned());
        variables.retain(|_, value| !value.is_empty());
        // The first edge of a host has its name; further ones are numbered.
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let name = if overrides.is_empty() { host.name().to_owned() } else { format!("{}-{number}", host.name()) };
        let log = self.state.join("logs").join(format!("{name}.log"));
        let edge = match host {
            Host::Native => self.start_native(&name, port, &variables, log),
            Host::Workerd => self.start_workerd(&name, port, variables, log),
            Host::Spin => self.start_spin(&name, port, &variables, log),
        }?;
        self.watch.over(edge.pid());
        Ok(edge)
    }

    fn start_native(
        &self,
        name: &str,
        port: u16,
        variables: &BTreeMap<String, String>,
        log: PathBuf,
    ) -> Result<Edge, Error> {
        let mut command = Command::new(self.binaries.join("native"));
        command.env_clear().envs(variables).env("LISTEN", format!("127.0.0.1:{port}"));
        if name == Host::Native.name() {
            // The others are there for the moment, and no two may have the same.
            command.env("LEDGER_DIR", self.state.join("ledger"));
        }
        let (process, ready) = Process::start(name, command, &self.state.join("logs"))?;
        Ok(Edge { url: ready.text("url"), host: Host::Native, log, server: Server::Process(process) })
    }

    fn start_spin(
        &self,
        name: &str,
        port: u16,
        variables: &BTreeMap<String, String>,
        log: PathBuf,
    ) -> Result<Edge, Error> {
        let port = if port == 0 { free_port()? } else { port };
        let missing = || Error::step("start the edge on Spin", "nothing to run it with was prepared");
        let runner = self.spin.as_ref().ok_or_else(missing)?;
        let command = runner.command(&self.root.join("spin.toml"), port, variables, &self.state.join(name));
        let url = format!("http://127.0.0.1:{port}");
        let process = Process::start_serving(name, command, &self.state.join("logs"), &format!("{url}/healthz"))?;
        Ok(Edge { url, host: Host::Spin, log, server: Server::Process(process) })
    }

    fn start_workerd(
        &self,
        name: &str,
        port: u16,
        variables: BTreeMap<String, String>,
        log: PathBuf,
    ) -> Result<Edge, Error> {
        let directory = self.state.join(name);
        fs::create_dir_all(&directory)
            .map_err(|error| Error::step(format!("create {}", directory.display()), error))?;
        let modules = self.modules.as_deref().unwrap_or(Path::new("dist"));
        let options = local_workerd::Options {
            root: &self.root,
            modules,
            directory: &directory,
            port,
            variables,
            log: &log,
            v8_flags: &[],
        };
        let workerd = Workerd::spawn(&options).map_err(|error| Error::step("start workerd", error))?;
        Ok(Edge { url: workerd.url().to_owned(), host: Host::Workerd, log, server: Server::Workerd(workerd) })
    }
}

impl Edge {
    /// The process id.
    pub fn pid(&self) -> u32 {
        match &self.server {
            Server::Workerd(workerd) => workerd.pid(),
            Server::Process(process) => process.pid(),
        }
    }

    /// The log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The status, if the process has ended by itself.
    pub(crate) fn ended(&mut self) -> Option<String> {
        match &mut self.server {
            Server::Workerd(workerd) => workerd.ended(),
            Server::Process(process) => process.ended(),
        }
    }
}

/// A port that is free at present: for servers that cannot say which one they took.
fn free_port() -> Result<u16, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(|error| Error::step("find a free port", error))
}
