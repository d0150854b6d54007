use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::period::{end, period};
use super::{Per, Rule, Standing};

/// What one rule has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counter {
    /// A rate.
    Rate {
        /// The theoretical arrival time of GCRA (ITU-T I.371) in nanoseconds since the epoch.
        arrival: u64,
        /// The nanoseconds per unit by which it was counted.
        spacing: u64,
    },
    /// A budget. What open calls hold is not written down; it is known from them.
    Budget {
        /// Its period's first second.
        start: u64,
        /// What was spent in it.
        spent: u64,
        /// What open calls hold of it.
        #[serde(skip)]
        held: u64,
    },
    /// Calls at the same time.
    Open {
        /// How many there are.
        #[serde(skip)]
        held: u64,
    },
}

/// What a call holds of one counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Hold {
    Rate { spacing: u64 },
    Budget { start: u64 },
    Open,
}

const SECOND: u64 = 1_000_000_000;
/// When a call ends nobody knows: a second is when it is worth asking again.
const ASK_AGAIN: u64 = SECOND;

impl Counter {
    /// An untouched one for `rule`.
    pub(super) fn new(rule: &Rule, now: u64) -> Self {
        match rule.per {
            Per::Seconds(_) => Self::Rate { arrival: now, spacing: rule.spacing() },
            Per::Day | Per::Month => {
                let start = period(rule.per, now / SECOND).map_or(0, |(start, _)| start);
                Self::Budget { start, spent: 0, held: 0 }
            }
            Per::Moment => Self::Open { held: 0 },
        }
    }

    /// What is left of a counter of which only a hold is known.
    pub(super) fn of(hold: &Hold, now: u64) -> Self {
        match hold {
            Hold::Rate { spacing } => Self::Rate { arrival: now, spacing: *spacing },
            Hold::Budget { start } => Self::Budget { start: *start, spent: 0, held: 0 },
            Hold::Open => Self::Open { held: 0 },
        }
    }

    /// Brings the counter to the limit and the period of `rule` at `now`: what was taken stays taken, until its period is
    /// over. Whether that changed it.
    pub(super) fn follow(&mut self, rule: &Rule, now: u64) -> bool {
        match (&mut *self, Self::new(rule, now)) {
            (Self::Rate { spacing, .. }, Self::Rate { spacing: wanted, .. }) if *spacing == wanted => false,
            (Self::Rate { arrival, spacing }, Self::Rate { spacing: wanted, .. }) => {
                let taken = scale(arrival.saturating_sub(now), wanted, *spacing);
                (*arrival, *spacing) = (now.saturating_add(taken), wanted);
                true
            }
            (Self::Budget { start, .. }, Self::Budget { start: present, .. }) if *start >= present => false,
            (Self::Open { .. }, Self::Open { .. }) => false,
            (_, fresh) => {
                *self = fresh;
                true
            }
        }
    }

    /// Whether `quantity` more would keep to `rule`. Both are of the same kind.
    pub(super) fn admits(&self, rule: &Rule, quantity: u64, now: u64) -> bool {
        match self {
            Self::Rate { arrival, spacing } => {
                let needed = spacing.checked_mul(quantity);
                let arrival = needed.and_then(|needed| (*arrival).max(now).checked_add(needed));
                arrival.is_some_and(|arrival| arrival - now <= rule.burst())
            }
            Self::Budget { spent, held, .. } => {
                let total = spent.saturating_add(*held).saturating_add(quantity);
                total <= rule.limit
            }
            Self::Open { held } => held.saturating_add(quantity) <= rule.limit,
        }
    }

    /// Takes `quantity`, for good or to be held.
    pub(super) fn take(&mut self, quantity: u64, holding: bool, now: u64) -> Hold {
        match self {
            Self::Rate { arrival, spacing } => {
                *arrival = (*arrival).max(now).saturating_add(spacing.saturating_mul(quantity));
                Hold::Rate { spacing: *spacing }
            }
            Self::Budget { start, spent, held } => {
                let sum = if holding { held } else { spent };
                *sum = sum.saturating_add(quantity);
                Hold::Budget { start: *start }
            }
            Self::Open { held } => {
                *held = held.saturating_add(if holding { quantity } else { 0 });
                Hold::Open
            }
        }
    }

    /// Holds again what a call that was read from storage held.
    pub(super) fn hold(&mut self, hold: &Hold, quantity: u64) {
        match (self, hold) {
            (Self::Budget { start, held, .. }, Hold::Budget { start: of }) if start == of => {
                *held = held.saturating_add(quantity);
            }
            // A new period, in which nothing has been spent yet.
            (counter @ Self::Budget { .. }, Hold::Budget { start: of }) if counter.started_before(*of) => {
                *counter = Self::Budget { start: *of, spent: 0, held: quantity };
            }
            (Self::Open { held }, Hold::Open) => *held = held.saturating_add(quantity),
            _ => (), // held of a rate is taken already, and of a period that is over nothing
        }
    }

    /// Of the `reserved` that a call held, it used `actual`. `expired` if that had been charged as used already.
    pub(super) fn settle(&mut self, hold: &Hold, reserved: u64, actual: u64, expired: bool, now: u64) {
        match (self, hold) {
            (Self::Rate { arrival, spacing }, Hold::Rate { .. }) if actual > reserved => {
                *arrival = (*arrival).max(now).saturating_add(spacing.saturating_mul(actual - reserved));
            }
            (Self::Rate { arrival, spacing }, Hold::Rate { .. }) => {
                *arrival = arrival.saturating_sub(spacing.saturating_mul(reserved - actual));
            }
            (Self::Budget { start, spent, held }, Hold::Budget { start: of }) if start == of => {
                let sum = if expired { &mut *spent } else { held };
                *sum = sum.saturating_sub(reserved);
                *spent = spent.saturating_add(actual);
            }
            (Self::Open { held }, Hold::Open) if !expired => *held = held.saturating_sub(reserved),
            _ => (), // the budget's period is over
        }
    }

    /// Adds to what was spent, or takes away from it.
    pub(super) fn adjust(&mut self, by: i64) {
        let amount = by.unsigned_abs();
        match self {
            Self::Rate { arrival, spacing } => {
                let time = spacing.saturating_mul(amount);
                *arrival = if by < 0 { arrival.saturating_sub(time) } else { arrival.saturating_add(time) };
            }
            Self::Budget { spent, .. } => *spent = spent.saturating_add_signed(by),
            Self::Open { .. } => (),
        }
    }

    /// The clock went back by `delta`: what is counted in time goes with it.
    pub(super) fn rewind(&mut self, delta: u64) {
        if let Self::Rate { arrival, .. } = self {
            *arrival = arrival.saturating_sub(delta);
        }
    }

    /// Whether nothing is lost if it is forgotten.
    pub fn is_idle(&self, now: u64) -> bool {
        match self {
            Self::Rate { arrival, .. } => *arrival <= now,
            Self::Budget { start, spent, held } => (*spent == 0 && *held == 0) || is_long_ago(*start, now),
            Self::Open { held } => *held == 0,
        }
    }

    fn started_before(&self, second: u64) -> bool {
        matches!(self, Self::Budget { start, .. } if *start < second)
    }

    /// For comparison: with what is held.
    pub fn view(&self) -> Value {
        match self {
            Self::Rate { arrival, spacing } => json!({"arrival": arrival, "spacing": spacing}),
            Self::Budget { start, spent, held } => json!({"start": start, "spent": spent, "held": held}),
            Self::Open { held } => json!({"held": held}),
        }
    }

    /// Where `rule`, by which it was counted, stands for whoever wishes `quantity` at `now`.
    pub fn standing(&self, subject: &Arc<str>, rule: &Rule, quantity: u64, now: u64) -> Standing {
        let (remaining, reset_after, retry_after) = match self {
            Self::Rate { arrival, spacing } => {
                let (burst, reset_after) = (rule.burst(), arrival.saturating_sub(now));
                let needed = spacing.saturating_mul(quantity);
                let retry_after = reset_after.saturating_add(needed).saturating_sub(burst);
                (burst.saturating_sub(reset_after) / (*spacing).max(1), reset_after, retry_after)
            }
            Self::Budget { start, spent, held } => {
                let remaining = rule.limit.saturating_sub(spent.saturating_add(*held));
                let until_end = end(rule.per, *start).saturating_mul(SECOND).saturating_sub(now);
                (remaining, until_end, if self.admits(rule, quantity, now) { 0 } else { until_end })
            }
            Self::Open { held } => {
                let retry_after = if self.admits(rule, quantity, now) { 0 } else { ASK_AGAIN };
                (rule.limit.saturating_sub(*held), 0, retry_after)
            }
        };
        Standing {
            subject: Arc::clone(subject),
            remaining,
            reset_after,
            retry_after: (quantity <= rule.limit).then_some(retry_after),
            rule: rule.clone(),
        }
    }
}

impl Standing {
    /// Nanoseconds until more can be taken than now: 0 if all of it is there.
    pub fn more_after(&self) -> u64 {
        match self.rule.per {
            Per::Seconds(_) => {
                let (spacing, burst) = (self.rule.spacing(), self.rule.burst());
                let needed = spacing.saturating_mul(self.remaining.saturating_add(1));
                if self.reset_after == 0 { 0 } else { self.reset_after.saturating_add(needed).saturating_sub(burst) }
            }
            Per::Day | Per::Month => {
                if self.remaining == self.rule.limit {
                    0
                } else {
                    self.reset_after
                }
            }
            Per::Moment => 0,
        }
    }
}

/// No budget lasts longer than a month.
fn is_long_ago(start: u64, now: u64) -> bool {
    start.saturating_add(32 * 86_400) < now / SECOND
}

/// `time` as so many units of `from` nanoseconds, at `to` nanoseconds each; rounded up.
fn scale(time: u64, to: u64, from: u64) -> u64 {
    let scaled = (u128::from(time) * u128::from(to)).div_ceil(u128::from(from.max(1)));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}
