use std::sync::Arc;

use serde::{Deserialize, Serialize};

const SECOND: u64 = 1_000_000_000;

/// A limit on one subject of an account: at most `limit` of `unit` per `per`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Shown to callers in the `RateLimit` fields. Of the rules of one subject no two have the same; a rule that the
    /// account keeps for the subject takes the place of the one of the same name that comes with a request.
    pub name: Arc<str>,
    /// What is counted.
    pub unit: Unit,
    /// How long what was counted stays.
    pub per: Per,
    /// How much; for a rate at least 1.
    pub limit: u64,
}

/// What a rule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Requests.
    Requests,
    /// Tokens in and out.
    Tokens,
    /// Billionths of a US dollar.
    NanoUsd,
}

/// How long what was counted stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// A rate: it comes back evenly over so many seconds (at least 1), and all of it may go in one burst.
    Seconds(u64),
    /// A budget, until midnight UTC.
    Day,
    /// A budget, until the month's end in UTC.
    Month,
    /// At the same time: it comes back when the call ends.
    Moment,
}

/// How much of each unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Amounts {
    /// Requests.
    pub requests: u64,
    /// Tokens in and out.
    pub tokens: u64,
    /// Billionths of a US dollar.
    pub nano_usd: u64,
}

impl Rule {
    /// Nanoseconds per unit of a rate, rounded up so that the limit is never exceeded.
    pub fn spacing(&self) -> u64 {
        let seconds = if let Per::Seconds(seconds) = self.per { seconds.max(1) } else { 1 };
        seconds.saturating_mul(SECOND).div_ceil(self.limit.max(1))
    }

    /// What the whole limit of a rate at once comes to, in nanoseconds.
    pub fn burst(&self) -> u64 {
        self.spacing().saturating_mul(self.limit.max(1))
    }
}

impl Amounts {
    /// One request, and nothing else.
    pub const ONE_REQUEST: Self = Self { requests: 1, tokens: 0, nano_usd: 0 };

    /// How much of `unit`.
    pub fn of(&self, unit: Unit) -> u64 {
        match unit {
            Unit::Requests => self.requests,
            Unit::Tokens => self.tokens,
            Unit::NanoUsd => self.nano_usd,
        }
    }

    /// Whether this is nothing at all: such a wish looks and takes nothing.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}
