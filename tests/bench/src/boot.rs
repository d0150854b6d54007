//! From starting a command to its first answer.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::{Call, Client};
use crate::statistics::median;
use crate::target::{Kind, Target};

/// A server started here, killed when dropped.
pub struct Started(pub Child);

const DEADLINE: Duration = Duration::from_mins(1);

/// The median of `rounds` starts, in milliseconds.
pub async fn measure(command: &str, url: &str, rounds: usize) -> Result<f64, String> {
    let target = Target::new("boot", Kind::Reference, url, "none", None)?;
    let call = Call::get(url)?;
    let mut times = Vec::new();
    for _ in 0..rounds {
        if answers(&target, &call).await {
            return Err(format!("{url} answers already, before the command is started"));
        }
        let begun = Instant::now();
        // `exec`: the command itself is the child, so that killing the child ends it.
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec {command}")]).stdin(Stdio::null()).stdout(Stdio::null());
        let mut started = Started::spawn(&mut shell)?;
        started.wait_for(&target, &call).await?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(times))
}

impl Started {
    /// Starts a server.
    pub fn spawn(command: &mut Command) -> Result<Self, String> {
        command.spawn().map(Self).map_err(|error| format!("{}: {error}", command.get_program().display()))
    }

    /// Waits until the server answers 200.
    pub async fn wait_for(&mut self, target: &Target, call: &Call) -> Result<(), String> {
        let deadline = Instant::now() + DEADLINE;
        while !answers(target, call).await {
            if let Ok(Some(status)) = self.0.try_wait() {
                return Err(format!("the command ended with {status} before it answered"));
            }
            if Instant::now() > deadline {
                return Err(format!("the command does not answer at {} within a minute", target.authority));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone after this.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn answers(target: &Target, call: &Call) -> bool {
    let Ok(mut client) = Client::connect(target).await else { return false };
    client.call(target, call, false).await.is_ok_and(|answer| answer.status == 200)
}
