use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use crate::Error;

/// Reads process ids until its input ends, which is when whoever writes them is gone, and then stops those processes,
/// the newest first.
const SCRIPT: &str = r#"pids=; while read -r pid; do pids="$pid $pids"; done; kill $pids 2>/dev/null"#;

/// Stops what a stack has started if the stack itself ends without doing so: killed, crashed, or exited.
pub struct Watchdog {
    shell: Child,
    watch: Watch,
}

/// Names processes to a [`Watchdog`].
#[derive(Clone)]
pub struct Watch(Arc<Mutex<Option<ChildStdin>>>);

impl Watchdog {
    /// Watches over nothing yet.
    pub fn start() -> Result<Self, Error> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // In a process group of its own, so that Ctrl-C does not reach it.
        let mut shell = shell.process_group(0).spawn().map_err(|error| Error::step("start a shell", error))?;
        let watch = Watch(Arc::new(Mutex::new(shell.stdin.take())));
        Ok(Self { shell, watch })
    }

    /// Through which processes are named.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }
}

impl Watch {
    /// From now on `pid` is stopped when the stack is gone.
    pub fn over(&self, pid: u32) {
        let mut input = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(input) = input.as_mut() {
            let _ = writeln!(input, "{pid}");
        }
    }
}

impl Drop for Watchdog {
    /// Everything has been stopped in good order: the watch is over, and ids may be used again.
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_what_it_watches_when_its_input_ends() {
        let mut sleeper = Command::new("sleep").arg("600").spawn().unwrap();
        let mut watchdog = Watchdog::start().unwrap();
        watchdog.watch().over(sleeper.id());
        watchdog.watch.0.lock().unwrap().take(); // what the end of this process would do
        assert!(watchdog.shell.wait().is_ok());
        assert!(!sleeper.wait().unwrap().success());
    }
}
