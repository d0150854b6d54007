//! The account of one organization: rates, budgets and calls under way, changed by one caller at a time.
//!
//! At every instant what was spent and what open calls hold together stay within each limit. What a call uses beyond
//! what it reserved is charged all the same: a debt, for which the next call waits. A call of which nothing is heard
//! until its time is over is charged as reserved; if it reports later after all, that is corrected.

mod counter;
mod counters;
mod operation;
mod period;
mod records;
mod rule;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use counter::Counter;
pub use operation::{Decision, Operation, Outcome, Reserve, Standing, Subject};
pub use records::{Changes, Record};
pub use rule::{Amounts, Per, Rule, Unit};

use counter::Hold;
use counters::{Counters, look};
use records::Changed;

/// Everything that is known of one account.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// The latest time seen, in nanoseconds since the epoch.
    seen: u64,
    /// Rules that are kept here, by subject.
    rules: BTreeMap<String, Vec<Rule>>,
    counters: Counters,
    calls: HashMap<Arc<str>, Call>,
    /// When each call is due: to expire, or to be forgotten.
    due: BTreeSet<(u64, Arc<str>)>,
    changed: Changed,
    /// Whether the version of its form is kept.
    is_versioned: bool,
}

/// A call, or a correction, that is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Call {
    shares: Vec<Share>,
    stage: Stage,
    due: u64,
    record: Option<String>,
}

/// What a call holds of one counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Share {
    counter: String,
    unit: Unit,
    reserved: u64,
    hold: Hold,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    Open,
    /// Charged as reserved; it may still report.
    Expired,
    /// Kept so that a repetition changes nothing.
    Closed,
}

/// How many calls, and how many counters, an account may hold.
const CAPACITY: usize = 50_000;
/// How long the end of a call is remembered, for those who tell it again. Whoever does so later is told that it is unknown,
/// and its row has its id. With [`CAPACITY`] this bounds the calls of an account to 833 a second.
const REMEMBERED: u64 = 60_000_000_000;
/// How long a correction is remembered, which a person may repeat.
const CORRECTION_REMEMBERED: u64 = 600_000_000_000;
/// How long a call that has expired may still report.
const LATE: u64 = 3_600_000_000_000;

impl Account {
    /// Applies `operation` at `now`, in nanoseconds since the epoch.
    ///
    /// When the clock goes back, all that is counted in time goes back with it: nothing is granted and nobody has to
    /// wait for what he has waited for already.
    pub fn apply(&mut self, now: u64, operation: &Operation) -> Outcome {
        self.arrive(now);
        match operation {
            Operation::Take { subjects, amounts } => self.take(now, subjects, *amounts),
            Operation::Reserve(reserve) => self.reserve(now, reserve),
            Operation::Settle { id, actual, record } => self.settle(now, id, Some(*actual), record.as_deref()),
            Operation::Release { id, record } => self.settle(now, id, None, record.as_deref()),
            Operation::Expire => done(),
            Operation::Adjust { id, subject, rule, by } => self.adjust(now, id, subject, rule, *by),
            Operation::SetRules { subject, rules } => self.set_rules(subject, rules),
        }
    }

    /// When, in nanoseconds since the epoch, a call is due to expire or to be forgotten.
    pub fn next_due(&self) -> Option<u64> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Whether nothing would be lost if all of it were forgotten.
    pub fn is_idle(&self, now: u64) -> bool {
        self.rules.is_empty() && self.calls.is_empty() && self.counters.are_idle(now)
    }

    fn arrive(&mut self, now: u64) {
        if now < self.seen {
            self.rewind(self.seen - now);
        }
        self.seen = now;
        while self.next_due().is_some_and(|at| at <= now) {
            let Some((_, id)) = self.due.pop_first() else { return };
            self.fall_due(now, &id);
        }
    }

    fn rewind(&mut self, delta: u64) {
        self.counters.rewind(delta);
        for (id, call) in &mut self.calls {
            call.due = call.due.saturating_sub(delta);
            self.changed.call(id);
        }
        self.due.clear();
        self.due.extend(self.calls.iter().map(|(id, call)| (call.due, Arc::clone(id))));
    }

    fn fall_due(&mut self, now: u64, id: &Arc<str>) {
        let Some(call) = self.calls.get_mut(id) else { return };
        if call.stage == Stage::Open {
            let record = call.record.take();
            self.close(now, id, Stage::Expired, |reserved, _| reserved);
            self.changed.ended(id, record.as_deref());
        } else {
            self.calls.remove(id);
            self.changed.forgotten(Arc::clone(id));
        }
    }

    fn take(&mut self, now: u64, subjects: &[Subject], amounts: Amounts) -> Outcome {
        let mut wishes = self.counters.wishes(now, &self.rules, subjects, amounts);
        wishes.retain(|wish| wish.rule.per != Per::Moment || amounts.is_nothing());
        if amounts.is_nothing() {
            return Outcome::Decided(look(now, &wishes));
        }
        match self.counters.admit(now, wishes, false) {
            Some((decision, _)) => Outcome::Decided(decision),
            None => Outcome::Full,
        }
    }

    fn reserve(&mut self, now: u64, reserve: &Reserve) -> Outcome {
        let wishes = self.counters.wishes(now, &self.rules, &reserve.subjects, reserve.amounts);
        if self.calls.contains_key(reserve.id.as_str()) {
            let decision = look(now, &wishes);
            return Outcome::Decided(Decision { allowed: true, ..decision });
        }
        if self.calls.len() >= CAPACITY {
            return Outcome::Full;
        }
        let Some((decision, shares)) = self.counters.admit(now, wishes, true) else { return Outcome::Full };
        if decision.allowed {
            let due = now.saturating_add(reserve.expires_after);
            self.remember(&reserve.id, Call { shares, stage: Stage::Open, due, record: reserve.record.clone() });
        }
        Outcome::Decided(decision)
    }

    /// Ends a call with what it used and its request; with nothing at all if it was never begun.
    fn settle(&mut self, now: u64, id: &str, actual: Option<Amounts>, record: Option<&str>) -> Outcome {
        let Some((key, call)) = self.calls.get_key_value(id) else { return Outcome::Unknown };
        if call.stage != Stage::Closed {
            let key = Arc::clone(key);
            self.close(now, &key, Stage::Closed, |reserved, unit| match (actual, unit) {
                (None, _) => 0,
                (Some(_), Unit::Requests) => reserved,
                (Some(actual), Unit::Tokens | Unit::NanoUsd) => actual.of(unit),
            });
            self.changed.ended(id, record);
        }
        done()
    }

    /// Charges a call as `used` says for each unit, and has it stay in `stage`.
    fn close(&mut self, now: u64, id: &Arc<str>, stage: Stage, used: impl Fn(u64, Unit) -> u64) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let expired = call.stage == Stage::Expired;
        for share in &call.shares {
            self.counters.settle(share, used(share.reserved, share.unit), expired, now);
        }
        self.due.remove(&(call.due, Arc::clone(id)));
        call.stage = stage;
        call.record = None;
        call.due = match stage {
            Stage::Expired => call.due.saturating_add(LATE),
            Stage::Open | Stage::Closed => now.saturating_add(REMEMBERED),
        };
        if stage == Stage::Closed {
            call.shares = Vec::new();
        }
        self.due.insert((call.due, Arc::clone(id)));
        self.changed.call(id);
    }

    fn adjust(&mut self, now: u64, id: &str, subject: &str, rule: &str, by: i64) -> Outcome {
        if self.calls.contains_key(id) {
            return done();
        }
        if self.calls.len() >= CAPACITY {
            return Outcome::Full;
        }
        if !self.counters.adjust(now, subject, rule, by) {
            return Outcome::Unknown;
        }
        let due = now.saturating_add(CORRECTION_REMEMBERED);
        self.remember(id, Call { shares: Vec::new(), stage: Stage::Closed, due, record: None });
        done()
    }

    fn set_rules(&mut self, subject: &str, rules: &[Rule]) -> Outcome {
        if rules.is_empty() {
            self.rules.remove(subject);
        } else if self.rules.len() >= CAPACITY && !self.rules.contains_key(subject) {
            return Outcome::Full;
        } else {
            self.rules.insert(subject.to_owned(), rules.to_vec());
        }
        self.changed.rules(subject);
        done()
    }

    fn remember(&mut self, id: &str, call: Call) {
        let id: Arc<str> = id.into();
        self.changed.call(&id);
        self.due.insert((call.due, Arc::clone(&id)));
        self.calls.insert(id, call);
    }
}

fn done() -> Outcome {
    Outcome::Decided(Decision { allowed: true, standings: Vec::new() })
}
