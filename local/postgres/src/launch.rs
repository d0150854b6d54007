//! Starting and stopping the server process.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};

use crate::Error;
use crate::account::Account;
use crate::binaries::Binaries;
use crate::cluster;
use crate::place::Place;

/// Recovery after a crash is part of a start.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// How long a fast shutdown may take before the server is told to leave at once.
const STOP_WITHIN: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

/// A running server process and its port.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pub(crate) port: u16,
}

impl Running {
    /// Starts the server, at any free port or at the one given, and waits until it accepts connections.
    pub(crate) fn start(
        place: &Place,
        binaries: &Binaries,
        account: Option<Account>,
        durable: bool,
        port: Option<u16>,
    ) -> Result<Self, Error> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let mut running = Self::spawn(place, binaries, account, durable, port)?;
            match running.wait_until_ready(place, deadline) {
                Ok(()) => return Ok(running),
                // Somebody took the port, or the children of a killed server have not gone yet.
                Err(Error::Program { reason, .. }) if is_passing(&reason) && Instant::now() < deadline => {
                    std::thread::sleep(POLL);
                }
                Err(error) => {
                    running.stop();
                    return Err(error);
                }
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A fast shutdown: sessions are ended, data is written.
    pub(crate) fn stop(&mut self) {
        for (signal, patience) in
            [(Signal::INT, STOP_WITHIN), (Signal::QUIT, STOP_WITHIN / 4), (Signal::KILL, STOP_WITHIN)]
        {
            if self.has_ended() {
                return;
            }
            send(self.pid(), signal);
            wait_until(Instant::now() + patience, || self.has_ended());
        }
    }

    /// Kills the server with all its processes, as a machine does that loses its power.
    pub(crate) fn kill(&mut self) {
        if let Some(group) = raw(self.pid()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    fn spawn(
        place: &Place,
        binaries: &Binaries,
        account: Option<Account>,
        durable: bool,
        port: Option<u16>,
    ) -> Result<Self, Error> {
        let port = port.map_or_else(free_port, Ok)?;
        let log = File::create(place.log()).map_err(Error::io(format!("create {}", place.log().display())))?;
        let errors = log.try_clone().map_err(Error::io("open the log twice"))?;
        let mut command = cluster::command("postgres", place, binaries, account);
        command.arg("-D").arg(place.data());
        settings(&mut command, place, port, durable);
        // Its own process group: Ctrl-C is for whoever started it, who then stops it in order.
        let child = command.process_group(0).stdout(Stdio::from(log)).stderr(Stdio::from(errors)).spawn();
        Ok(Self { child: child.map_err(Error::io("start postgres"))?, port })
    }

    fn wait_until_ready(&mut self, place: &Place, deadline: Instant) -> Result<(), Error> {
        let failed = |reason| Error::Program { program: "postgres", reason, log: place.log() };
        let mut ended = false;
        wait_until(deadline, || {
            ended = self.has_ended();
            ended || self.is_ready(place)
        });
        if ended {
            return Err(failed(last_words(place)));
        }
        if self.is_ready(place) { Ok(()) } else { Err(failed("it did not get ready in time".into())) }
    }

    /// The server writes its state on the eighth line of its pid file.
    fn is_ready(&self, place: &Place) -> bool {
        let file = fs::read_to_string(place.data().join("postmaster.pid")).unwrap_or_default();
        let mut lines = file.lines();
        lines.next() == Some(&self.pid().to_string()) && lines.nth(6).is_some_and(|state| state.trim() == "ready")
    }
}

fn free_port() -> Result<u16, Error> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
    Ok(free.map_err(Error::io("find a free port"))?.port())
}

/// Stops a server that outlived the process that started it, and removes what a killed one left behind.
pub(crate) fn stop_orphan(place: &Place) {
    let pid_file = place.data().join("postmaster.pid");
    let Some(pid) = fs::read_to_string(&pid_file).ok().and_then(|text| text.lines().next()?.parse::<u32>().ok()) else {
        return;
    };
    for (signal, patience) in [(Signal::INT, STOP_WITHIN), (Signal::QUIT, STOP_WITHIN / 4), (Signal::KILL, STOP_WITHIN)]
    {
        if !serves(pid, place) {
            break;
        }
        send(pid, signal);
        wait_until(Instant::now() + patience, || !serves(pid, place));
    }
    // Left alone, a pid file whose number another process has since been given keeps PostgreSQL from starting.
    let _ = fs::remove_file(pid_file);
}

/// Whether `pid` is the server of this place: numbers are used again, so existing is not enough.
fn serves(pid: u32, place: &Place) -> bool {
    if raw(pid).is_none_or(|pid| test_kill_process(pid).is_err()) {
        return false;
    }
    let output = Command::new("ps").args(["-ww", "-o", "state=,args=", "-p", &pid.to_string()]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    !text.starts_with('Z') && text.contains("postgres") && text.contains(&*place.data().to_string_lossy())
}

fn settings(command: &mut Command, place: &Place, port: u16, durable: bool) {
    let mut set = |name: &str, value: &str| {
        command.arg("-c").arg(format!("{name}={value}"));
    };
    set("listen_addresses", "127.0.0.1");
    set("port", &port.to_string());
    set("unix_socket_directories", place.socket_folder().unwrap_or_default());
    set("logging_collector", "off");
    if !durable {
        set("fsync", "off");
        set("synchronous_commit", "off");
        set("full_page_writes", "off");
    }
}

fn is_passing(reason: &str) -> bool {
    ["still in use", "could not bind", "Address already in use", "could not create any TCP/IP sockets"]
        .iter()
        .any(|known| reason.contains(known))
}

/// What the server said when it gave up.
fn last_words(place: &Place) -> String {
    let log = fs::read_to_string(place.log()).unwrap_or_default();
    let telling: Vec<_> = log.lines().filter(|line| line.contains("FATAL") || line.contains("could not")).collect();
    if telling.is_empty() { log.lines().last().unwrap_or("it said nothing").to_owned() } else { telling.join("; ") }
}

fn wait_until(deadline: Instant, mut done: impl FnMut() -> bool) {
    while !done() && Instant::now() < deadline {
        std::thread::sleep(POLL);
    }
}

fn send(pid: u32, signal: Signal) {
    if let Some(pid) = raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

fn raw(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}
