//! `/__local`: what tests may see and break. Only this development server has it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use crate::answer::{self, Request, Response};
use crate::surface::Surface;

/// More different paths than a test needs; a scan of random paths must not fill the memory.
const COUNTED_PATHS: usize = 1_000;
const PENDING_FAULTS: usize = 100;

/// Counters and faults.
#[derive(Default)]
pub(crate) struct Control(Mutex<Ledger>);

#[derive(Default)]
struct Ledger {
    requests: BTreeMap<String, u64>,
    faults: Vec<Fault>,
}

/// What to do wrong with the next requests under a path.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    path_prefix: String,
    pub(crate) mode: Mode,
    /// For [`Mode::Status`]; 500 when it is left out.
    status: Option<u16>,
    #[serde(default = "once")]
    times: u32,
}

/// A kind of fault.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// An error of the gateway.
    Status,
    /// No answer until the caller gives up.
    Hang,
    /// A page of whatever stands in front of the gateway, instead of JSON.
    Html,
    /// The connection ends without an answer.
    Close,
}

impl Control {
    /// Counts a request and says whether it is to go wrong.
    pub(crate) fn note(&self, path: &str) -> Option<Fault> {
        let mut ledger = self.lock();
        let has_room = ledger.requests.len() < COUNTED_PATHS;
        if let Some(count) = ledger.requests.get_mut(path) {
            *count += 1;
        } else if has_room {
            ledger.requests.insert(path.to_owned(), 1);
        }
        let index = ledger.faults.iter().position(|fault| path.starts_with(&fault.path_prefix))?;
        let fault = ledger.faults.get_mut(index)?;
        fault.times = fault.times.saturating_sub(1);
        let hit = fault.clone();
        if hit.times == 0 {
            ledger.faults.remove(index);
        }
        Some(hit)
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fault {
    /// The wrong answer, for the modes that answer.
    pub(crate) fn answer(&self) -> Response {
        let status = self.status.and_then(|status| StatusCode::from_u16(status).ok());
        match self.mode {
            Mode::Html => {
                let page =
                    "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>";
                answer::with_body(status.unwrap_or(StatusCode::BAD_GATEWAY), "text/html", page)
            }
            _ => answer::json(
                status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                &json!({ "message": "An invalid response was received from the upstream server" }),
            ),
        }
    }
}

/// Answers `/__local/<what>`.
pub(crate) fn handle(request: &Request, what: &str, surface: &Surface) -> Response {
    if answer::header(request, "origin").is_some() {
        let message = "the controls are for tests, not for web pages";
        return answer::json(StatusCode::FORBIDDEN, &json!({ "message": message }));
    }
    let done = || answer::json(StatusCode::OK, &json!({ "ok": true }));
    match (request.method(), what) {
        (&Method::GET, "counters") => answer::json(StatusCode::OK, &json!(surface.control.lock().requests)),
        (&Method::POST, "reset") => {
            *surface.control.lock() = Ledger::default();
            surface.set_clock_offset(0);
            done()
        }
        (&Method::POST, "fault") => with_arguments(request, |fault: Fault| {
            let mut ledger = surface.control.lock();
            if fault.times > 0 && ledger.faults.len() < PENDING_FAULTS {
                ledger.faults.push(fault);
            }
            done()
        }),
        (&Method::POST, "clock") => with_arguments(request, |clock: Clock| {
            surface.set_clock_offset(clock.offset_seconds);
            done()
        }),
        (&Method::POST, "rotate") => with_arguments(request, |rotation: Rotation| rotate(&rotation.mode, surface)),
        _ => answer::json(StatusCode::NOT_FOUND, &json!({ "message": "no such control" })),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clock {
    offset_seconds: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    #[serde(default)]
    mode: Step,
}

/// A step of a key rotation.
#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum Step {
    /// Publishes a key that does not sign yet.
    Standby,
    /// Signs with the standby key, or a new one; the old one stays published.
    #[default]
    Rotate,
    /// Withdraws every key but the one that signs.
    Revoke,
}

fn rotate(step: &Step, surface: &Surface) -> Response {
    let changed = surface.change_signing_keys(|keys| match step {
        Step::Standby => keys.add_standby(),
        Step::Rotate => keys.rotate(),
        Step::Revoke => keys.revoke_others(),
    });
    match changed {
        Ok(()) => {
            answer::json(StatusCode::OK, &surface.signing_keys.read().unwrap_or_else(PoisonError::into_inner).jwks())
        }
        Err(error) => answer::json(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "message": error.to_string() })),
    }
}

/// Reads the body, which may be left out where everything in it may.
fn with_arguments<T: for<'de> Deserialize<'de>>(request: &Request, act: impl FnOnce(T) -> Response) -> Response {
    let body: &[u8] = if request.body().is_empty() { b"{}" } else { request.body() };
    match serde_json::from_slice(body) {
        Ok(arguments) => act(arguments),
        Err(error) => answer::json(StatusCode::BAD_REQUEST, &json!({ "message": error.to_string() })),
    }
}

fn once() -> u32 {
    1
}
