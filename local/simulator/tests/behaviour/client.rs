//! A client that sees everything: heads, single reads, and how the connection ends.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use llm_simulator::{Options, serve};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A simulator that runs as long as the test's runtime.
#[derive(Clone, Copy)]
pub struct Simulator(SocketAddr);

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// The body without its chunked framing, cut where the reads from the connection ended.
    pub reads: Vec<Vec<u8>>,
    pub end: End,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Where its framing says.
    Complete,
    /// The connection was closed first.
    Closed,
    /// The connection was reset.
    Reset,
}

/// A connection with a request on its way.
pub struct Exchange {
    stream: TcpStream,
    received: Vec<u8>,
}

const DEADLINE: Duration = Duration::from_secs(20);

impl Simulator {
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    pub async fn start_with(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, options));
        Self(address)
    }

    /// Sends a request and does not wait for its answer.
    pub async fn begin(self, method: &str, target: &str, key: Option<&str>, body: &[u8]) -> Exchange {
        let authorization = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
        self.begin_with(method, target, &authorization, body).await
    }

    /// The same with these header lines.
    pub async fn begin_with(self, method: &str, target: &str, lines: &str, body: &[u8]) -> Exchange {
        let mut stream = TcpStream::connect(self.0).await.unwrap();
        let length = body.len();
        let head = format!("{method} {target} HTTP/1.1\r\nhost: sim\r\n{lines}content-length: {length}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
        Exchange { stream, received: Vec::new() }
    }

    pub async fn send(self, method: &str, target: &str, body: &[u8]) -> Answer {
        self.begin(method, target, Some("k"), body).await.answer().await.expect("an answer")
    }

    pub async fn get(self, target: &str) -> Value {
        self.send("GET", target, b"").await.json()
    }

    pub async fn post(self, target: &str, body: Value) -> Value {
        self.send("POST", target, body.to_string().as_bytes()).await.json()
    }

    /// A chat completion with this behaviour in its metadata.
    pub async fn chat(self, stream: bool, behaviour: Value) -> Answer {
        self.begin_chat(stream, behaviour).await.answer().await.expect("an answer")
    }

    pub async fn begin_chat(self, stream: bool, behaviour: Value) -> Exchange {
        let body = chat_request(stream, behaviour).to_string();
        self.begin("POST", "/v1/chat/completions", Some("k"), body.as_bytes()).await
    }

    /// Reads `target` until `wanted` holds of it.
    pub async fn wait_for(self, target: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let value = self.get(target).await;
            if wanted(&value) {
                return value;
            }
            assert!(tokio::time::Instant::now() < deadline, "still {value}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A small request for a chat completion.
pub fn chat_request(stream: bool, behaviour: Value) -> Value {
    json!({
        "model": "m",
        "stream": stream,
        "messages": [{"role": "user", "content": "Hello there"}],
        "metadata": {"sim": behaviour.to_string()},
    })
}

impl Exchange {
    /// Reads until at least `count` bytes of the answer are there.
    pub async fn wait_for_bytes(&mut self, count: usize) {
        while self.received.len() < count {
            assert!(self.read().await.unwrap() > 0, "the connection ended");
        }
    }

    /// What was received so far.
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// The answer, or how the connection ended before a whole head was there.
    pub async fn answer(mut self) -> Result<Answer, End> {
        let head = loop {
            if let Some(at) = find(&self.received, b"\r\n\r\n") {
                break at + 4;
            }
            match self.read().await {
                Ok(0) => return Err(End::Closed),
                Ok(_) => {}
                Err(end) => return Err(end),
            }
        };
        let rest = self.received.split_off(head);
        let head = String::from_utf8(std::mem::take(&mut self.received)).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut answer = Answer { status, headers, reads: Vec::new(), end: End::Closed };
        match answer.header("content-length").map(|length| length.parse().unwrap()) {
            Some(length) => self.read_sized(rest, length, &mut answer).await,
            None => self.read_chunked(rest, &mut answer).await,
        }
        Ok(answer)
    }

    async fn read_sized(&mut self, mut rest: Vec<u8>, length: usize, answer: &mut Answer) {
        loop {
            if !rest.is_empty() {
                answer.reads.push(std::mem::take(&mut rest));
            }
            if answer.body().len() >= length {
                answer.end = End::Complete;
                return;
            }
            match self.read().await {
                Ok(0) => return,
                Ok(_) => rest = std::mem::take(&mut self.received),
                Err(end) => return answer.end = end,
            }
        }
    }

    async fn read_chunked(&mut self, rest: Vec<u8>, answer: &mut Answer) {
        let mut undecoded = rest;
        loop {
            let mut data = Vec::new();
            while let Some((chunk, used)) = first_chunk(&undecoded) {
                if chunk.is_empty() {
                    answer.reads.push(data);
                    answer.end = End::Complete;
                    return;
                }
                data.extend_from_slice(chunk);
                undecoded.drain(..used);
            }
            if !data.is_empty() {
                answer.reads.push(data);
            }
            match self.read().await {
                Ok(0) => return,
                Ok(_) => undecoded.append(&mut self.received),
                Err(end) => return answer.end = end,
            }
        }
    }

    async fn read(&mut self) -> Result<usize, End> {
        let mut buffer = vec![0; 64 << 10];
        let read = tokio::time::timeout(DEADLINE, self.stream.read(&mut buffer)).await.expect("something to read");
        match read {
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                Ok(count)
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(End::Reset),
            Err(error) => panic!("{error}"),
        }
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub fn body(&self) -> Vec<u8> {
        self.reads.concat()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body()).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The data of each event of a stream with plain framing.
    pub fn events(&self) -> Vec<String> {
        let text = self.text();
        let data = |event: &str| {
            let unnamed = if event.starts_with("event: ") { event.split_once('\n').unwrap().1 } else { event };
            unnamed.strip_prefix("data: ").unwrap().to_owned()
        };
        text.split_terminator("\n\n").map(data).collect()
    }

    /// The events that are JSON.
    pub fn chunks(&self) -> Vec<Value> {
        self.events().iter().filter_map(|event| serde_json::from_str(event).ok()).collect()
    }
}

fn first_chunk(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let line = find(bytes, b"\r\n")?;
    let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
    let start = line + 2;
    (bytes.len() >= start + size + 2).then(|| (&bytes[start..start + size], start + size + 2))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
