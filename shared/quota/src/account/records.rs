use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::counter::Counter;
use super::{Account, Call, Share, Stage};

/// What has changed in an account since it was last asked, and must be kept before the operation is answered: texts by
/// name, `None` where something is to be forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Money, calls and rules. Rates are told by [`Account::fleeting_changes`].
    pub binding: BTreeMap<String, Option<String>>,
    /// Rows for the accounts: of calls that have ended, by call.
    pub ended: BTreeMap<String, String>,
}

/// One kept text, as it is read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its name.
    pub name: String,
    /// What was kept under it.
    pub text: String,
}

/// The names of what has changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Changed {
    calls: BTreeSet<Arc<str>>,
    /// Calls whose time to be remembered is over.
    forgotten: BTreeSet<Arc<str>>,
    subjects: BTreeSet<String>,
    ended: BTreeMap<String, String>,
}

const CALL: &str = "call ";
const COUNTER: &str = "counter ";
const RULES: &str = "rules ";
const SEEN: &str = "seen";
const VERSION: &str = "version";
/// Of the form in which all of this is kept.
const PRESENT_VERSION: &str = "1";

impl Changed {
    pub(super) fn call(&mut self, id: &Arc<str>) {
        self.calls.insert(Arc::clone(id));
    }

    pub(super) fn forgotten(&mut self, id: Arc<str>) {
        self.calls.remove(&id);
        self.forgotten.insert(id);
    }

    pub(super) fn rules(&mut self, subject: &str) {
        self.subjects.insert(subject.to_owned());
    }

    pub(super) fn ended(&mut self, id: &str, record: Option<&str>) {
        if let Some(record) = record {
            self.ended.insert(id.to_owned(), record.to_owned());
        }
    }
}

impl Account {
    /// What has changed since the last time.
    pub fn changes(&mut self) -> Changes {
        let (calls, subjects) = (std::mem::take(&mut self.changed.calls), std::mem::take(&mut self.changed.subjects));
        let mut changes = Changes { ended: std::mem::take(&mut self.changed.ended), ..Changes::default() };
        for name in std::mem::take(&mut self.counters.changed_budgets) {
            let counter = self.counters.by_name.get(&name);
            changes.binding.insert(format!("{COUNTER}{name}"), counter.and_then(text));
        }
        let calls = calls.iter().map(|id| (format!("{CALL}{id}"), self.calls.get(id).and_then(text)));
        changes.binding.extend(calls);
        let rules = subjects.iter().map(|name| (format!("{RULES}{name}"), self.rules.get(name).and_then(text)));
        changes.binding.extend(rules);
        if !changes.binding.is_empty() && !std::mem::replace(&mut self.is_versioned, true) {
            changes.binding.insert(VERSION.to_owned(), Some(PRESENT_VERSION.to_owned()));
        }
        changes
    }

    /// What else has changed since this was last asked, and may be kept a little later: rates, of which that much is granted
    /// again when they are lost, and calls that are not remembered any more, which are found to be over once more.
    pub fn fleeting_changes(&mut self) -> BTreeMap<String, Option<String>> {
        let rates = std::mem::take(&mut self.counters.changed_rates);
        let rate = |name: String| (format!("{COUNTER}{name}"), self.counters.by_name.get(&name).and_then(text));
        let mut changes = BTreeMap::new(); // to collect would sort first, which is code of its own for each type
        changes.extend(rates.into_iter().map(rate));
        // One that has been begun again under the same name is told as it is.
        let forgotten = std::mem::take(&mut self.changed.forgotten);
        changes.extend(forgotten.iter().map(|id| (format!("{CALL}{id}"), self.calls.get(id).and_then(text))));
        changes.insert(SEEN.to_owned(), Some(self.seen.to_string()));
        if !std::mem::replace(&mut self.is_versioned, true) {
            changes.insert(VERSION.to_owned(), Some(PRESENT_VERSION.to_owned()));
        }
        changes
    }

    /// What [`Account::fleeting_changes`] would tell is kept nowhere.
    pub fn drop_fleeting_changes(&mut self) {
        self.counters.changed_rates.clear();
        self.changed.forgotten.clear();
    }

    /// All that is to be kept of it, as [`Account::load`] reads it.
    pub fn records(&self) -> Vec<Record> {
        let record =
            |kind: &str, name: &str, text: Option<String>| Some(Record { name: format!("{kind}{name}"), text: text? });
        let counters = self.counters.by_name.iter().filter(|(_, counter)| !matches!(counter, Counter::Open { .. }));
        let counters = counters.filter_map(|(name, counter)| record(COUNTER, name, text(counter)));
        let calls = self.calls.iter().filter_map(|(id, call)| record(CALL, id, text(call)));
        let rules = self.rules.iter().filter_map(|(subject, rules)| record(RULES, subject, text(rules)));
        let seen = record(SEEN, "", Some(self.seen.to_string()));
        let version = record(VERSION, "", Some(PRESENT_VERSION.to_owned()));
        counters.chain(calls).chain(rules).chain(seen).chain(version).collect()
    }

    /// An account as it was kept. Texts that cannot be read are handed back, as is one that names another version.
    pub fn load(records: impl IntoIterator<Item = Record>) -> (Self, Vec<Record>) {
        let (mut account, mut unread) = (Self::default(), Vec::new());
        for record in records {
            if account.read(&record).is_none() {
                unread.push(record);
            }
        }
        account.hold_again();
        (account, unread)
    }

    /// All of it, for comparison: without what is idle at `now`.
    pub fn view(&self, now: u64) -> Value {
        let counters = self.counters.by_name.iter().filter(|(_, counter)| !counter.is_idle(now));
        let counters: BTreeMap<_, _> = counters.map(|(name, counter)| (name, counter.view())).collect();
        let calls = self.calls.iter().map(|(id, call)| (&**id, json!({"stage": call.stage, "due": call.due})));
        let calls: BTreeMap<_, _> = calls.collect();
        json!({"rules": self.rules, "counters": counters, "calls": calls})
    }

    fn read(&mut self, record: &Record) -> Option<()> {
        let Record { name, text } = record;
        if let Some(id) = name.strip_prefix(CALL) {
            let call: Call = serde_json::from_str(text).ok()?;
            let id: Arc<str> = id.into();
            self.due.insert((call.due, Arc::clone(&id)));
            self.calls.insert(id, call);
        } else if let Some(counter) = name.strip_prefix(COUNTER) {
            self.counters.by_name.insert(counter.to_owned(), serde_json::from_str(text).ok()?);
        } else if let Some(subject) = name.strip_prefix(RULES) {
            self.rules.insert(subject.to_owned(), serde_json::from_str(text).ok()?);
        } else if name == SEEN {
            self.seen = text.parse().ok()?;
        } else if name == VERSION && text == PRESENT_VERSION {
            self.is_versioned = true;
        } else {
            return None;
        }
        Some(())
    }

    /// What open calls hold is known from them alone.
    fn hold_again(&mut self) {
        for call in self.calls.values().filter(|call| call.stage == Stage::Open) {
            for Share { counter: name, reserved, hold, .. } in &call.shares {
                let counter = self.counters.by_name.entry(name.clone()).or_insert_with(|| Counter::of(hold, 0));
                counter.hold(hold, *reserved);
            }
        }
    }
}

fn text<T: Serialize + ?Sized>(value: &T) -> Option<String> {
    serde_json::to_string(value).ok() // numbers, texts and lists: it cannot fail
}
