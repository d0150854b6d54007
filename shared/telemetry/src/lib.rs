//! What lets an operator follow one request: JSON-lines logging, request ids and trace context.
//!
//! A doorway calls [`install`] once. The router takes a [`RequestId`] and a [`TraceContext`] from each request, puts both
//! into its extensions and into a span; every line that is logged inside carries them. Open that span at `ERROR` level,
//! so that it is there whatever the level.
//!
//! Secrets are `secrecy` types, which print as redacted. Control characters are escaped: one event is one line.

mod fields;
mod json_lines;
mod request_id;
mod trace_context;

pub use json_lines::{install, subscriber};
pub use request_id::{RequestId, X_REQUEST_ID};
pub use trace_context::{TRACEPARENT, TraceContext};
/// The least severe level that is logged. Parses `error`, `warn`, `info`, `debug`, `trace` and `off`.
pub use tracing::level_filters::LevelFilter as Level;
