//! The ledger in Redis or Valkey, for a host that has nothing of its own that counts exactly across instances.
//!
//! Each list of operations is one script (`account/`, `shard.lua`): Redis runs one at a time, so nobody has to try
//! again however many come at once. The scripts are twins of [`quota`], bound to it by the same random operations; they
//! decide and count, and [`quota`] itself says where the rules stand then. What time it is Redis says.
//!
//! Rows of calls that have ended are put down by the script that ends them, and stay until Postgres has them.
//!
//! All keys have one hash tag: a cluster keeps them in one slot, so that one script reaches all it needs.

mod answer;
mod commands;
mod delivery;
mod ledger;
mod operations;
mod script;
#[cfg(test)]
mod tests;

pub use commands::{Commands, Reply};
pub use ledger::RedisLedger;
