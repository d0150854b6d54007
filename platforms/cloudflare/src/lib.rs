//! The edge as a Cloudflare Worker: the port on Workers, and the entry point.
//!
//! The boundary to JavaScript is crossed as few times as possible, because each crossing costs about as much as the work
//! between two of them. A request's head comes in as one string and a response's head leaves as one; a body crosses when
//! it is read, small ones in one piece. `js/worker.js` is the module that Cloudflare calls, `js/host.js` holds what
//! Rust imports.
//!
//! Futures run on an executor of our own (`executor`), not on the queue of `wasm-bindgen-futures`. That queue is one
//! per WASM instance and runs inside whichever request's microtask comes first. Workers attribute I/O to the request in
//! which it is begun: a task that continues in another request's microtask begins its I/O there, and loses it when that
//! request ends.

mod background;
mod clock;
mod context;
mod entropy;
mod entry;
mod executor;
mod head;
mod host;
mod http_client;
mod inbound;
mod key_value;
mod ledger;
mod ledger_object;
mod operation;
mod outbound;
#[cfg(feature = "probe")]
mod probe;
mod signatures;
mod sleep;
mod variables;
