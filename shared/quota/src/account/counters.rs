use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::counter::{Counter, Hold};
use super::{Amounts, CAPACITY, Decision, Per, Rule, Share, Standing, Subject};

/// The counters of an account, by subject and name of the rule.
#[derive(Debug, Clone, Default)]
pub(super) struct Counters {
    pub(super) by_name: BTreeMap<String, Counter>,
    /// The names of budgets that have changed. What open calls hold is known from the calls.
    pub(super) changed_budgets: BTreeSet<String>,
    /// The names of rates that have changed, and of what was swept out.
    pub(super) changed_rates: BTreeSet<String>,
    /// How many there may be before those not in use are swept out.
    sweep_at: usize,
}

/// One rule of one subject, how much is wished of it, and what it has counted.
pub(super) struct Wish<'a> {
    subject: &'a Arc<str>,
    pub(super) rule: &'a Rule,
    name: String,
    quantity: u64,
    counter: Counter,
}

const FIRST_SWEEP: usize = 256;

impl Counters {
    /// The rules of `subjects`, those of `kept` in place of the others. A counter that is named twice counts once.
    pub(super) fn wishes<'a>(
        &mut self,
        now: u64,
        kept: &'a BTreeMap<String, Vec<Rule>>,
        subjects: &'a [Subject],
        amounts: Amounts,
    ) -> Vec<Wish<'a>> {
        let mut wishes: Vec<Wish<'a>> = Vec::with_capacity(subjects.iter().map(|subject| subject.rules.len()).sum());
        for subject in subjects {
            let kept = kept.get(&*subject.name).map_or(&[][..], Vec::as_slice);
            let given = subject.rules.iter().filter(|rule| kept.iter().all(|kept| kept.name != rule.name));
            for rule in kept.iter().chain(given) {
                let name = counter_name(&subject.name, &rule.name);
                if wishes.iter().any(|wish| wish.name == name) {
                    continue;
                }
                let quantity = match rule.per {
                    Per::Moment => amounts.requests.min(1),
                    Per::Seconds(_) | Per::Day | Per::Month => amounts.of(rule.unit),
                };
                let counter = self.follow(now, &name, rule);
                wishes.push(Wish { subject: &subject.name, rule, name, quantity, counter });
            }
        }
        wishes
    }

    /// Takes all wishes or none. `None` if there is no room for the counters.
    pub(super) fn admit(
        &mut self,
        now: u64,
        mut wishes: Vec<Wish<'_>>,
        holding: bool,
    ) -> Option<(Decision, Vec<Share>)> {
        self.make_room(now, &mut wishes)?;
        let allowed = wishes.iter().all(|wish| wish.is_admitted(now));
        let mut shares = Vec::new();
        if allowed && holding {
            shares.reserve_exact(wishes.len());
        }
        let mut standings = Vec::with_capacity(wishes.len());
        for mut wish in wishes {
            if allowed {
                let hold = wish.counter.take(wish.quantity, holding, now);
                // What open calls hold of a budget is kept with them.
                if !holding || matches!(hold, Hold::Rate { .. }) {
                    self.change(&wish.name, wish.counter);
                }
                self.put(&wish.name, wish.counter);
                standings.push(wish.standing(now));
                if holding {
                    let (unit, reserved) = (wish.rule.unit, wish.quantity);
                    shares.push(Share { counter: wish.name, unit, reserved, hold });
                }
            } else {
                standings.push(wish.standing(now));
            }
        }
        Some((Decision { allowed, standings }, shares))
    }

    /// Charges a share as `used`. `expired` if it was charged as reserved before.
    pub(super) fn settle(&mut self, share: &Share, used: u64, expired: bool, now: u64) {
        let Share { counter: name, reserved, hold, .. } = share;
        let mut counter = self.by_name.get(name).copied().unwrap_or_else(|| Counter::of(hold, now));
        counter.settle(hold, *reserved, used, expired, now);
        self.put(name, counter);
        self.change(name, counter);
    }

    /// Adds to what was spent. Whether there is such a counter in use.
    pub(super) fn adjust(&mut self, now: u64, subject: &str, rule: &str, by: i64) -> bool {
        let name = counter_name(subject, rule);
        let counter = self.by_name.get_mut(&name).filter(|counter| !counter.is_idle(now));
        let Some(counter) = counter else { return false };
        counter.adjust(by);
        let counter = *counter;
        self.change(&name, counter);
        true
    }

    pub(super) fn rewind(&mut self, delta: u64) {
        for (name, counter) in &mut self.by_name {
            counter.rewind(delta);
            if matches!(counter, Counter::Rate { .. }) {
                self.changed_rates.insert(name.clone());
            }
        }
    }

    pub(super) fn are_idle(&self, now: u64) -> bool {
        self.by_name.values().all(|counter| counter.is_idle(now))
    }

    /// The counter at the limit and in the period of `rule`; an untouched one if there is none.
    fn follow(&mut self, now: u64, name: &str, rule: &Rule) -> Counter {
        let Some(counter) = self.by_name.get_mut(name) else { return Counter::new(rule, now) };
        let (changed, counter) = (counter.follow(rule, now), *counter);
        if changed {
            self.change(name, counter);
        }
        counter
    }

    /// Sweeps out what is idle, when there is much of it. `None` if there are too many all the same.
    fn make_room(&mut self, now: u64, wishes: &mut [Wish<'_>]) -> Option<()> {
        if self.by_name.len() + wishes.len() > self.sweep_at.max(FIRST_SWEEP) {
            for (name, _) in self.by_name.extract_if(.., |_, counter| counter.is_idle(now)) {
                self.changed_budgets.remove(&name);
                self.changed_rates.insert(name);
            }
            self.sweep_at = ((self.by_name.len() + wishes.len()) * 2).min(CAPACITY);
            for wish in wishes.iter_mut() {
                let counter = self.by_name.get(&wish.name);
                wish.counter = counter.copied().unwrap_or_else(|| Counter::new(wish.rule, now));
            }
        }
        (self.by_name.len() + wishes.len() <= CAPACITY).then_some(())
    }

    /// Without an allocation where it is there already, as is the next.
    fn put(&mut self, name: &str, counter: Counter) {
        match self.by_name.get_mut(name) {
            Some(there) => *there = counter,
            None => drop(self.by_name.insert(name.to_owned(), counter)),
        }
    }

    fn change(&mut self, name: &str, counter: Counter) {
        let changed = match counter {
            Counter::Budget { .. } => &mut self.changed_budgets,
            Counter::Rate { .. } => &mut self.changed_rates,
            Counter::Open { .. } => return,
        };
        if !changed.contains(name) {
            changed.insert(name.to_owned());
        }
    }
}

impl Wish<'_> {
    fn is_admitted(&self, now: u64) -> bool {
        self.counter.admits(self.rule, self.quantity, now)
    }

    fn standing(&self, now: u64) -> Standing {
        self.counter.standing(self.subject, self.rule, self.quantity, now)
    }
}

/// Where the wishes stand, and whether all could be taken.
pub(super) fn look(now: u64, wishes: &[Wish<'_>]) -> Decision {
    Decision {
        allowed: wishes.iter().all(|wish| wish.is_admitted(now)),
        standings: wishes.iter().map(|wish| wish.standing(now)).collect(),
    }
}

fn counter_name(subject: &str, rule: &str) -> String {
    [subject, " ", rule].concat()
}
