use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::Error;
use crate::configuration::Configuration;

/// How long workerd may take from its start to its first answer.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Workers that only one machine needs.
const HELPERS: [(&str, &str); 2] = [("kv.js", include_str!("../js/kv.js")), ("cron.js", include_str!("../js/cron.js"))];

/// What to run, and where.
pub struct Options<'a> {
    /// The workspace, whose `node_modules` holds workerd.
    pub root: &'a Path,
    /// What [`crate::bundle`] has written.
    pub modules: &'a Path,
    /// A folder for the configuration, Durable Objects and KV; created if it is missing.
    pub directory: &'a Path,
    /// Where to listen on 127.0.0.1; 0 for any free port.
    pub port: u16,
    /// Variables and secrets of the Worker.
    pub variables: BTreeMap<String, String>,
    /// The file that takes everything workerd prints.
    pub log: &'a Path,
    /// Flags of V8, such as those by which a test has its compiler optimize early.
    pub v8_flags: &'a [&'a str],
}

/// A running workerd; dropping it stops it.
pub struct Workerd {
    child: Child,
    url: String,
    cron: u16,
}

impl Workerd {
    /// Starts workerd and returns once the Worker answers.
    pub fn spawn(options: &Options<'_>) -> Result<Self, Error> {
        let binary = installed_binary(options.root)?;
        write_configuration(options)?;
        let log = File::create(options.log).map_err(Error::io(format!("create {}", options.log.display())))?;
        let errors = log.try_clone().map_err(Error::io("share the log"))?;
        let mut child = Command::new(binary)
            .args(["serve", "config.capnp", "--experimental", "--control-fd=1"])
            .current_dir(options.directory)
            .env_clear()
            .envs(&options.variables)
            .process_group(0) // Ctrl-C reaches whoever started us, who then drops this
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(Error::io("start workerd"))?;
        let output = child.stdout.take();
        let mut workerd = Self { child, url: String::new(), cron: 0 };
        let (http, cron) = workerd.wait_for_ports(output, log, options.log)?;
        (workerd.url, workerd.cron) = (format!("http://127.0.0.1:{http}"), cron);
        workerd.wait_for_answer(http, options.log)?;
        Ok(workerd)
    }

    /// Base URL, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The status, if workerd has ended by itself.
    pub fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| format!("workerd ended: {status}"))
    }

    /// Fires the Worker's scheduled handler with the trigger `cron` and waits until it is done. An answer other than
    /// success is an error.
    pub fn scheduled(&self, cron: &str) -> Result<(), Error> {
        let expression = cron.replace('%', "%25").replace(' ', "+").replace('&', "%26").replace('#', "%23");
        let what = "fire the scheduled handler";
        let answer =
            get(self.cron, &format!("/cdn-cgi/handler/scheduled?cron={expression}")).map_err(Error::io(what))?;
        if answer.starts_with("HTTP/1.1 200") {
            return Ok(());
        }
        let status = answer.lines().next().unwrap_or_default().to_owned();
        Err(Error::io(what)(std::io::Error::other(status)))
    }

    /// Reads the ports that workerd reports on its control channel; whatever else it prints goes to the log.
    fn wait_for_ports(&mut self, output: Option<ChildStdout>, mut log: File, path: &Path) -> Result<(u16, u16), Error> {
        let (found, ports) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output?).lines().map_while(Result::ok) {
                match listening(&line) {
                    Some(socket) => found.send(socket).ok()?,
                    None => writeln!(log, "{line}").ok()?,
                }
            }
            Some(())
        });
        let deadline = Instant::now() + READY_WITHIN;
        let (mut http, mut cron) = (None, None);
        loop {
            if let (Some(http), Some(cron)) = (http, cron) {
                return Ok((http, cron));
            }
            match ports.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok((Socket::Http, port)) => http = Some(port),
                Ok((Socket::Cron, port)) => cron = Some(port),
                Err(_) => return Err(self.failure(path)),
            }
        }
    }

    fn wait_for_answer(&mut self, port: u16, log: &Path) -> Result<(), Error> {
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline && self.ended().is_none() {
            if get(port, "/healthz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 ")) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(self.failure(log))
    }

    fn failure(&mut self, log: &Path) -> Error {
        let log_text = std::fs::read_to_string(log).unwrap_or_default();
        let what = match self.child.try_wait() {
            _ if log_text.contains("Address already in use") => {
                "found its port taken, perhaps by another stack: stop that, or choose another port".to_owned()
            }
            Ok(Some(status)) => format!("ended at once ({status})"),
            _ => format!("did not answer in {} s", READY_WITHIN.as_secs()),
        };
        Error::Process { what, log: log.to_owned() }
    }
}

impl Drop for Workerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Clone, Copy)]
enum Socket {
    Http,
    Cron,
}

/// Parses `{"event":"listen","socket":"http","port":8787}`.
fn listening(line: &str) -> Option<(Socket, u16)> {
    let port = line.strip_prefix(r#"{"event":"listen","#)?.split(r#""port":"#).nth(1)?;
    let port = port.trim_end_matches('}').parse().ok()?;
    let socket = if line.contains(r#""socket":"http""#) { Socket::Http } else { Socket::Cron };
    Some((socket, port))
}

/// The binary that npm has installed for this machine.
fn installed_binary(root: &Path) -> Result<PathBuf, Error> {
    let platform = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => "linux-64",
        ("linux", "aarch64") => "linux-arm64",
        ("macos", "x86_64") => "darwin-64",
        ("macos", "aarch64") => "darwin-arm64",
        _ => return Err(Error::UnknownPlatform),
    };
    let binary = root.join(format!("node_modules/@cloudflare/workerd-{platform}/bin/workerd"));
    if binary.is_file() { Ok(binary) } else { Err(Error::NotInstalled(binary)) }
}

/// Puts everything workerd reads into one folder, so that a later build does not change what runs.
fn write_configuration(options: &Options<'_>) -> Result<(), Error> {
    let (directory, modules) = (options.directory, options.directory.join("modules"));
    for name in ["modules", "data/objects", "data/kv"] {
        fs::create_dir_all(directory.join(name)).map_err(Error::io(format!("create {}", directory.display())))?;
    }
    let names = module_names(options.modules)?;
    for name in &names {
        let target = modules.join(name);
        target
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .map_err(Error::io(format!("create {}", target.display())))?;
        fs::copy(options.modules.join(name), &target).map_err(Error::io(format!("copy {name}")))?;
    }
    let variables: Vec<_> = options.variables.keys().map(String::as_str).collect();
    if let Some(name) = variables.iter().find(|name| !is_identifier(name)) {
        return Err(Error::VariableName((*name).to_owned()));
    }
    let data = fs::canonicalize(directory.join("data")).map_err(Error::io("find the data folder"))?;
    let configuration = Configuration {
        port: options.port,
        modules: &names,
        variables: &variables,
        data: &data,
        v8_flags: options.v8_flags,
    }
    .text();
    let files = HELPERS.into_iter().chain([("config.capnp", configuration.as_str())]);
    files.into_iter().try_for_each(|(name, text)| {
        fs::write(directory.join(name), text).map_err(Error::io(format!("write {name} to {}", directory.display())))
    })
}

/// The modules in `directory`, by path relative to it, the entry first.
fn module_names(directory: &Path) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(Error::io(format!("read {}", folder.display())))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(name) = path.strip_prefix(directory) {
                names.push(name.display().to_string());
            }
        }
    }
    names.sort_by_key(|name| (name != "worker.js", name.clone()));
    Ok(names)
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The whole answer to `GET path` at `port`.
fn get(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(READY_WITHIN))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
