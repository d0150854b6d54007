use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// An event stream on a connection of its own, so that a test can read event by event and hang up.
pub struct EventStream {
    reader: BufReader<TcpStream>,
    /// The status of the answer.
    pub status: u16,
    /// The head of the answer, lower-cased.
    pub head: String,
}

/// What a stream brought until its end.
#[derive(Debug, Default)]
pub struct Events {
    /// The `data` of each event.
    pub data: Vec<String>,
    /// Whether the body ended as its framing says (and was not cut).
    pub complete: bool,
    /// Comment lines.
    pub comments: usize,
}

impl EventStream {
    /// `POST path` with a JSON body; returns once the head of the answer is there.
    pub fn post(base: &str, path: &str, token: &str, body: &Value) -> Self {
        Self::post_with(base, path, token, "", body)
    }

    /// The same; whoever could not be decided upon at once, on a machine that is too busy, tries again as told.
    pub fn post_until_decided(base: &str, path: &str, token: &str, body: &Value) -> Self {
        loop {
            let stream = Self::post(base, path, token, body);
            if stream.status != 503 {
                return stream;
            }
            let wait = stream.head.split("retry-after: ").nth(1).expect("a 503 tells when to come back").lines().next();
            thread::sleep(Duration::from_secs(wait.unwrap().parse().unwrap()));
        }
    }

    /// The same with these further header lines, each with its end.
    pub fn post_with(base: &str, path: &str, token: &str, lines: &str, body: &Value) -> Self {
        let address = base.strip_prefix("http://").unwrap();
        let mut connection = TcpStream::connect(address).unwrap();
        connection.set_read_timeout(Some(Duration::from_mins(3))).unwrap();
        connection.set_nodelay(true).unwrap();
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n{lines}content-length: {}\r\n\r\n",
            body.len()
        );
        connection.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut reader = BufReader::new(connection);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).unwrap(), 0, "the connection closed within the head: {head:?}");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { reader, status, head: head.to_ascii_lowercase() }
    }

    /// The answer's `x-request-id`.
    pub fn request_id(&self) -> String {
        self.head.split("x-request-id: ").nth(1).unwrap().lines().next().unwrap().to_owned()
    }

    /// One chunk of the chunked body: `Some(bytes)`, empty at the proper end; `None` when it was cut.
    fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut size = String::new();
        if self.reader.read_line(&mut size).ok()? == 0 {
            return None;
        }
        let size = usize::from_str_radix(size.trim().split(';').next()?, 16).ok()?;
        let mut chunk = vec![0; size + 2];
        self.reader.read_exact(&mut chunk).ok()?;
        chunk.truncate(size);
        Some(chunk)
    }

    /// Reads until `count` data events have come, then hangs up.
    pub fn read_then_hang_up(mut self, count: usize) -> Vec<String> {
        let mut events = Events::default();
        let mut text = Vec::new();
        while events.data.len() < count {
            let chunk = self.chunk().expect("the stream went on");
            assert!(!chunk.is_empty(), "the stream ended after {} events", events.data.len());
            text.extend(chunk);
            drain(&mut text, &mut events);
        }
        events.data
    }

    /// Reads to the end, whatever it is.
    pub fn read_to_end(mut self) -> Events {
        let (mut events, mut text) = (Events::default(), Vec::new());
        loop {
            match self.chunk() {
                Some(chunk) if chunk.is_empty() => {
                    events.complete = true;
                    break;
                }
                Some(chunk) => text.extend(chunk),
                None => break,
            }
            drain(&mut text, &mut events);
        }
        events
    }
}

impl Events {
    /// The events but `[DONE]`, as JSON.
    pub fn chunks(&self) -> Vec<Value> {
        let data = self.data.iter().filter(|data| *data != "[DONE]");
        data.map(|data| serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"))).collect()
    }

    /// The answer's text.
    pub fn text(&self) -> String {
        self.chunks()
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
            .collect()
    }

    /// The types of the events, in the dialects that name them in their data.
    pub fn kinds(&self) -> Vec<String> {
        self.chunks().iter().filter_map(|event| event["type"].as_str().map(str::to_owned)).collect()
    }

    /// Whether `[DONE]` came.
    pub fn done(&self) -> bool {
        self.data.iter().any(|data| data == "[DONE]")
    }

    /// The error event, if there was one.
    pub fn error(&self) -> Option<Value> {
        self.chunks().into_iter().find_map(|chunk| chunk.get("error").cloned())
    }
}

/// Moves whole events from `text` to `events`.
fn drain(text: &mut Vec<u8>, events: &mut Events) {
    while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
        let event: Vec<u8> = text.drain(..end + 2).collect();
        for line in String::from_utf8(event).unwrap().lines() {
            if let Some(data) = line.strip_prefix("data:") {
                events.data.push(data.trim_start().to_owned());
            } else if line.starts_with(':') {
                events.comments += 1;
            }
        }
    }
}
