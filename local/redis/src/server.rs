use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Error, program};

/// A running server, empty at first, that answers only who has the password. Dropping it ends it.
pub struct Server {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    durable: bool,
    child: Child,
}

/// Of every such server: it must not be seen in any log.
pub const PASSWORD: &str = "redis-password-of-tests";
const READY_WITHIN: Duration = Duration::from_secs(20);

impl Server {
    /// Starts one that keeps its log in `folder`, which is there, and its data if that is to be `durable`: then whatever it
    /// has answered is on disk. `project` is where one may be installed.
    pub fn start(project: &Path, folder: &Path, durable: bool) -> Result<Self, Error> {
        let program = program::find(project)?;
        let port = free_port().map_err(|error| Error::Step("finding a free port", error.to_string()))?;
        let child = spawn(&program, folder, port, durable)?;
        let mut server = Self { program, folder: folder.to_owned(), port, durable, child };
        server.wait()?;
        Ok(server)
    }

    /// `redis://…`, with the password.
    pub fn url(&self) -> String {
        format!("redis://:{PASSWORD}@127.0.0.1:{}", self.port)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill(); // it fails where there is nothing left to kill
        let _ = self.child.wait();
    }

    /// Starts it again after a kill, at the same port with the same data.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.child = spawn(&self.program, &self.folder, self.port, self.durable)?;
        self.wait()
    }

    /// Until it answers: it has read its data then.
    fn wait(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + READY_WITHIN;
        while !answers(self.port).unwrap_or(false) {
            let has_ended = self.child.try_wait().is_ok_and(|status| status.is_some());
            if has_ended || Instant::now() > deadline {
                self.kill();
                return Err(Error::Start(self.folder.join("log")));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(program: &Path, folder: &Path, port: u16, durable: bool) -> Result<Child, Error> {
    let failed = |error: io::Error| Error::Step("starting redis-server", error.to_string());
    let log = File::options().create(true).append(true).open(folder.join("log")).map_err(failed)?;
    let mut command = Command::new(program);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--requirepass", PASSWORD]);
    command.args(["--save", "", "--appendfsync", "always", "--appendonly", if durable { "yes" } else { "no" }]);
    command.arg("--dir").arg(folder);
    command.stdin(Stdio::null()).stdout(log.try_clone().map_err(failed)?).stderr(log).spawn().map_err(failed)
}

fn answers(port: u16) -> io::Result<bool> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    connection.set_read_timeout(Some(Duration::from_secs(1)))?;
    connection.write_all(format!("AUTH {PASSWORD}\r\nPING\r\n").as_bytes())?;
    let mut answer = [0; 12];
    connection.read_exact(&mut answer)?;
    Ok(&answer == b"+OK\r\n+PONG\r\n")
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
