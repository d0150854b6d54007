//! JSON lines on standard error, which Spin keeps per component.

use std::io::{self, Write as _};
use std::panic;

use serde_json::json;
use telemetry::Level;

use crate::clock::Clock;

/// Opens the log, and has panics written to it: they end the instance, and nobody else tells why.
pub(crate) fn open(level: Level) {
    telemetry::install(level, || platform::Clock::now(&Clock), write);
    panic::set_hook(Box::new(|panic| {
        write(&json!({"ts": platform::Clock::now(&Clock), "level": "ERROR", "message": panic.to_string()}).to_string());
    }));
}

fn write(line: &str) {
    // Nobody is left to be told that logging fails.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
