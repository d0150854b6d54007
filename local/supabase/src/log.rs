//! JSON lines on the standard error stream: what happened, never who with which key.

use std::io::Write as _;
use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Something worth knowing outside of any request.
pub(crate) fn event(event: &str, detail: &str) {
    write(&json!({ "time": now(), "level": "info", "event": event, "detail": detail }));
}

/// Something that is wrong and is not the caller's fault.
pub(crate) fn error(event: &str, detail: &str) {
    write(&json!({ "time": now(), "level": "error", "event": event, "detail": detail }));
}

/// One request and its answer.
pub(crate) fn request(method: &Method, path: &str, status: StatusCode, took: Duration) {
    let level = if status.is_server_error() { "error" } else { "info" };
    let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    write(&json!({
        "time": now(), "level": level, "event": "request", "method": method.as_str(), "path": path,
        "status": status.as_u16(), "duration_us": took,
    }));
}

/// In one piece; that nobody reads it any more is no reason to stop.
fn write(line: &Value) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

fn now() -> String {
    format!("{:.3}", Timestamp::now())
}
