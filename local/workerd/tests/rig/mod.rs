//! A Worker of its own for each test, a client that can misbehave, and a peer that does only what it is told.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use local_workerd::{Options, Workerd, build_wasm, bundle};

/// V8 optimizes what has run ten times, where it otherwise waits for thousands: what it does differently then is tested too.
const EAGER: [&str; 2] = ["--invocation-count-for-maglev=5", "--invocation-count-for-turbofan=10"];
/// No step of a test needs longer.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A Worker of one test; its folder goes with it.
pub struct Worker {
    /// `None` between two of them.
    workerd: Option<Workerd>,
    modules: &'static Path,
    variables: BTreeMap<String, String>,
    directory: Folder,
}

struct Folder(PathBuf);

impl Deref for Worker {
    type Target = Workerd;

    fn deref(&self) -> &Workerd {
        self.workerd.as_ref().unwrap()
    }
}

impl Worker {
    /// Kills workerd at once (SIGKILL).
    pub fn kill(&mut self) {
        self.workerd = None;
    }

    /// Starts workerd on the storage that the one before has left.
    pub fn start(&mut self) {
        let log = self.directory.0.join("log");
        let options = Options {
            root: &root(),
            modules: self.modules,
            directory: &self.directory.0,
            port: 0,
            variables: self.variables.clone(),
            log: &log,
            v8_flags: &EAGER,
        };
        self.workerd = Some(Workerd::spawn(&options).unwrap());
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0); // a failed test leaves its log
        }
    }
}

/// The Worker with the probe's routes, or `None` (with the reason printed) on a machine that cannot run it.
pub fn worker(variables: &[(&str, &str)]) -> Option<Worker> {
    static MODULES: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    if !root().join("node_modules/@cloudflare").is_dir() {
        eprintln!("skipped: workerd is not installed; `npm ci` installs it");
        return None;
    }
    if let Err(error) = local_workerd::ensure_target(local_workerd::TARGET) {
        eprintln!("skipped: {error}");
        return None;
    }
    let modules = MODULES.get_or_init(|| {
        let modules = scratch().join("modules");
        let wasm = build_wasm(&root(), &["probe"]).map_err(|error| error.to_string())?;
        bundle(&wasm, &modules).map_err(|error| error.to_string())?;
        Ok(modules)
    });
    let directory = scratch().join(STARTED.fetch_add(1, Ordering::Relaxed).to_string());
    fs::create_dir_all(&directory).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let modules = modules.as_deref().unwrap();
    let mut worker = Worker { workerd: None, modules, variables, directory: Folder(directory) };
    worker.start();
    Some(worker)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A folder of this test run.
fn scratch() -> &'static Path {
    static SCRATCH: OnceLock<PathBuf> = OnceLock::new();
    SCRATCH.get_or_init(|| {
        let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
        for folder in fs::read_dir(all).into_iter().flatten().flatten() {
            let age = folder.metadata().and_then(|data| data.modified()).ok().and_then(|time| time.elapsed().ok());
            if age.is_some_and(|age| age > Duration::from_hours(1)) {
                let _ = fs::remove_dir_all(folder.path()); // of an earlier run
            }
        }
        all.join(std::process::id().to_string())
    })
}

/// The simulator's HTTP peer, for as long as the process lives.
pub fn simulator() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            llm_simulator::serve(listener, llm_simulator::Options::default()).await;
        });
    });
    url
}

/// One connection, client's or peer's, that speaks HTTP/1.1 as the test says.
pub struct Connection {
    reader: BufReader<TcpStream>,
}

/// What came over a connection: the first line, the headers with lower-case names.
#[derive(Debug)]
pub struct Head {
    pub line: String,
    pub headers: Vec<(String, String)>,
}

impl Connection {
    pub fn to(worker: &Workerd) -> Self {
        Self::over(TcpStream::connect(worker.url().trim_start_matches("http://")).unwrap())
    }

    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { reader: BufReader::new(stream) }
    }

    pub fn write(&mut self, text: impl AsRef<[u8]>) {
        self.reader.get_mut().write_all(text.as_ref()).unwrap();
    }

    /// Whether the other side has gone.
    pub fn try_write(&mut self, text: &str) -> std::io::Result<()> {
        self.reader.get_mut().write_all(text.as_bytes())
    }

    pub fn write_chunk(&mut self, chunk: &str) {
        self.write(format!("{:x}\r\n{chunk}\r\n", chunk.len()));
    }

    pub fn request(&mut self, request_line: &str, headers: &str) {
        self.write(format!("{request_line} HTTP/1.1\r\nhost: edge\r\n{headers}\r\n"));
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub fn read_head(&mut self) -> Head {
        let line = self.line();
        let mut headers = Vec::new();
        loop {
            let header = self.line();
            let Some((name, value)) = header.split_once(": ").or(header.split_once(':')) else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        Head { line, headers }
    }

    /// The next chunk; `None` at the end, an error if the body is cut off.
    pub fn read_chunk(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut size = String::new();
        self.reader.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16)
            .map_err(|_| std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "no chunk"))?;
        let mut chunk = vec![0; size + 2];
        self.reader.read_exact(&mut chunk)?;
        chunk.truncate(size);
        Ok((size > 0).then_some(chunk))
    }

    /// The whole body that follows `head`.
    pub fn read_body(&mut self, head: &Head) -> Vec<u8> {
        let mut body = Vec::new();
        if let Some(length) = head.get("content-length") {
            body.resize(length.parse().unwrap(), 0);
            self.reader.read_exact(&mut body).unwrap();
        } else if head.get("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.read_chunk().unwrap() {
                body.extend(chunk);
            }
        }
        body
    }

    /// Sends a request without a body and reads the answer.
    pub fn get(&mut self, path: &str) -> (Head, String) {
        self.request(&format!("GET {path}"), "");
        let head = self.read_head();
        let body = self.read_body(&head);
        (head, String::from_utf8(body).unwrap())
    }
}

/// Posts `body` over a connection of its own; an error if the server goes away before its answer is whole.
pub fn post(url: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: edge\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let cut = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(cut)?;
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    if length != Some(body.len()) {
        return Err(cut());
    }
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(cut)?;
    Ok((status, body.to_owned()))
}

impl Head {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str()).collect()
    }

    pub fn status(&self) -> u16 {
        self.line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }
}

/// A server that accepts when the test says so.
pub struct Peer(TcpListener);

impl Peer {
    pub fn listen() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// The next connection, within [`PATIENCE`].
    pub fn accept(&self) -> Connection {
        self.0.set_nonblocking(true).unwrap();
        let accepted = eventually(|| self.0.accept().ok());
        let (stream, _) = accepted.expect("somebody connects");
        stream.set_nonblocking(false).unwrap();
        Connection::over(stream)
    }
}

/// What `look` finds before [`PATIENCE`] ends.
pub fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(found) = look() {
            return Some(found);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}
