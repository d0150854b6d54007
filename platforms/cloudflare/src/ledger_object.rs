//! The Durable Object behind the ledger: one per shard, one thread, one [`quota::State`] in memory.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use quota::{State, Take};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsError, JsValue};
use worker::Storage;
use worker::js_sys::{Object, Promise, Reflect};
use worker::worker_sys::DurableObjectState;

use crate::executor;
use crate::host;

/// How long a change may stay in memory alone. An object that is moved or restarted in that time forgets it, and grants
/// that much again.
const FLUSH_AFTER: Duration = Duration::from_secs(5);
/// How often an object without changes looks whether its state is idle and can be deleted.
const REVIEW_AFTER: Duration = Duration::from_mins(10);

const KEY: &str = "state";
const NANOS_PER_MILLI: u64 = 1_000_000;

/// The counters of one shard.
#[wasm_bindgen]
pub struct Ledger(Rc<Counters>);

struct Counters {
    storage: Storage,
    unconfirmed: UnconfirmedStorage,
    state: RefCell<State>,
    changed: Cell<bool>,
    alarm_set: Cell<bool>,
}

#[wasm_bindgen]
extern "C" {
    /// The object's storage, for writes that no answer waits for. `worker` has no options on `put`, and passes those of
    /// `set_alarm` under names that the host does not know.
    type UnconfirmedStorage;
    #[wasm_bindgen(method, catch)]
    fn put(this: &UnconfirmedStorage, key: &str, value: &str, options: &JsValue) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = setAlarm)]
    fn set_alarm(this: &UnconfirmedStorage, time: f64, options: &JsValue) -> Result<Promise, JsValue>;
}

#[wasm_bindgen]
impl Ledger {
    /// An object with no counters yet; `load` comes next.
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState) -> Result<Self, JsValue> {
        let unconfirmed = state.storage()?.unchecked_into();
        let storage = worker::State::from(state).storage();
        Ok(Self(Rc::new(Counters {
            storage,
            unconfirmed,
            state: RefCell::default(),
            changed: Cell::new(false),
            alarm_set: Cell::new(false),
        })))
    }

    /// Reads what was stored last.
    pub fn load(&self, invocation: u32) {
        let counters = self.0.clone();
        executor::enter(invocation, || executor::spawn(async move { counters.load().await }));
    }

    /// Takes all of `takes` or none (JSON in, JSON out).
    pub fn take(&self, takes: &str) -> Result<String, JsError> {
        let takes: Vec<Take> = serde_json::from_str(takes)?;
        let decision = self.0.state.borrow_mut().take(now(), &takes);
        if decision.allowed {
            self.0.changed.set(true);
            self.0.set_alarm(FLUSH_AFTER);
        }
        Ok(serde_json::to_string(&decision)?)
    }

    /// The alarm: stores what has changed, deletes what is no longer in use.
    pub fn flush(&self, invocation: u32) {
        let counters = self.0.clone();
        executor::enter(invocation, || executor::spawn(async move { counters.flush().await }));
    }
}

impl Counters {
    async fn load(&self) {
        match self.storage.get::<String>(KEY).await {
            Ok(Some(text)) => *self.state.borrow_mut() = serde_json::from_str(&text).unwrap_or_default(),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the ledger's state cannot be read"),
        }
    }

    async fn flush(&self) {
        self.alarm_set.set(false);
        if self.state.borrow().is_idle(now()) {
            if let Err(error) = self.storage.delete_all().await {
                tracing::error!(%error, "the ledger's state cannot be deleted");
            }
            return;
        }
        if self.changed.replace(false) {
            let text = serde_json::to_string(&*self.state.borrow()).unwrap_or_default();
            Self::started(self.unconfirmed.put(KEY, &text, &unconfirmed()));
        }
        self.set_alarm(REVIEW_AFTER);
    }

    /// Sets the alarm, unless a sooner one is set.
    fn set_alarm(&self, after: Duration) {
        if after == FLUSH_AFTER && self.alarm_set.replace(true) {
            return;
        }
        #[allow(clippy::cast_precision_loss)] // milliseconds since the epoch fit
        let time = host::now() + after.as_millis() as f64;
        Self::started(self.unconfirmed.set_alarm(time, &unconfirmed()));
    }

    /// The host reports a write that fails later by ending the object.
    fn started(promise: Result<Promise, JsValue>) {
        if let Err(error) = promise {
            tracing::error!(?error, "the ledger cannot store");
        }
    }
}

/// The storage option by which no answer of the object waits for the write.
fn unconfirmed() -> JsValue {
    let options = Object::new();
    let _ = Reflect::set(&options, &"allowUnconfirmed".into(), &JsValue::TRUE); // a plain object takes any property
    options.into()
}

fn now() -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // milliseconds since the epoch fit
    let milliseconds = host::now() as u64;
    milliseconds.saturating_mul(NANOS_PER_MILLI)
}
