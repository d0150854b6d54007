//! `/__peer/*`: a plain HTTP peer, against which a host's HTTP client is tried.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{HeaderValue, LOCATION};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::connection::Fate;
use crate::delivery::{Body, Delivery, Hangup};
use crate::exchange::{Progress, Received};
use crate::reply;
use crate::script::{End, Script, Write};
use crate::server::Simulator;
use crate::tally::{Endpoint, Outcome};

/// The largest body that is echoed; uploads have no limit.
const MOST_ECHOED_BYTES: usize = 64 << 20;
const MOST_CHUNKS: usize = 1_000_000;

/// Answers a request of the peer endpoints.
pub async fn answer(simulator: &Simulator, fate: Fate, request: Request<Incoming>) -> Result<Response<Body>, Hangup> {
    let query = Query::of(&request);
    let path = request.uri().path().trim_start_matches("/__peer/").to_owned();
    match path.as_str() {
        "echo" => Ok(echo(request).await),
        "upload" => upload(request).await,
        "stream" => Ok(stream(query.count("chunks", 5), End::Complete, &query, receive(simulator, &request), fate)),
        "cut" => Ok(stream(query.count("after", 2), End::Cut, &query, receive(simulator, &request), fate)),
        "hang" => {
            let _progress = receive(simulator, &request);
            std::future::pending().await
        }
        "reset" => {
            fate.reset();
            Err(Hangup)
        }
        "redirect" => Ok(redirect(query.text("to").unwrap_or("/__peer/echo"))),
        "cancelled" => Ok(cancelled(simulator, query.text("id"))),
        _ => Ok(status(&path)),
    }
}

/// The parameters of a request.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(request: &Request<Incoming>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    fn count(&self, name: &str, default: usize) -> usize {
        self.text(name).and_then(|value| value.parse().ok()).unwrap_or(default).min(MOST_CHUNKS)
    }
}

/// Records the request under the marker that its `id` parameter gives.
fn receive(simulator: &Simulator, request: &Request<Incoming>) -> Progress {
    simulator.log.receive(Received {
        endpoint: Endpoint::Peer,
        method: request.method().clone(),
        target: request.uri().to_string(),
        headers: request.headers().clone(),
        body: Bytes::new(),
        model: None,
        marker: Query::of(request).text("id").map(str::to_owned),
    })
}

async fn echo(request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MOST_ECHOED_BYTES).collect().await else {
        return reply::text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large, or broke off\n");
    };
    let header = |(name, value): (&http::HeaderName, &HeaderValue)| {
        json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())])
    };
    let echo = json!({
        "method": parts.method.as_str(),
        "path": parts.uri.path(),
        "query": parts.uri.query(),
        "headers": parts.headers.iter().map(header).collect::<Vec<Value>>(),
        "body": STANDARD.encode(body.to_bytes()),
    });
    reply::json(StatusCode::OK, &echo)
}

async fn upload(request: Request<Incoming>) -> Result<Response<Body>, Hangup> {
    let mut body = request.into_body();
    let (mut hash, mut bytes, mut chunks) = (Sha256::new(), 0_u64, 0_u64);
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(|_| Hangup)?.into_data().unwrap_or_default();
        hash.update(&data);
        bytes += data.len() as u64;
        chunks += 1;
    }
    let hash = format!("{:x}", hash.finalize());
    Ok(reply::json(StatusCode::OK, &json!({"bytes": bytes, "chunks": chunks, "sha256": hash})))
}

/// `count` chunks of `size` bytes, all of one letter: `aaaa`, `bbbb` and so on.
fn stream(count: usize, end: End, query: &Query, progress: Progress, fate: Fate) -> Response<Body> {
    let interval = Duration::from_millis(query.count("interval_ms", 20) as u64);
    let size = query.count("size", 10);
    let letters: Vec<Bytes> = (b'a'..=b'z').map(|letter| Bytes::from(vec![letter; size])).collect();
    let chunks = letters.iter().cycle().take(count).enumerate().map(|(index, bytes)| Write {
        wait: (index > 0).then_some(interval),
        bytes: bytes.clone(),
        frames: 1,
        tokens: 0,
    });
    let script = Script { writes: chunks.collect(), end };
    progress.begin(200);
    let mut response = Response::new(Body::Played(Box::new(Delivery::new(script, None, progress, fate))));
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response
}

fn redirect(to: &str) -> Response<Body> {
    let mut response = reply::text(StatusCode::FOUND, "");
    if let Ok(to) = HeaderValue::try_from(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}

fn cancelled(simulator: &Simulator, id: Option<&str>) -> Response<Body> {
    let wanted = |exchange: &crate::exchange::Exchange| {
        let request = exchange.request();
        request.endpoint == Endpoint::Peer && request.marker.as_deref() == id
    };
    let found = id.and_then(|_| simulator.log.last(1, wanted).pop());
    let outcome = found.as_ref().map(|view| view.outcome);
    let answer = json!({
        "known": found.is_some(),
        "cancelled": outcome == Some(Outcome::Cancelled),
        "finished": outcome == Some(Outcome::Finished),
        "sent": found.map_or(0, |view| view.frames_sent),
    });
    reply::json(StatusCode::OK, &answer)
}

fn status(path: &str) -> Response<Body> {
    let code = path.strip_prefix("status/").and_then(|code| code.parse::<u16>().ok());
    match code.filter(|code| (200..600).contains(code)).and_then(|code| StatusCode::from_u16(code).ok()) {
        Some(code) => reply::text(code, format!("{}\n", code.as_u16())),
        None => reply::text(StatusCode::NOT_FOUND, "no such peer endpoint: see /__sim\n"),
    }
}
