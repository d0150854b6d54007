use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::process::signal;
use crate::{Description, Error};

/// How long the supervisor of a running stack may take to stop everything.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// Stops the stack that `stack.json` in `state` describes: its supervisor, then whatever outlived a crashed one.
///
/// A process is touched only when it still is what the description says, since ids are used again.
pub fn stop_leftovers(state: &Path) -> Result<bool, Error> {
    let path = state.join("stack.json");
    let Ok(description) = Description::read(&path) else { return Ok(false) };
    let mut pids: Vec<_> = description.pids.iter().map(|(name, pid)| (name.as_str(), *pid)).collect();
    pids.sort_by_key(|(name, _)| *name != "supervisor");
    let mut stopped = false;
    for (name, pid) in pids {
        if pid != std::process::id() && is(pid, name) {
            stopped = true;
            signal(pid, Signal::TERM);
            wait_for_end(pid, name)?;
        }
    }
    let _ = std::fs::remove_file(path);
    Ok(stopped)
}

fn wait_for_end(pid: u32, name: &str) -> Result<(), Error> {
    let deadline = Instant::now() + STOP_WITHIN;
    while is(pid, name) {
        if Instant::now() > deadline {
            return Err(Error::step(format!("stop {name} (process {pid})"), "it does not end"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Whether `pid` runs the program that the stack calls `name`.
fn is(pid: u32, name: &str) -> bool {
    let program = match name {
        "supervisor" => "xtask",
        "simulator" => "llm-simulator",
        "supabase" => "local-supabase",
        other => other,
    };
    command_line(pid).is_some_and(|line| line.contains(program))
}

fn command_line(pid: u32) -> Option<String> {
    if let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) {
        return Some(String::from_utf8_lossy(&line).into_owned()).filter(|line| !line.is_empty());
    }
    let output = Command::new("ps").args(["-p", &pid.to_string(), "-o", "command="]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
