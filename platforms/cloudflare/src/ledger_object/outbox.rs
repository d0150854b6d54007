//! Rows for the accounts that wait for Postgres. They lie in storage, not in memory, and each stays there until Postgres
//! has it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use wasm_bindgen::JsValue;

use super::storage::Storage;
use super::{NANOS_PER_MILLI, SECOND, now};
use crate::{context, host};

/// How many batches one alarm sends at most: alarms have a time limit.
pub const BATCHES: usize = 100;

const PREFIX: &str = "o:";
/// How many rows go out in one call.
const BATCH: u32 = 200;
/// How long the first row waits for others.
const GATHER: u64 = 30 * NANOS_PER_MILLI;
/// The first and the longest pause while Postgres is away.
const FIRST_PAUSE: u64 = 250 * NANOS_PER_MILLI;
const LONGEST_PAUSE: u64 = 30 * SECOND;

/// When rows are sent.
#[derive(Default)]
pub struct Outbox {
    /// `None` when no row waits.
    due: Cell<Option<u64>>,
    failures: Cell<u32>,
    /// While a batch is under way, the rows that were written since.
    written: RefCell<Option<BTreeSet<String>>>,
}

/// Where the row of `call` is stored.
pub fn key(call: &str) -> String {
    format!("{PREFIX}{call}")
}

impl Outbox {
    /// Rows of `calls` were written.
    pub fn add<'a>(&self, now: u64, calls: impl Iterator<Item = &'a String>) {
        if self.due.get().is_none() {
            self.due.set(Some(now.saturating_add(GATHER)));
        }
        if let Some(written) = &mut *self.written.borrow_mut() {
            written.extend(calls.map(|call| key(call)));
        }
    }

    /// Looks whether rows wait that an earlier instance has written.
    pub fn look(&self, storage: &Storage, now: u64) -> Result<(), JsValue> {
        if self.due.get().is_none() && storage.list(PREFIX, Some(1))?.next().is_some() {
            self.due.set(Some(now));
        }
        Ok(())
    }

    /// When rows are to be sent: `None` when none waits, or when that is being done.
    pub fn due(&self) -> Option<u64> {
        self.due.get().filter(|_| self.written.borrow().is_none())
    }

    /// Sends a batch if one is due. Whether more is due.
    pub async fn send(&self, storage: &Storage, now: u64) -> Result<bool, JsValue> {
        if self.due.get().is_none_or(|due| due > now) {
            return Ok(false);
        }
        let batch: Vec<_> = storage.list(PREFIX, Some(BATCH))?.collect::<Result<_, _>>()?;
        let (keys, rows): (Vec<String>, Vec<String>) = batch.into_iter().unzip();
        if rows.is_empty() {
            self.due.set(None);
            return Ok(false);
        }
        self.written.replace(Some(BTreeSet::new()));
        let recorded = record(&rows).await;
        let written = self.written.take().unwrap_or_default();
        if let Err(error) = recorded {
            self.pause(&error);
            return Ok(false);
        }
        self.failures.set(0);
        // A row that was written anew meanwhile is another one.
        let sent: Vec<_> = keys.into_iter().filter(|key| !written.contains(key)).map(|key| (key, None)).collect();
        storage.write_unconfirmed(&sent)?;
        Ok(true)
    }

    fn pause(&self, error: &str) {
        let failures = self.failures.get();
        self.failures.set(failures.saturating_add(1));
        let longest = FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(LONGEST_PAUSE);
        let mut chance = [0; 4];
        host::random(&mut chance);
        let pause = longest / 2 + (longest / 2).saturating_mul(u64::from(u32::from_le_bytes(chance))) / (1 << 32);
        tracing::warn!(error, failures, pause_ms = pause / NANOS_PER_MILLI, "usage events wait for the database");
        self.due.set(Some(now().saturating_add(pause)));
    }
}

async fn record(rows: &[String]) -> Result<(), String> {
    let (supabase, context) = context::supabase().await?;
    supabase.record_usage(&context, rows).await.map_err(|error| error.to_string())
}
