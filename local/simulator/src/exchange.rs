//! What was received, and how each answer goes.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::Serialize;

use crate::answer::mix;
use crate::messages;
use crate::tally::{Endpoint, Outcome, Tally};

/// A request as it was received. Nothing is redacted: this is a test tool.
#[derive(Debug)]
pub struct Received {
    pub endpoint: Endpoint,
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub model: Option<String>,
    pub marker: Option<String>,
}

/// A request and the progress of its answer.
#[derive(Debug)]
pub struct Exchange {
    sequence: u64,
    received_ms: u64,
    request: Received,
    status: AtomicU16,
    outcome: AtomicU8,
    ended_ms: AtomicU64,
    frames: AtomicU64,
    tokens: AtomicU64,
}

/// An answer in progress. Dropped before [`Progress::end`] it counts as cancelled by the client.
#[derive(Debug)]
pub struct Progress {
    exchange: Arc<Exchange>,
    tallies: [Option<Arc<Tally>>; 2],
    /// How many completions with the same marker came before this one.
    pub attempt: u64,
}

/// The last requests, and the counters of all of them.
#[derive(Debug)]
pub struct Log {
    limit: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    next: u64,
    exchanges: VecDeque<Arc<Exchange>>,
    body_bytes: usize,
    total: Arc<Tally>,
    markers: HashMap<String, Arc<Tally>>,
    marker_order: VecDeque<String>,
}

/// An [`Exchange`] as `GET /__sim/requests` shows it.
#[derive(Debug, Serialize)]
pub struct View {
    id: String,
    sequence: u64,
    received_ms: u64,
    ended_ms: Option<u64>,
    endpoint: Endpoint,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    model: Option<String>,
    marker: Option<String>,
    status: Option<u16>,
    pub outcome: Outcome,
    pub frames_sent: u64,
    tokens_sent: u64,
}

/// Beyond this, the oldest requests are forgotten whatever their number.
const MOST_BODY_BYTES: usize = 64 << 20;
const MOST_MARKERS: usize = 10_000;

impl Log {
    /// A log that keeps the last `limit` requests.
    pub fn new(limit: usize) -> Self {
        Self { limit, kept: Mutex::default() }
    }

    /// Records a request; its answer begins.
    pub fn receive(&self, request: Received) -> Progress {
        let mut kept = self.kept();
        let marked = request.marker.as_deref().map(|marker| kept.marked(marker));
        let attempt = marked.as_ref().map_or(0, |tally| tally.received(request.endpoint));
        kept.total.received(request.endpoint);
        let exchange = Arc::new(Exchange::new(kept.next, request));
        kept.next += 1;
        kept.body_bytes += exchange.request.body.len();
        kept.exchanges.push_back(Arc::clone(&exchange));
        kept.forget_beyond(self.limit);
        Progress { exchange, tallies: [Some(Arc::clone(&kept.total)), marked], attempt }
    }

    /// The counters of all requests.
    pub fn total(&self) -> Arc<Tally> {
        Arc::clone(&self.kept().total)
    }

    /// The counters of the requests with `marker`.
    pub fn marked(&self, marker: &str) -> Option<Arc<Tally>> {
        self.kept().markers.get(marker).cloned()
    }

    /// The last requests for which `wanted` holds, newest first.
    pub fn last(&self, limit: usize, wanted: impl Fn(&Exchange) -> bool) -> Vec<View> {
        let chosen: Vec<_> =
            self.kept().exchanges.iter().rev().filter(|exchange| wanted(exchange)).take(limit).cloned().collect();
        chosen.iter().map(|exchange| exchange.view()).collect()
    }

    /// Forgets every request and starts all counters again; answers in progress count into the void.
    pub fn reset(&self) {
        let mut kept = self.kept();
        let next = kept.next;
        *kept = Kept { next, ..Kept::default() };
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn marked(&mut self, marker: &str) -> Arc<Tally> {
        if let Some(tally) = self.markers.get(marker) {
            return Arc::clone(tally);
        }
        if self.markers.len() >= MOST_MARKERS
            && let Some(oldest) = self.marker_order.pop_front()
        {
            self.markers.remove(&oldest);
        }
        self.marker_order.push_back(marker.to_owned());
        Arc::clone(self.markers.entry(marker.to_owned()).or_default())
    }

    fn forget_beyond(&mut self, limit: usize) {
        while self.exchanges.len() > limit || self.body_bytes > MOST_BODY_BYTES {
            let Some(oldest) = self.exchanges.pop_front() else { return };
            self.body_bytes -= oldest.request.body.len();
        }
    }
}

impl Exchange {
    fn new(sequence: u64, request: Received) -> Self {
        Self {
            sequence,
            received_ms: unix_ms(),
            request,
            status: AtomicU16::new(0),
            outcome: AtomicU8::new(Outcome::Open as u8),
            ended_ms: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
        }
    }

    /// The `x-request-id` of the answer.
    pub fn id(&self) -> String {
        format!("req_{:016x}{:016x}", mix(self.sequence), self.sequence)
    }

    /// The `id` of the completion.
    pub fn completion_id(&self) -> String {
        let prefix = if self.request.endpoint == Endpoint::Responses { "resp_" } else { "chatcmpl-" };
        format!("{prefix}{:016x}{:08x}", mix(self.sequence), self.sequence)
    }

    /// The `id` of the message.
    pub fn message_id(&self) -> String {
        format!("msg_{:016x}{:08x}", mix(self.sequence), self.sequence)
    }

    /// Whether it is in Anthropic's dialect.
    pub fn is_message(&self) -> bool {
        messages::is_path(self.request.target.split('?').next().unwrap_or_default())
    }

    /// The request.
    pub fn request(&self) -> &Received {
        &self.request
    }

    /// When the request was received, milliseconds since 1970.
    pub fn received_ms(&self) -> u64 {
        self.received_ms
    }

    /// The exchange as tests see it.
    pub fn view(&self) -> View {
        let request = &self.request;
        let text = std::str::from_utf8(&request.body).ok().map(str::to_owned);
        let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        View {
            id: self.id(),
            sequence: self.sequence,
            received_ms: self.received_ms,
            ended_ms: Some(self.ended_ms.load(Relaxed)).filter(|at| *at > 0),
            endpoint: request.endpoint,
            method: request.method.to_string(),
            target: request.target.clone(),
            headers: request.headers.iter().map(field).collect(),
            body_base64: text.is_none().then(|| STANDARD.encode(&request.body)),
            body: text,
            model: request.model.clone(),
            marker: request.marker.clone(),
            status: Some(self.status.load(Relaxed)).filter(|status| *status > 0),
            outcome: self.outcome(),
            frames_sent: self.frames.load(Relaxed),
            tokens_sent: self.tokens.load(Relaxed),
        }
    }

    /// How the answer ended.
    pub fn outcome(&self) -> Outcome {
        let known = [Outcome::Finished, Outcome::Refused, Outcome::Interrupted, Outcome::Cancelled];
        let outcome = self.outcome.load(Relaxed);
        known.into_iter().find(|known| *known as u8 == outcome).unwrap_or(Outcome::Open)
    }
}

impl Progress {
    /// The exchange that is in progress.
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// The response head goes out with this status.
    pub fn begin(&self, status: u16) {
        self.exchange.status.store(status, Relaxed);
        if status == 200 {
            self.counted(Tally::begun);
        }
    }

    /// Frames and tokens were handed to the connection.
    pub fn sent(&self, frames: usize, tokens: usize) {
        let (frames, tokens) = (frames as u64, tokens as u64);
        self.exchange.frames.fetch_add(frames, Relaxed);
        self.exchange.tokens.fetch_add(tokens, Relaxed);
        self.counted(|tally| tally.sent(frames, tokens));
    }

    /// The answer ended. Only the first call counts.
    pub fn end(&mut self, outcome: Outcome) {
        if self.exchange.outcome() != Outcome::Open {
            return;
        }
        self.exchange.ended_ms.store(unix_ms(), Relaxed);
        self.exchange.outcome.store(outcome as u8, Relaxed);
        self.counted(|tally| tally.ended(outcome));
    }

    fn counted(&self, count: impl Fn(&Tally)) {
        if self.exchange.request.endpoint.completes() {
            self.tallies.iter().flatten().for_each(|tally| count(tally));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end(Outcome::Cancelled);
    }
}

/// Milliseconds since 1970.
pub fn unix_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
