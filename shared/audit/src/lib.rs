//! Security events of the edge itself, written to the audit log beside the requests: sign-ins, sign-ups, sign-outs, and
//! refused credentials.
//!
//! What changes in the database is recorded there, by the same transaction. Here is what leaves no trace in it. An event
//! holds no credential; of an account that may not exist it holds a digest.

mod event;
mod recorder;
mod refusals;

pub use event::{ActorKind, Event, Origin, Outcome, account_digest};
pub use recorder::Recorder;
