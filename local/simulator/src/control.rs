//! `/__sim/*`: what tests use to set faults and to read what happened.

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::json;

use crate::delivery::Body;
use crate::exchange::{Exchange, Log};
use crate::reply::{json, text};
use crate::server::Simulator;

/// The largest body that `POST /__sim/faults` takes.
const MOST_RULE_BYTES: usize = 4 << 20;
const DEFAULT_LIMIT: usize = 50;

const HELP: &str = include_str!("help.txt");

/// Answers a request of the control endpoints.
pub async fn answer(simulator: &Simulator, request: Request<Incoming>) -> Response<Body> {
    let query = Query::of(&request);
    let method = request.method().clone();
    let path = request.uri().path().trim_start_matches("/__sim").trim_matches('/').to_owned();
    match (path.as_str(), method) {
        ("", Method::GET) => text(StatusCode::OK, HELP),
        ("faults", Method::POST) => add(simulator, request).await,
        ("faults", Method::GET) => json(StatusCode::OK, &simulator.queue.list()),
        ("faults", Method::DELETE) => {
            simulator.queue.clear();
            json(StatusCode::OK, &json!({"queued": 0}))
        }
        ("counters", Method::GET) => counters(&simulator.log, &query),
        ("requests", Method::GET) => json(StatusCode::OK, &requests(&simulator.log, &query)),
        ("reset", Method::POST) => {
            simulator.queue.clear();
            simulator.log.reset();
            json(StatusCode::OK, &json!({"reset": true}))
        }
        ("" | "faults" | "counters" | "requests" | "reset", _) => text(StatusCode::METHOD_NOT_ALLOWED, HELP),
        _ => text(StatusCode::NOT_FOUND, HELP),
    }
}

/// The parameters that choose among requests.
struct Query {
    marker: Option<String>,
    id: Option<String>,
    limit: usize,
}

impl Query {
    fn of(request: &Request<Incoming>) -> Self {
        let mut query = Self { marker: None, id: None, limit: DEFAULT_LIMIT };
        for (name, value) in form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()) {
            match &*name {
                "marker" => query.marker = Some(value.into_owned()),
                "id" => query.id = Some(value.into_owned()),
                "limit" => query.limit = value.parse().unwrap_or(DEFAULT_LIMIT),
                _ => {}
            }
        }
        query
    }

    fn wants(&self, exchange: &Exchange) -> bool {
        let marker = exchange.request().marker.as_deref();
        self.marker.as_deref().is_none_or(|wanted| marker == Some(wanted))
            && self.id.as_deref().is_none_or(|wanted| exchange.id() == wanted)
    }
}

async fn add(simulator: &Simulator, request: Request<Incoming>) -> Response<Body> {
    let Ok(body) = Limited::new(request.into_body(), MOST_RULE_BYTES).collect().await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "too many faults\n");
    };
    match simulator.queue.add(&body.to_bytes()) {
        Ok(queued) => json(StatusCode::OK, &json!({"queued": queued})),
        Err(error) => json(StatusCode::BAD_REQUEST, &json!({"error": error.to_string()})),
    }
}

fn counters(log: &Log, query: &Query) -> Response<Body> {
    let tally = match &query.marker {
        None => log.total(),
        Some(marker) => log.marked(marker).unwrap_or_default(),
    };
    json(StatusCode::OK, &tally.counters())
}

fn requests(log: &Log, query: &Query) -> serde_json::Value {
    json!({ "requests": log.last(query.limit, |exchange| query.wants(exchange)) })
}
