//! Rate limits as a pure function over a serialisable state: GCRA (ITU-T I.371) in integer nanoseconds.
//!
//! [`State`] holds rates alone, for whoever is not known yet; [`account::Account`] what an organization may use and
//! spend.
//!
//! A host keeps one [`State`] per shard and lets one caller at a time change it. All policies of a call are taken
//! together or none is.

pub mod account;
#[cfg(feature = "samples")]
pub mod samples;
mod shard;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use shard::shard;

/// `limit` per `window`, all of which may come as one burst.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The name shown to callers in the `RateLimit` fields.
    pub name: String,
    /// Units per window; at least 1.
    pub limit: u64,
    /// The window in seconds; at least 1.
    pub window_seconds: u64,
}

/// A wish to take `quantity` units of `policy` from the counter called `subject`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Take {
    /// Whose counter within the shard.
    pub subject: String,
    /// The limit in force.
    pub policy: Policy,
    /// How many units.
    pub quantity: u64,
}

/// What was decided, and where each policy stands afterwards, in the order of the takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Whether everything was taken; otherwise nothing was.
    pub allowed: bool,
    /// One standing per take.
    pub standings: Vec<Standing>,
}

/// Where one policy stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The policy.
    pub policy: Policy,
    /// Units that could be taken now.
    pub remaining: u64,
    /// Nanoseconds until the whole limit is there again.
    pub reset_after: u64,
    /// Nanoseconds until this take could pass: 0 if it can now, `None` if it never can (more than the limit).
    pub retry_after: Option<u64>,
}

/// The counters of one shard: per subject the theoretical arrival time, in nanoseconds since the epoch.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct State {
    arrivals: BTreeMap<String, u64>,
    /// None of them is idle before: a shard that is full is not searched at every take.
    #[serde(skip)]
    first_idle: u64,
}

/// How many counters one shard holds, so that its state stays below 2 MiB as JSON while subjects have at most 150 bytes.
pub const MOST_COUNTERS: usize = 10_000;
/// Stands before a policy's name in the name of the counter that subjects share for whom there is no room.
const OVERFLOW: &str = "overflow ";
const NANOS_PER_SECOND: u64 = 1_000_000_000;

impl Decision {
    /// Nanoseconds until the same takes could all pass: `None` if they never can.
    pub fn retry_after(&self) -> Option<u64> {
        self.standings.iter().map(|standing| standing.retry_after).try_fold(0, |longest, each| Some(longest.max(each?)))
    }
}

impl State {
    /// Takes all of `takes` at `now` (nanoseconds since the epoch), or none of them.
    ///
    /// A clock that steps back grants nothing: arrivals only move forward. When 10,000 counters are in use, subjects that have
    /// none share one per policy: whoever comes under ever new names is limited as one, and with them whoever else is new.
    pub fn take(&mut self, now: u64, takes: &[Take]) -> Decision {
        self.take_within(MOST_COUNTERS, now, takes)
    }

    /// The same with room for `most` counters, besides the shared ones.
    pub fn take_within(&mut self, most: usize, now: u64, takes: &[Take]) -> Decision {
        self.sweep(now);
        let counters = self.counters(most, takes);
        let each = || takes.iter().zip(&counters);
        let arrivals: Vec<_> = each().map(|(take, counter)| self.arrival_after(now, counter, take)).collect();
        let allowed = arrivals.iter().all(Option::is_some);
        if allowed {
            for (counter, arrival) in counters.iter().zip(arrivals.into_iter().flatten()) {
                self.arrivals.insert(counter.to_string(), arrival);
                self.first_idle = self.first_idle.min(arrival);
            }
        }
        Decision { allowed, standings: each().map(|(take, counter)| self.standing(now, counter, take)).collect() }
    }

    /// Whether no counter is in use at `now`, so that the state need not be kept.
    pub fn is_idle(&self, now: u64) -> bool {
        self.arrivals.values().all(|arrival| *arrival <= now)
    }

    /// Drops the counters that are not in use.
    fn sweep(&mut self, now: u64) {
        if self.first_idle <= now {
            self.arrivals.retain(|_, arrival| *arrival > now);
            self.first_idle = self.arrivals.values().copied().min().unwrap_or(u64::MAX);
        }
    }

    /// The counter of each take: the subject's own if it is in use or there is room for it.
    fn counters<'t>(&self, most: usize, takes: &'t [Take]) -> Vec<Cow<'t, str>> {
        let room = most.saturating_sub(self.arrivals.len());
        let mut new = BTreeSet::new();
        let counter = |take: &'t Take| {
            let subject = take.subject.as_str();
            let has_one = self.arrivals.contains_key(subject) || new.contains(subject);
            if !has_one && new.len() >= room {
                return Cow::Owned(format!("{OVERFLOW}{}", take.policy.name));
            }
            if !has_one {
                new.insert(subject);
            }
            Cow::Borrowed(subject)
        };
        takes.iter().map(counter).collect()
    }

    /// The arrival time if `take` passes at `now`.
    fn arrival_after(&self, now: u64, counter: &str, take: &Take) -> Option<u64> {
        let needed = take.policy.interval().checked_mul(take.quantity)?;
        let arrival = self.arrival(now, counter).checked_add(needed)?;
        (arrival - now <= take.policy.burst()).then_some(arrival)
    }

    fn arrival(&self, now: u64, counter: &str) -> u64 {
        self.arrivals.get(counter).copied().unwrap_or(0).max(now)
    }

    fn standing(&self, now: u64, counter: &str, take: &Take) -> Standing {
        Standing::of(take, self.arrival(now, counter) - now)
    }
}

impl Standing {
    /// Where the policy of `take` stands when its whole limit is there again after so many nanoseconds.
    pub fn of(take: &Take, reset_after: u64) -> Self {
        let (interval, burst) = (take.policy.interval(), take.policy.burst());
        let needed = interval.saturating_mul(take.quantity);
        Self {
            remaining: burst.saturating_sub(reset_after) / interval,
            reset_after,
            retry_after: (take.quantity <= take.policy.limit)
                .then(|| reset_after.saturating_add(needed).saturating_sub(burst)),
            policy: take.policy.clone(),
        }
    }
}

impl Policy {
    /// Nanoseconds per unit, rounded up so that the limit is never exceeded.
    pub fn interval(&self) -> u64 {
        let window = self.window_seconds.max(1).saturating_mul(NANOS_PER_SECOND);
        window.div_ceil(self.limit.max(1))
    }

    /// What the whole limit at once comes to, in nanoseconds.
    pub fn burst(&self) -> u64 {
        self.interval().saturating_mul(self.limit.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = NANOS_PER_SECOND;

    fn take(subject: &str, limit: u64, window_seconds: u64, quantity: u64) -> Take {
        let policy = Policy { name: "test".into(), limit, window_seconds };
        Take { subject: subject.into(), policy, quantity }
    }

    #[test]
    fn follows_the_published_vector_of_five_per_ten_seconds() {
        let mut state = State::default();
        let mut at = |tenths: u64, quantity| {
            let decision = state.take(tenths * SECOND / 10, &[take("a", 5, 10, quantity)]);
            let standing = &decision.standings[0];
            (decision.allowed, standing.remaining, standing.retry_after)
        };
        for remaining in [4, 3, 2, 1] {
            assert_eq!(at(0, 1).1, remaining);
        }
        assert_eq!((at(0, 1).0, at(0, 1)), (true, (false, 0, Some(2 * SECOND))));
        assert_eq!(at(19, 1), (false, 0, Some(SECOND / 10)));
        assert_eq!((at(20, 1).0, at(20, 1)), (true, (false, 0, Some(2 * SECOND))));
        assert_eq!((at(120, 5).0, at(120, 1)), (true, (false, 0, Some(2 * SECOND))));
    }

    #[test]
    fn takes_from_every_policy_or_from_none() {
        let mut state = State::default();
        let both = [take("user", 5, 10, 1), take("org", 1, 10, 1)];
        assert!(state.take(SECOND, &both).allowed);
        assert!(!state.take(SECOND, &both).allowed);
        assert!(state.take(SECOND, &[take("user", 5, 10, 4)]).allowed, "the refused call took nothing");
    }

    #[test]
    fn more_than_the_limit_can_never_pass() {
        let decision = State::default().take(SECOND, &[take("a", 5, 10, 6)]);
        assert_eq!((decision.allowed, decision.retry_after()), (false, None));
    }

    #[test]
    fn a_clock_that_steps_back_grants_nothing() {
        let mut state = State::default();
        assert!(state.take(10_000 * SECOND, &[take("a", 5, 10, 5)]).allowed);
        assert!(!state.take(5_000 * SECOND, &[take("a", 5, 10, 1)]).allowed);
    }

    #[test]
    fn a_million_subjects_stay_within_bounds_and_are_limited_as_one() {
        let mut state = State::default();
        let mut passed = 0;
        for number in 0..1_000_000u64 {
            let now = SECOND + number;
            passed += u64::from(state.take(now, &[take(&format!("{number:x}"), 5, 3600, 1)]).allowed);
            if number % 100_000 == 0 {
                assert!(state.arrivals.len() <= MOST_COUNTERS + 1);
            }
        }
        assert_eq!(passed, u64::try_from(MOST_COUNTERS).unwrap() + 5, "each of the first, and five of all others");
        assert!(serde_json::to_string(&state).unwrap().len() < 2 << 20);
        let known = &[take("1", 5, 3600, 1)];
        assert!(state.take(2 * SECOND, known).allowed, "whoever was there before goes on");
        assert!(state.take(3_700 * SECOND, &[take("late", 5, 3600, 1)]).allowed, "idle ones make room");
        assert_eq!(state.arrivals.len(), 1);
    }

    #[test]
    fn a_full_shard_stays_below_what_a_host_stores_in_one_piece() {
        let mut state = State::default();
        let longest = |number| format!("{number:x>150}");
        for number in 0..20_000 {
            state.take(1_700_000_000 * SECOND, &[take(&longest(number), 5, 86_400, 1)]);
        }
        assert!(serde_json::to_string(&state).unwrap().len() < 2 << 20);
    }

    #[test]
    fn each_policy_has_an_overflow_of_its_own() {
        let mut state = State::default();
        let with = |subject: &str, policy: &str| {
            let mut take = take(subject, 1, 60, 1);
            take.policy.name = policy.into();
            take
        };
        let mut passes = |takes: &[Take]| state.take_within(2, SECOND, takes).allowed;
        assert!(passes(&[with("a", "one"), with("b", "two")]));
        assert!(passes(&[with("c", "one")]) && !passes(&[with("d", "one")]));
        assert!(!passes(&[with("e", "one"), with("f", "two")]), "all or none");
        assert!(passes(&[with("f", "two")]));
        assert!(!passes(&[with("a", "one")]), "its own counter");
    }

    proptest! {
        #[test]
        fn whatever_comes_there_are_no_more_counters_than_there_is_room_for(
            most in 0usize..5,
            steps in prop::collection::vec((0u64..20 * SECOND, prop::collection::vec(("[a-h]", 0usize..3), 0..4)), 1..60),
        ) {
            let (mut state, mut now) = (State::default(), SECOND);
            for (wait, takes) in steps {
                now += wait;
                let takes: Vec<_> = takes.iter().map(|(subject, policy)| {
                    let mut take = take(subject, 2, 10, 1);
                    take.policy.name = policy.to_string();
                    take
                }).collect();
                let decision = state.take_within(most, now, &takes);
                let own = state.arrivals.keys().filter(|name| !name.starts_with(OVERFLOW)).count();
                prop_assert!(own <= most && state.arrivals.len() <= most + 3);
                if let (false, Some(retry)) = (decision.allowed, decision.retry_after()) {
                    prop_assert!(state.clone().take_within(most, now + retry, &takes).allowed);
                }
            }
        }

        #[test]
        fn waiting_exactly_as_told_gets_through(limit in 1u64..50, window in 1u64..4000, steps in prop::collection::vec((0u64..5 * SECOND, 1u64..5), 1..100)) {
            let (mut state, mut now) = (State::default(), SECOND);
            for (wait, quantity) in steps {
                now += wait;
                let wish = [take("a", limit, window, quantity)];
                let decision = state.take(now, &wish);
                if let (false, Some(retry)) = (decision.allowed, decision.retry_after()) {
                    prop_assert!(!state.clone().take(now + retry - 1, &wish).allowed);
                    prop_assert!(state.clone().take(now + retry, &wish).allowed);
                }
            }
        }

        #[test]
        fn no_window_sees_more_than_the_limit_and_its_refill(limit in 1u64..20, steps in prop::collection::vec(0u64..2 * SECOND, 1..200)) {
            let (mut state, mut now, window) = (State::default(), SECOND, 10u64);
            let mut passed = Vec::new();
            for wait in steps {
                now += wait;
                if state.take(now, &[take("a", limit, window, 1)]).allowed { passed.push(now); }
            }
            for (index, start) in passed.iter().enumerate() {
                for (count, end) in passed[index..].iter().enumerate() {
                    let refilled = (end - start) / (window * SECOND).div_ceil(limit);
                    prop_assert!((count as u64) < limit + refilled);
                }
            }
        }
    }
}
