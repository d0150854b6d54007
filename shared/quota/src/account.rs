//! The account of one organization: rates, budgets and calls under way, changed by one caller at a time.
//!
//! At every instant what was spent and what open calls hold together stay within each limit. What a call uses beyond
//! what it reserved is charged all the same: a debt, for which the next call waits. A call of which nothing is heard
//! until its time is over is charged as reserved; if it reports later after all, that is corrected.

mod counter;
mod operation;
mod period;
mod records;
mod rule;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use operation::{Decision, Operation, Outcome, Reserve, Standing, Subject};
pub use records::{Changes, Record};
pub use rule::{Amounts, Per, Rule, Unit};

use counter::{Counter, Hold};
use records::Changed;

/// Everything that is known of one account.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// The latest time seen, in nanoseconds since the epoch.
    seen: u64,
    /// Rules that are kept here, by subject.
    rules: BTreeMap<String, Vec<Rule>>,
    /// By subject and name of the rule.
    counters: BTreeMap<String, Counter>,
    calls: BTreeMap<String, Call>,
    /// When each call is due: to expire, or to be forgotten.
    due: BTreeSet<(u64, String)>,
    /// How many counters there may be before those not in use are swept out.
    sweep_at: usize,
    changed: Changed,
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

/// One rule of one subject, and how much is wished of it.
struct Wish {
    subject: String,
    counter: String,
    rule: Rule,
    quantity: u64,
}

/// How many calls, and how many counters, an account may hold.
const CAPACITY: usize = 50_000;
const FIRST_SWEEP: usize = 256;
/// How long the end of a call is remembered: longer than anybody repeats it.
const REMEMBERED: u64 = 600_000_000_000;
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
        self.rules.is_empty() && self.calls.is_empty() && self.counters.values().all(|counter| counter.is_idle(now))
    }

    fn arrive(&mut self, now: u64) {
        if now < self.seen {
            self.rewind(self.seen - now);
        }
        self.seen = now;
        while let Some((at, id)) = self.due.pop_first() {
            if at > now {
                self.due.insert((at, id));
                return;
            }
            self.fall_due(now, &id);
        }
    }

    fn rewind(&mut self, delta: u64) {
        for (name, counter) in &mut self.counters {
            counter.rewind(delta);
            self.changed.counter(name);
        }
        for (id, call) in &mut self.calls {
            call.due = call.due.saturating_sub(delta);
            self.changed.call(id);
        }
        self.due = self.calls.iter().map(|(id, call)| (call.due, id.clone())).collect();
    }

    fn fall_due(&mut self, now: u64, id: &str) {
        let Some(call) = self.calls.get(id) else { return };
        if call.stage == Stage::Open {
            let record = call.record.clone();
            self.close(now, id, Stage::Expired, |reserved, _| reserved);
            self.changed.ended(id, record.as_deref());
        } else {
            self.calls.remove(id);
            self.changed.call(id);
        }
    }

    fn take(&mut self, now: u64, subjects: &[Subject], amounts: Amounts) -> Outcome {
        let mut wishes = self.wishes(now, subjects, amounts);
        wishes.retain(|wish| wish.rule.per != Per::Moment || amounts.is_nothing());
        if amounts.is_nothing() {
            return Outcome::Decided(self.look(now, &wishes));
        }
        match self.admit(now, &wishes, false) {
            Some((decision, _)) => Outcome::Decided(decision),
            None => Outcome::Full,
        }
    }

    fn reserve(&mut self, now: u64, reserve: &Reserve) -> Outcome {
        let wishes = self.wishes(now, &reserve.subjects, reserve.amounts);
        if self.calls.contains_key(&reserve.id) {
            let decision = self.look(now, &wishes);
            return Outcome::Decided(Decision { allowed: true, ..decision });
        }
        if self.calls.len() >= CAPACITY {
            return Outcome::Full;
        }
        let Some((decision, shares)) = self.admit(now, &wishes, true) else { return Outcome::Full };
        if decision.allowed {
            let due = now.saturating_add(reserve.expires_after);
            self.remember(&reserve.id, Call { shares, stage: Stage::Open, due, record: reserve.record.clone() });
        }
        Outcome::Decided(decision)
    }

    /// Ends a call with what it used, or with nothing but its request.
    fn settle(&mut self, now: u64, id: &str, actual: Option<Amounts>, record: Option<&str>) -> Outcome {
        let Some(call) = self.calls.get(id) else { return Outcome::Unknown };
        if call.stage != Stage::Closed {
            let actual = actual.unwrap_or_default();
            self.close(now, id, Stage::Closed, |reserved, unit| match unit {
                Unit::Requests => reserved,
                Unit::Tokens | Unit::NanoUsd => actual.of(unit),
            });
            self.changed.ended(id, record);
        }
        done()
    }

    /// Charges a call as `used` says for each unit, and has it stay in `stage`.
    fn close(&mut self, now: u64, id: &str, stage: Stage, used: impl Fn(u64, Unit) -> u64) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let expired = call.stage == Stage::Expired;
        for Share { counter: name, unit, reserved, hold } in &call.shares {
            let counter = self.counters.entry(name.clone()).or_insert_with(|| Counter::of(hold, now));
            counter.settle(hold, *reserved, used(*reserved, *unit), expired, now);
            self.changed.counter(name);
        }
        self.due.remove(&(call.due, id.to_owned()));
        call.stage = stage;
        call.record = None;
        call.due = match stage {
            Stage::Expired => call.due.saturating_add(LATE),
            Stage::Open | Stage::Closed => now.saturating_add(REMEMBERED),
        };
        if stage == Stage::Closed {
            call.shares.clear();
        }
        self.due.insert((call.due, id.to_owned()));
        self.changed.call(id);
    }

    fn adjust(&mut self, now: u64, id: &str, subject: &str, rule: &str, by: i64) -> Outcome {
        if self.calls.contains_key(id) {
            return done();
        }
        if self.calls.len() >= CAPACITY {
            return Outcome::Full;
        }
        let name = counter_name(subject, rule);
        let counter = self.counters.get_mut(&name).filter(|counter| !counter.is_idle(now));
        let Some(counter) = counter else { return Outcome::Unknown };
        counter.adjust(by);
        self.changed.counter(&name);
        let due = now.saturating_add(REMEMBERED);
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

    /// The rules of `subjects`, the kept ones in place of the others. A counter that is named twice counts once.
    fn wishes(&mut self, now: u64, subjects: &[Subject], amounts: Amounts) -> Vec<Wish> {
        let mut wishes: Vec<Wish> = Vec::new();
        for subject in subjects {
            let kept = self.rules.get(&subject.name).map_or(&[][..], Vec::as_slice);
            let given = subject.rules.iter().filter(|rule| kept.iter().all(|kept| kept.name != rule.name));
            for rule in kept.iter().chain(given) {
                let counter = counter_name(&subject.name, &rule.name);
                if wishes.iter().any(|wish| wish.counter == counter) {
                    continue;
                }
                let quantity = match rule.per {
                    Per::Moment => amounts.requests.min(1),
                    Per::Seconds(_) | Per::Day | Per::Month => amounts.of(rule.unit),
                };
                if self.counters.get_mut(&counter).is_some_and(|counter| counter.follow(rule, now)) {
                    self.changed.counter(&counter);
                }
                wishes.push(Wish { subject: subject.name.clone(), counter, rule: rule.clone(), quantity });
            }
        }
        wishes
    }

    /// Takes all wishes or none. `None` if there is no room for the counters.
    fn admit(&mut self, now: u64, wishes: &[Wish], holding: bool) -> Option<(Decision, Vec<Share>)> {
        self.make_room(now, wishes.len())?;
        let mut counters: Vec<Counter> = wishes.iter().map(|wish| self.counter(now, wish)).collect();
        let allowed =
            wishes.iter().zip(&counters).all(|(wish, counter)| counter.admits(&wish.rule, wish.quantity, now));
        let mut shares = Vec::new();
        if allowed {
            for (wish, counter) in wishes.iter().zip(&mut counters) {
                let hold = counter.take(wish.quantity, holding, now);
                // What open calls hold of a budget is kept with them.
                if !holding || matches!(hold, Hold::Rate { .. }) {
                    self.changed.counter(&wish.counter);
                }
                if holding {
                    let (unit, reserved) = (wish.rule.unit, wish.quantity);
                    shares.push(Share { counter: wish.counter.clone(), unit, reserved, hold });
                }
                self.counters.insert(wish.counter.clone(), counter.clone());
            }
        }
        let standings = wishes.iter().zip(&counters).map(|(wish, counter)| wish.standing(counter, now)).collect();
        Some((Decision { allowed, standings }, shares))
    }

    fn look(&self, now: u64, wishes: &[Wish]) -> Decision {
        let counters: Vec<_> = wishes.iter().map(|wish| self.counter(now, wish)).collect();
        let allowed =
            wishes.iter().zip(&counters).all(|(wish, counter)| counter.admits(&wish.rule, wish.quantity, now));
        let standings = wishes.iter().zip(&counters).map(|(wish, counter)| wish.standing(counter, now)).collect();
        Decision { allowed, standings }
    }

    fn counter(&self, now: u64, wish: &Wish) -> Counter {
        self.counters.get(&wish.counter).cloned().unwrap_or_else(|| Counter::new(&wish.rule, now))
    }

    fn make_room(&mut self, now: u64, wanted: usize) -> Option<()> {
        if self.counters.len() + wanted > self.sweep_at.max(FIRST_SWEEP) {
            let idle: Vec<_> = self
                .counters
                .iter()
                .filter(|(_, counter)| counter.is_idle(now))
                .map(|(name, _)| name.clone())
                .collect();
            for name in idle {
                self.counters.remove(&name);
                self.changed.counter(&name);
            }
            self.sweep_at = ((self.counters.len() + wanted) * 2).min(CAPACITY);
        }
        (self.counters.len() + wanted <= CAPACITY).then_some(())
    }

    fn remember(&mut self, id: &str, call: Call) {
        self.changed.call(id);
        self.due.insert((call.due, id.to_owned()));
        self.calls.insert(id.to_owned(), call);
    }
}

impl Wish {
    fn standing(&self, counter: &Counter, now: u64) -> Standing {
        counter.standing(&self.subject, &self.rule, self.quantity, now)
    }
}

fn counter_name(subject: &str, rule: &str) -> String {
    format!("{subject} {rule}")
}

fn done() -> Outcome {
    Outcome::Decided(Decision { allowed: true, standings: Vec::new() })
}
