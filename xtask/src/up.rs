use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use local_stack::{Description, Host, Options, Settings, Stack, stop_leftovers};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::progress::{Progress, bold};
use crate::{root, state};

/// How often the supervisor looks whether it should stop, or something has ended.
const TICK: Duration = Duration::from_millis(100);
/// How long `--detach` waits: the first time everything is built.
const DETACHED_READY_WITHIN: Duration = Duration::from_mins(30);

/// `cargo xtask up`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The runtimes to run the edge on; the first one gets the port.
    #[arg(long = "host", value_enum, default_values_t = [HostName::Workerd, HostName::Native])]
    hosts: Vec<HostName>,
    /// The port of the edge; 0 takes any free one.
    #[arg(long, default_value_t = 8787)]
    port: u16,
    /// Return when everything is ready; `cargo xtask down` stops it.
    #[arg(long)]
    detach: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HostName {
    /// Cloudflare's runtime, with the WASM that ships.
    Workerd,
    /// The native server.
    Native,
    /// The Spin components, under `spin up` where Spin 4.1 or later is installed, else under the project's test host.
    Spin,
}

/// Runs the stack until Ctrl-C, or in the background.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    fs::create_dir_all(state()).map_err(|error| format!("could not create .local: {error}"))?;
    if stop_leftovers(&state()).map_err(|error| error.to_string())? {
        eprintln!("  stopped the stack that was running here");
    }
    if arguments.detach { detach(arguments) } else { supervise(arguments) }
}

/// Stops a stack that runs in the background.
pub fn down() -> Result<(), String> {
    let stopped = stop_leftovers(&state()).map_err(|error| error.to_string())?;
    println!("{}", if stopped { "stopped" } else { "nothing was running" });
    Ok(())
}

fn supervise(arguments: &Arguments) -> Result<(), String> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(|error| error.to_string())?;
    }
    let progress = Progress::new();
    let hosts: Vec<_> = arguments.hosts.iter().map(|host| host.host()).collect();
    let options = Options {
        root: &root(),
        state: &state(),
        hosts: &hosts,
        port: arguments.port,
        durable: true,
        release: false,
        settings: &Settings::read(&root()),
        progress: &|step| progress.step(step),
    };
    let mut stack = Stack::start(&options).map_err(|error| error.to_string())?;
    let seconds = progress.done();
    println!("\n{}", summary(&stack.description, first(arguments), Some(seconds)));
    let ended = wait(&stop, &mut stack);
    let _ = fs::remove_file(state().join("stack.json"));
    eprintln!("\nstopping …");
    drop(stack);
    ended.map_or(Ok(()), Err)
}

/// Waits for a signal; returns what ended before one came.
fn wait(stop: &AtomicBool, stack: &mut Stack) -> Option<String> {
    while !stop.load(Ordering::Relaxed) {
        if let Some(ended) = stack.ended() {
            return Some(format!("{ended}; its log is under .local/logs"));
        }
        sleep(TICK);
    }
    None
}

/// Starts this very command again without `--detach`, in a process group of its own, and waits until it is ready.
fn detach(arguments: &Arguments) -> Result<(), String> {
    let log = state().join("supervisor.log");
    // The summary in it names the demo user's password.
    let file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&log);
    let output = file.map_err(|error| format!("could not create {}: {error}", log.display()))?;
    let itself = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(itself);
    command.args(["up", "--port", &arguments.port.to_string()]);
    for host in &arguments.hosts {
        command.args(["--host", host.host().name()]);
    }
    let errors = output.try_clone().map_err(|error| error.to_string())?;
    command.process_group(0).stdin(Stdio::null()).stdout(output).stderr(errors);
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let deadline = Instant::now() + DETACHED_READY_WITHIN;
    while !state().join("stack.json").exists() {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("the stack ended with {status}:\n{}", tail(&log)));
        }
        if Instant::now() > deadline {
            return Err(format!("the stack did not get ready; see {}", log.display()));
        }
        sleep(TICK);
    }
    let description = Description::read(&state().join("stack.json")).map_err(|error| error.to_string())?;
    println!("{}", summary(&description, first(arguments), None));
    Ok(())
}

/// The host that has the port.
fn first(arguments: &Arguments) -> Host {
    arguments.hosts.first().map_or(Host::Workerd, |host| host.host())
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n")
}

/// What a newcomer needs: where it is, who can sign in, what to paste, where to look.
fn summary(description: &Description, first: Host, seconds: Option<f64>) -> String {
    let ready = seconds.map_or("runs in the background".into(), |seconds| format!("is ready after {seconds:.1} s"));
    let mut places: Vec<_> = description.edges.iter().map(|(host, edge)| (host.as_str(), edge.url.clone())).collect();
    places.sort_by_key(|(host, _)| *host != first.name());
    let provider = description
        .simulator
        .as_ref()
        .map_or("a real one".into(), |simulator| format!("{} (simulator)", simulator.url));
    places.extend([
        ("supabase", description.supabase.url.clone()),
        ("provider", provider),
        ("demo user", format!("{} / {}", description.demo.email, description.demo.password)),
        ("logs", ".local/logs/".into()),
        ("details", ".local/stack.json: addresses, keys, tokens, pids".into()),
    ]);
    let places: Vec<_> = places.into_iter().map(|(name, place)| format!("  {name:<10} {place}")).collect();
    let url = description.edges.get(first.name()).map(|edge| edge.url.as_str()).unwrap_or_default();
    let stop = if seconds.is_some() { "Ctrl-C" } else { "cargo xtask down" };
    format!("{} {ready}\n\n{}\n\n{}\n\n{stop} stops everything.", bold("QLP Edge"), places.join("\n"), calls(url))
}

/// Calls to paste.
fn calls(url: &str) -> String {
    format!(
        r#"Try it:
  cargo xtask demo

or with curl:
  TOKEN=$(node -p "require('./.local/stack.json').demo.access_token")
  curl -N {url}/v1/chat/completions -H "authorization: Bearer $TOKEN" \
       -H 'content-type: application/json' \
       -d '{{"model":"default","stream":true,"messages":[{{"role":"user","content":"Hello"}}]}}'

or with the openai SDK:
  new OpenAI({{ baseURL: "{url}/v1", apiKey: TOKEN }})"#
    )
}

impl HostName {
    fn host(self) -> Host {
        match self {
            Self::Workerd => Host::Workerd,
            Self::Native => Host::Native,
            Self::Spin => Host::Spin,
        }
    }
}
