//! What tests ask of an object beyond operations. Never in what ships.

use quota::account::Operation;
use serde::Deserialize;
use wasm_bindgen::JsValue;

use super::{LedgerObject, to_json, unreadable};

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Question {
    /// Applies operations at the time `now` and keeps everything at once.
    Apply { now: u64, operations: Vec<Operation> },
    /// The account as it is at this time.
    View(u64),
    /// Whether anything is in memory alone.
    Unsaved,
    /// How many texts are stored whose names begin with this.
    Stored(String),
    /// A panic in the middle of a change.
    Panic,
}

impl LedgerObject {
    #[allow(clippy::panic)] // asked for
    pub(super) fn answer(&self, question: &str) -> Result<String, JsValue> {
        match serde_json::from_str(question).map_err(unreadable)? {
            Question::Apply { now, operations } => {
                let outcomes = self.apply(now, &operations)?;
                self.flush()?;
                to_json(&outcomes)
            }
            Question::View(now) => Ok(self.account()?.view(now).to_string()),
            Question::Unsaved => to_json(&self.flush_at.get().is_some()),
            Question::Stored(prefix) => to_json(&self.storage.list(&prefix, None)?.count()),
            Question::Panic => {
                let _account = self.account()?;
                panic!("the probe panics in the object")
            }
        }
    }
}
