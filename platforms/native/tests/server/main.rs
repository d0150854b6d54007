//! The doorway over real connections: streaming, callers that leave, limits, shutdown.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may fail this way

mod connection;
mod doorway;
mod limits;
mod shutdown;
mod streaming;
