//! The Durable Object behind the ledger: one per name, one thread.
//!
//! It holds rates of strangers ([`quota::State`], one text in storage), or the account of an organization
//! ([`Account`], one text per call, counter and subject), or both. What an account must not forget is written before its
//! answer goes out: the host holds each answer back until all writes before it are durable. The alarm does the rest.

mod outbox;
#[cfg(feature = "probe")]
mod probe;
mod storage;

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;

use quota::account::{Account, Changes, Operation, Outcome, Record};
use quota::{Decision, State, Take};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsError, JsValue};

use crate::{executor, host};
use outbox::Outbox;
use storage::{HostStorage, Storage};

/// How long a rate may stay in memory alone. An object that is moved or restarted in that time forgets it, and grants
/// that much again.
const FLUSH_AFTER: u64 = 5 * SECOND;
/// How long after it is due a call is seen to without being asked: whatever is due meanwhile goes with it.
const GATHER_DUE: u64 = SECOND;
/// How often an object that nobody uses looks whether it is idle and can be deleted.
const REVIEW_AFTER: u64 = 3600 * SECOND;
/// When to try again what the storage has refused.
const AGAIN_AFTER: u64 = 30 * SECOND;

/// The rates of strangers.
const STATE: &str = "state";
/// What is kept of the account, by name.
const ACCOUNT: &str = "a:";

const SECOND: u64 = 1_000_000_000;
const NANOS_PER_MILLI: u64 = 1_000_000;

/// The object, as JavaScript holds it.
#[wasm_bindgen]
pub struct Ledger(Rc<LedgerObject>);

struct LedgerObject {
    storage: Storage,
    /// `None` before its first use.
    rates: RefCell<Option<State>>,
    rates_changed: Cell<bool>,
    /// `None` before its first use, and when memory may be ahead of the storage.
    account: RefCell<Option<Account>>,
    /// Something was stored that cannot be read.
    damaged: Cell<bool>,
    outbox: Outbox,
    /// When what is in memory alone must be stored. All times are in nanoseconds since the epoch.
    flush_at: Cell<Option<u64>>,
    /// The alarm that is set, as far as this instance knows.
    alarm: Cell<Option<u64>>,
    /// While the alarm is handled: it is set anew when that is done.
    ringing: Cell<bool>,
}

#[wasm_bindgen]
impl Ledger {
    /// An object that has read nothing yet.
    #[wasm_bindgen(constructor)]
    pub fn new(storage: HostStorage) -> Self {
        Self(Rc::new(LedgerObject {
            storage: Storage::new(storage),
            rates: RefCell::default(),
            rates_changed: Cell::default(),
            account: RefCell::default(),
            damaged: Cell::default(),
            outbox: Outbox::default(),
            flush_at: Cell::default(),
            alarm: Cell::default(),
            ringing: Cell::default(),
        }))
    }

    /// Takes all of `takes` or none (JSON in, JSON out).
    pub fn take(&self, takes: &str) -> Result<String, JsValue> {
        let takes: Vec<Take> = serde_json::from_str(takes).map_err(unreadable)?;
        to_json(&self.0.take(now(), &takes)?)
    }

    /// Applies operations to the account (JSON in, JSON out).
    pub fn apply(&self, operations: &str) -> Result<String, JsValue> {
        #[cfg(feature = "probe")]
        if operations.starts_with('{') {
            return self.0.answer(operations);
        }
        let operations: Vec<Operation> = serde_json::from_str(operations).map_err(unreadable)?;
        to_json(&self.0.apply(now(), &operations)?)
    }

    /// Does what is due.
    pub fn alarm(&self, invocation: u32) {
        let object = Rc::clone(&self.0);
        executor::enter(invocation, || executor::spawn(async move { object.ring().await }));
    }
}

impl LedgerObject {
    fn take(&self, now: u64, takes: &[Take]) -> Result<Decision, JsValue> {
        let decision = self.rates()?.take(now, takes);
        if decision.allowed {
            self.rates_changed.set(true);
            self.flush_by(now);
            self.set_alarm()?;
        }
        Ok(decision)
    }

    fn apply(&self, now: u64, operations: &[Operation]) -> Result<Vec<Outcome>, JsValue> {
        let (outcomes, changes) = {
            let mut account = self.account()?;
            let outcomes = operations.iter().map(|operation| account.apply(now, operation)).collect();
            (outcomes, account.changes())
        };
        self.keep(now, changes).and_then(|()| self.set_alarm()).inspect_err(|_| self.forget())?;
        Ok(outcomes)
    }

    /// Stores what must be kept before anybody is answered, and remembers the rest.
    fn keep(&self, now: u64, changes: Changes) -> Result<(), JsValue> {
        let Changes { binding, ended } = changes;
        let mut writes = Vec::with_capacity(binding.len() + ended.len());
        writes.extend(binding.into_iter().map(|(name, text)| (format!("{ACCOUNT}{name}"), text)));
        if !ended.is_empty() {
            self.outbox.add(now, ended.keys());
            writes.extend(ended.into_iter().map(|(call, row)| (outbox::key(&call), Some(row))));
        }
        self.storage.write(&writes)?;
        self.flush_by(now);
        if self.flush_at.get().is_some_and(|at| at <= now) {
            self.flush()?; // the alarm is late: it waits for Postgres
        }
        Ok(())
    }

    /// Stores what is in memory alone.
    fn flush(&self) -> Result<(), JsValue> {
        let fleeting = self.account.borrow_mut().as_mut().map(Account::fleeting_changes).unwrap_or_default();
        let mut writes: Vec<_> = fleeting.into_iter().map(|(name, text)| (format!("{ACCOUNT}{name}"), text)).collect();
        if self.rates_changed.replace(false)
            && let Some(rates) = &*self.rates.borrow()
        {
            writes.push((STATE.to_owned(), serde_json::to_string(rates).ok()));
        }
        self.flush_at.set(None);
        self.storage.write_unconfirmed(&writes)
    }

    fn flush_by(&self, now: u64) {
        if self.flush_at.get().is_none() {
            self.flush_at.set(Some(now.saturating_add(FLUSH_AFTER)));
        }
    }

    /// Memory is ahead of the storage: the account is read again when it is needed.
    fn forget(&self) {
        self.account.replace(None);
    }

    /// The alarm. Whatever fails here is tried again at another alarm of our own.
    async fn ring(&self) {
        self.alarm.set(None);
        let next = {
            let _ringing = Ringing::begin(&self.ringing);
            self.work().await
        };
        let next = match next {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(?error, "the ledger's storage has failed");
                Some(now().saturating_add(AGAIN_AFTER))
            }
        };
        if let Err(error) = next.map_or(Ok(()), |at| self.set_alarm_at(at)) {
            tracing::error!(?error, "the ledger's alarm cannot be set");
        }
    }

    /// Does what is due and tells when to look again.
    async fn work(&self) -> Result<Option<u64>, JsValue> {
        for _ in 0..outbox::BATCHES {
            let now = now();
            let due = self.account()?.next_due();
            if due.is_some_and(|due| due <= now) {
                self.apply(now, &[Operation::Expire])?;
            }
            self.flush()?;
            if !self.outbox.send(&self.storage, now).await? {
                break;
            }
        }
        self.rest(now())
    }

    /// When to look again; an object that is idle is deleted.
    fn rest(&self, now: u64) -> Result<Option<u64>, JsValue> {
        let rates_idle = self.rates()?.is_idle(now);
        let (idle, idle_in_time) = {
            let account = self.account()?;
            (account.is_idle(now), account.is_idle(u64::MAX))
        };
        if rates_idle && idle && self.outbox.due().is_none() && !self.damaged.get() {
            self.forget();
            self.rates.replace(None);
            self.rates_changed.set(false);
            self.flush_at.set(None);
            self.storage.delete_all()?;
            return Ok(None);
        }
        Ok(self.due().or((!rates_idle || idle_in_time).then(|| now.saturating_add(REVIEW_AFTER))))
    }

    /// When the alarm is needed next.
    fn due(&self) -> Option<u64> {
        let call = self.account.borrow().as_ref().and_then(Account::next_due);
        let call = call.map(|due| due.saturating_add(GATHER_DUE));
        [self.flush_at.get(), self.outbox.due(), call].into_iter().flatten().min()
    }

    fn set_alarm(&self) -> Result<(), JsValue> {
        self.due().map_or(Ok(()), |at| self.set_alarm_at(at))
    }

    /// Sets the alarm, unless a sooner one is set. It is never one in the past: the host takes one for the time of the
    /// alarm that is being handled for that alarm itself, and is done with both.
    fn set_alarm_at(&self, at: u64) -> Result<(), JsValue> {
        let at = at.max(now().saturating_add(NANOS_PER_MILLI));
        if self.ringing.get() || self.alarm.get().is_some_and(|set| set <= at) {
            return Ok(());
        }
        self.alarm.set(Some(at));
        self.storage.set_alarm(at.div_ceil(NANOS_PER_MILLI))
    }

    fn rates(&self) -> Result<RefMut<'_, State>, JsValue> {
        let mut rates = self.rates.borrow_mut();
        if rates.is_none() {
            let text = self.storage.get(STATE)?;
            *rates = text.and_then(|text| serde_json::from_str(&text).ok());
        }
        Ok(RefMut::map(rates, Option::get_or_insert_default))
    }

    fn account(&self) -> Result<RefMut<'_, Account>, JsValue> {
        let mut account = self.account.borrow_mut();
        if account.is_none() {
            *account = Some(self.load()?);
        }
        Ok(RefMut::map(account, Option::get_or_insert_default))
    }

    /// The account as it was stored, read text by text.
    fn load(&self) -> Result<Account, JsValue> {
        let mut failure = None;
        let entries =
            self.storage.list(ACCOUNT, None)?.map_while(|entry| entry.map_err(|error| failure = Some(error)).ok());
        let records =
            entries.filter_map(|(key, text)| Some(Record { name: key.strip_prefix(ACCOUNT)?.to_owned(), text }));
        let (account, unread) = Account::load(records);
        if let Some(failure) = failure {
            return Err(failure);
        }
        for Record { name, .. } in &unread {
            tracing::error!(name, "a text of an account cannot be read");
        }
        self.damaged.set(!unread.is_empty());
        self.outbox.look(&self.storage, now())?;
        Ok(account)
    }
}

/// While the alarm is handled, however that ends.
struct Ringing<'a>(&'a Cell<bool>);

impl<'a> Ringing<'a> {
    fn begin(ringing: &'a Cell<bool>) -> Self {
        ringing.set(true);
        Self(ringing)
    }
}

impl Drop for Ringing<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<String, JsValue> {
    serde_json::to_string(value).map_err(unreadable)
}

fn unreadable(error: serde_json::Error) -> JsValue {
    JsError::from(error).into()
}

fn now() -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // milliseconds since the epoch fit
    let milliseconds = host::now() as u64;
    milliseconds.saturating_mul(NANOS_PER_MILLI)
}
