//! What the scripts answer, and what follows from it.

use std::sync::Arc;

use platform::StoreError;
use quota::Take;
use quota::account::{Counter, Decision, Outcome, Rule, Standing};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Reply;

/// Of operations on an account.
#[derive(Debug, Deserialize)]
pub(crate) struct Applied {
    now: String,
    outcomes: Vec<Told>,
    /// How many rows wait for the database.
    pub(crate) rows: u64,
}

/// Of takes from a shard.
#[derive(Debug, Deserialize)]
pub(crate) struct Taken {
    now: String,
    allowed: bool,
    #[serde(default)]
    arrivals: Vec<String>,
}

/// The outcome of one operation.
#[derive(Debug, Deserialize)]
struct Told {
    #[serde(default)]
    allowed: bool,
    refused: Option<String>,
    #[serde(default)]
    wishes: Vec<Wish>,
}

/// The subject, the rule in force as JSON, how much of it, and what has been counted by it.
#[derive(Debug, Deserialize)]
struct Wish(Arc<str>, String, String, String);

impl Applied {
    /// One per operation.
    pub(crate) fn outcomes(&self) -> Result<Vec<Outcome>, StoreError> {
        let now = self.now.parse().ok();
        let outcomes = now.and_then(|now| self.outcomes.iter().map(|told| told.outcome(now)).collect());
        outcomes.ok_or_else(unreadable)
    }
}

impl Taken {
    /// Where the policies of `takes` stand then.
    pub(crate) fn decision(&self, takes: &[Take]) -> Result<quota::Decision, StoreError> {
        let standings = takes.iter().zip(&self.arrivals).map(|(take, arrival)| {
            let reset_after = arrival.parse::<u64>().ok()?.checked_sub(self.now.parse().ok()?)?;
            Some(quota::Standing::of(take, reset_after))
        });
        let standings: Option<Vec<_>> = standings.collect();
        let standings = standings.filter(|standings| standings.len() == takes.len()).ok_or_else(unreadable)?;
        Ok(quota::Decision { allowed: self.allowed, standings })
    }
}

impl Told {
    fn outcome(&self, now: u64) -> Option<Outcome> {
        match self.refused.as_deref() {
            Some("full") => Some(Outcome::Full),
            Some("unknown") => Some(Outcome::Unknown),
            Some(_) => None,
            None => {
                let standings = self.wishes.iter().map(|wish| wish.standing(now)).collect::<Option<_>>()?;
                Some(Outcome::Decided(Decision { allowed: self.allowed, standings }))
            }
        }
    }
}

impl Wish {
    fn standing(&self, now: u64) -> Option<Standing> {
        let Self(subject, rule, quantity, counted) = self;
        let rule: Rule = serde_json::from_str(rule).ok()?;
        Some(counter(counted)?.standing(subject, &rule, quantity.parse().ok()?, now))
    }
}

/// A counter as the scripts write it: its kind, and its numbers in the order of [`Counter`].
pub(crate) fn counter(text: &str) -> Option<Counter> {
    let (kind, numbers) = text.split_once(' ')?;
    let numbers: Vec<u64> = numbers.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
    match (kind, &*numbers) {
        ("rate", [arrival, spacing]) => Some(Counter::Rate { arrival: *arrival, spacing: *spacing }),
        ("budget", [start, spent, held]) => Some(Counter::Budget { start: *start, spent: *spent, held: *held }),
        ("open", [held]) => Some(Counter::Open { held: *held }),
        _ => None,
    }
}

/// The one text of a reply, as JSON.
pub(crate) fn read<T: DeserializeOwned>(reply: &[Reply]) -> Result<T, StoreError> {
    match reply {
        [Reply::Text(text)] => serde_json::from_str(text).map_err(|_| unreadable()),
        _ => Err(unreadable()),
    }
}

pub(crate) fn unreadable() -> StoreError {
    StoreError::Refused("a script's answer cannot be read".into())
}
