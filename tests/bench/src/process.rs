//! CPU time and memory of a process with its children, as the kernel counts them.

use std::fs;
use std::time::Duration;

/// The processes whose use is added up: one and its descendants.
#[derive(Debug, Clone)]
pub struct Process(Vec<u32>);

impl Process {
    /// A process and those that descend from it now.
    pub fn with_children(pid: u32) -> Result<Self, String> {
        if !fs::exists(format!("/proc/{pid}/stat")).unwrap_or(false) {
            return Err(format!("there is no /proc/{pid}: CPU and memory are read from there, on Linux"));
        }
        let parents = parents();
        let mut family = vec![pid];
        let mut seen = 0;
        while let Some(parent) = family.get(seen).copied() {
            family.extend(parents.iter().filter(|(_, its)| *its == parent).map(|(child, _)| *child));
            seen += 1;
        }
        Ok(Self(family))
    }

    /// CPU time so far, of all threads. Threads that have ended are no longer counted.
    pub fn cpu(&self) -> Result<Duration, String> {
        let mut total = 0;
        for pid in &self.0 {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).map_err(|_| format!("process {pid} has ended"))?;
            let on_cpu = |task: fs::DirEntry| -> Option<u64> {
                let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
                text.split_ascii_whitespace().next()?.parse().ok()
            };
            total += tasks.filter_map(|task| on_cpu(task.ok()?)).sum::<u64>();
        }
        Ok(Duration::from_nanos(total))
    }

    /// Resident memory in kB.
    pub fn resident_kb(&self) -> Result<u64, String> {
        let resident = |pid: &u32| -> Option<u64> {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.split_ascii_whitespace().next()?.parse().ok()
        };
        match self.0.iter().filter_map(resident).sum() {
            0 => Err("the process is gone".to_owned()),
            total => Ok(total),
        }
    }
}

/// Every process with its parent.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let parent = |entry: fs::DirEntry| -> Option<(u32, u32)> {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name in parentheses may hold anything, so the fields are counted from its end.
        let after_name = stat.rsplit_once(')')?.1;
        Some((pid, after_name.split_ascii_whitespace().nth(1)?.parse().ok()?))
    };
    entries.filter_map(|entry| parent(entry.ok()?)).collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn counts_the_cpu_time_and_memory_of_this_process() {
        let process = Process(vec![std::process::id()]); // another test's child may end meanwhile
        let before = process.cpu().unwrap();
        // The kernel brings the count of a running thread up to date at every tick.
        while process.cpu().unwrap() <= before {
            std::hint::spin_loop();
        }
        assert!(process.resident_kb().unwrap() > 100);
    }

    #[test]
    fn counts_children_too() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let family = Process::with_children(std::process::id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(family.0.contains(&child.id()));
    }

    #[test]
    fn says_when_there_is_no_such_process() {
        assert!(Process::with_children(u32::MAX).unwrap_err().contains("no /proc/4294967295"));
    }
}
