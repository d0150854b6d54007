//! One kept-alive connection, and one request after the other on it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::target::Target;

/// A connection to a target.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: Method,
    pub uri: Uri,
    pub body: Bytes,
}

/// An answer, as it arrived.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    /// From sending the request to the end of the answer.
    pub total: Duration,
    /// From sending the request to each piece of the body, with the number of frames that are complete with it.
    pub pieces: Vec<(Duration, usize)>,
    /// The start of the body, for messages.
    pub excerpt: Bytes,
}

/// No answer takes longer.
const DEADLINE: Duration = Duration::from_mins(1);

impl Call {
    /// `GET` of a path or of a URL's path.
    pub fn get(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let uri = path.parse().map_err(|error| format!("{url}: {error}"))?;
        Ok(Self { method: Method::GET, uri, body: Bytes::new() })
    }

    /// `POST` of a request for a completion.
    pub fn chat(body: Bytes) -> Self {
        Self { method: Method::POST, uri: Uri::from_static("/v1/chat/completions"), body }
    }
}

impl Client {
    /// Connects.
    pub async fn connect(target: &Target) -> Result<Self, String> {
        let address = target.address();
        let stream =
            TcpStream::connect(&address).await.map_err(|error| format!("{}: {address}: {error}", target.name))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// Sends a request and reads its answer; whole frames are counted only if `frames` are expected.
    pub async fn call(&mut self, target: &Target, call: &Call, frames: bool) -> Result<Answer, String> {
        let read = async {
            let begun = Instant::now();
            let response = self.open(target, call).await?;
            let mut answer = Answer { status: response.status().as_u16(), ..Answer::default() };
            let mut counter = FrameCounter::default();
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                let data = frame.map_err(|error| error.to_string())?.into_data().unwrap_or_default();
                if frames {
                    answer.pieces.push((begun.elapsed(), counter.complete(&data)));
                }
                if answer.excerpt.is_empty() {
                    answer.excerpt = data;
                }
            }
            answer.total = begun.elapsed();
            Ok(answer)
        };
        tokio::time::timeout(DEADLINE, read).await.unwrap_or_else(|_| Err("no answer within a minute".to_owned()))
    }

    /// Sends a request; the body of the answer is still to be read.
    pub async fn open(&mut self, target: &Target, call: &Call) -> Result<http::Response<Incoming>, String> {
        self.sender.ready().await.map_err(|error| error.to_string())?;
        let mut sent = Request::new(Full::new(call.body.clone()));
        *sent.method_mut() = call.method.clone();
        *sent.uri_mut() = call.uri.clone();
        sent.headers_mut().clone_from(&target.headers);
        if !call.body.is_empty() {
            sent.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        self.sender.send_request(sent).await.map_err(|error| error.to_string())
    }
}

/// Counts the blank lines that end frames, across pieces.
#[derive(Debug, Default)]
struct FrameCounter {
    after_newline: bool,
}

impl FrameCounter {
    fn complete(&mut self, piece: &[u8]) -> usize {
        let mut frames = 0;
        for byte in piece {
            let newline = *byte == b'\n';
            if newline && self.after_newline {
                frames += 1;
                self.after_newline = false;
            } else {
                self.after_newline = newline;
            }
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_frames_wherever_the_pieces_are_cut() {
        for cut in 0..16 {
            let (first, second) = "data: a\n\ndata: b\n\n".as_bytes().split_at(cut);
            let mut counter = FrameCounter::default();
            assert_eq!(counter.complete(first) + counter.complete(second), 2);
        }
    }
}
