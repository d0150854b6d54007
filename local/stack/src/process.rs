use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::Error;

/// How long a process may take to say that it is ready.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// What runs components compiles them first: half a minute of two idle cores when none of them is cached.
const COMPILED_WITHIN: Duration = Duration::from_mins(4);
/// How long a process may take to stop by itself.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// What a process said when it was ready: one JSON object.
pub struct Ready(Value);

/// A server that this stack started: it logs to a file and is stopped when this is dropped.
pub struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts `command` with its log in `logs/<name>.log` and waits for the JSON line that says it is ready.
    pub fn start(name: &str, mut command: Command, logs: &Path) -> Result<(Self, Ready), Error> {
        let log = logs.join(format!("{name}.log"));
        command.stdout(Stdio::piped()).stderr(create(&log)?);
        let mut process = Self::spawn(name, command)?;
        let ready = process.ready_line(&log)?;
        Ok((process, ready))
    }

    /// Starts `command` with its log in `logs/<name>.log` and waits until it answers at `url`.
    pub fn start_serving(name: &str, mut command: Command, logs: &Path, url: &str) -> Result<Self, Error> {
        let log = logs.join(format!("{name}.log"));
        let file = create(&log)?;
        let output = file.try_clone().map_err(|error| Error::step(format!("write to {}", log.display()), error))?;
        command.stdout(output).stderr(file);
        let mut process = Self::spawn(name, command)?;
        let deadline = Instant::now() + COMPILED_WITHIN;
        while ureq::get(url).call().is_err() {
            let reason = match process.child.try_wait() {
                Ok(Some(status)) => format!("it ended at once ({status})"),
                _ if Instant::now() > deadline => "it did not get ready in 4 min".into(),
                _ => {
                    std::thread::sleep(Duration::from_millis(10));
                    continue;
                }
            };
            return Err(Error::Process { name: name.into(), reason, log });
        }
        Ok(process)
    }

    fn spawn(name: &str, mut command: Command) -> Result<Self, Error> {
        let child = command
            .process_group(0) // Ctrl-C reaches the supervisor alone, which then stops the rest in order
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| Error::step(format!("start {name}"), error))?;
        Ok(Self { name: name.to_owned(), child })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The status, if the process has ended.
    pub fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| format!("{} ended: {status}", self.name))
    }

    fn ready_line(&mut self, log: &Path) -> Result<Ready, Error> {
        let failed = |name: &str, reason: String| Error::Process { name: name.into(), reason, log: PathBuf::from(log) };
        let Some(stdout) = self.child.stdout.take() else {
            return Err(failed(&self.name, "it has no output".into()));
        };
        let (line, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for text in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = line.send(text); // goes on reading, so that the process never blocks on its output
            }
        });
        match lines.recv_timeout(READY_WITHIN) {
            Ok(text) => {
                serde_json::from_str(&text).map(Ready).map_err(|_| failed(&self.name, format!("it printed {text:?}")))
            }
            Err(mpsc::RecvTimeoutError::Timeout) => Err(failed(&self.name, "it did not get ready in 30 s".into())),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
                Err(failed(&self.name, format!("it ended at once ({status})")))
            }
        }
    }
}

impl Ready {
    /// A member that is text, or nothing.
    pub fn text(&self, member: &str) -> String {
        self.0.get(member).and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        signal(self.child.id(), Signal::TERM);
        let deadline = Instant::now() + STOP_WITHIN;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn create(log: &Path) -> Result<File, Error> {
    File::create(log).map_err(|error| Error::step(format!("create {}", log.display()), error))
}

/// Sends `signal` to `pid`; a process that is gone already is no error.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}
