use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_mins(1);

/// A request, and its answer as it arrives.
pub struct Call {
    stream: BufReader<TcpStream>,
    headers: Vec<(String, String)>,
}

/// How a body can end.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Complete,
    Broken,
}

impl Call {
    pub fn get(address: SocketAddr, target: &str) -> Self {
        Self::send(address, &format!("GET {target} HTTP/1.1\r\nhost: {address}\r\n\r\n"))
    }

    /// Sends a request as it is.
    pub fn send(address: SocketAddr, request: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut call = Self { stream: BufReader::new(stream), headers: Vec::new() };
        call.write(request);
        call
    }

    /// Sends more of the request.
    pub fn write(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// Waits for the answer's head and returns its status.
    pub fn head(&mut self) -> u16 {
        let status = self.line();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else { break };
            self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        status.split(' ').nth(1).unwrap_or_else(|| panic!("no status: {status:?}")).parse().unwrap()
    }

    /// A header of the answer.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The next chunk of a body whose length is not known, or how the body ends.
    pub fn chunk(&mut self) -> Result<String, End> {
        let size = self.try_line().ok_or(End::Broken)?;
        let size = usize::from_str_radix(&size, 16).map_err(|_| End::Broken)?;
        let mut chunk = vec![0; size];
        self.stream.read_exact(&mut chunk).map_err(|_| End::Broken)?;
        self.try_line().ok_or(End::Broken)?;
        if size == 0 { Err(End::Complete) } else { Ok(String::from_utf8(chunk).unwrap()) }
    }

    /// The next bytes of a body whose length is known, if there are so many.
    pub fn bytes(&mut self, count: usize) -> Result<String, End> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).map_err(|_| End::Broken)?;
        Ok(String::from_utf8(bytes).unwrap())
    }

    /// Whether more of the answer is there, or its end; it does not wait.
    pub fn has_more(&mut self) -> bool {
        self.stream.get_ref().set_nonblocking(true).unwrap();
        let more = self.stream.fill_buf().map(drop);
        self.stream.get_ref().set_nonblocking(false).unwrap();
        !matches!(more, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// The whole answer; its body must be complete.
    pub fn answer(mut self) -> (u16, String) {
        let status = self.head();
        let mut body = String::new();
        if let Some(length) = self.header("content-length") {
            let length = length.parse().unwrap();
            return (status, self.bytes(length).expect("the body is broken"));
        }
        loop {
            match self.chunk() {
                Ok(chunk) => body.push_str(&chunk),
                Err(end) => {
                    assert_eq!(end, End::Complete);
                    return (status, body);
                }
            }
        }
    }

    fn line(&mut self) -> String {
        self.try_line().unwrap_or_else(|| panic!("the answer ends in its head"))
    }

    fn try_line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).ok()?;
        Some(line.strip_suffix("\r\n")?.to_owned())
    }
}

/// A server whose every byte a test sends.
pub struct Upstream {
    address: SocketAddr,
    connections: Receiver<TcpStream>,
}

/// One connection to it.
pub struct Connection(TcpStream);

impl Upstream {
    pub fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, connections) = mpsc::channel();
        std::thread::spawn(move || while accepted.send(listener.accept().unwrap().0).is_ok() {});
        Self { address, connections }
    }

    pub fn url(&self) -> String {
        format!("http://{}/upstream", self.address)
    }

    /// The next connection.
    pub fn accept(&self) -> Connection {
        let stream = self.connections.recv_timeout(PATIENCE).expect("nobody connects");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Connection(stream)
    }

    /// Whether nobody has connected since.
    pub fn is_left_alone(&self) -> bool {
        self.connections.try_recv().is_err()
    }
}

impl Connection {
    /// Reads up to the end of `text` and returns all of it.
    pub fn read_to(&mut self, text: &str) -> String {
        let (mut read, mut byte) = (Vec::new(), [0]);
        while !read.ends_with(text.as_bytes()) {
            self.0.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error} before {text:?}"));
            read.extend(byte);
        }
        String::from_utf8(read).unwrap()
    }

    pub fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// The head of an answer whose length is not known.
    pub fn send_head(&mut self) {
        self.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    }

    pub fn send_chunk(&mut self, text: &str) {
        self.send(&format!("{:x}\r\n{text}\r\n", text.len()));
    }

    /// Waits until the other side closes the connection.
    pub fn wait_for_close(&mut self) {
        if let Err(error) = self.0.read_to_end(&mut Vec::new()) {
            assert!(!ran_out(&error), "it stays open");
        }
    }

    /// Sends `text` again and again, until the other side has closed the connection.
    pub fn send_until_close(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.0.write_all(text.as_bytes()) {
                Ok(()) => assert!(Instant::now() < deadline, "it stays open"),
                Err(error) => return assert!(!ran_out(&error), "it stays open and is not read"),
            }
        }
    }
}

/// Whether nothing has happened for too long.
fn ran_out(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
