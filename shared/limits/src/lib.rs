//! Who is counted by which limits, how the ledger is asked, and what callers are told.
//!
//! An organization has one account in the ledger; its members and API keys are counted in it too, so that all levels
//! are taken together or none is. Who has no organization has an account of their own.

mod availability;
mod config;
mod fields;
mod gathering;
mod member;
mod names;
mod refusal;
mod reservation;
mod take;

pub use availability::Availability;
pub use config::Config;
pub use fields::describe;
pub use gathering::Gathering;
pub use member::Member;
pub use names::{Level, rule};
pub use refusal::{refused, unavailable};
pub use reservation::{Answered, Reservation, reserve};
pub use take::{OnAbsence, ask, take};
