use std::time::Duration;

use platform::Configuration;
use quota::account::{Per, Rule, Unit};
use token::Tier;

use crate::names::{Level, rule};

/// The limits that hold where an organization has set none, and how long a decision may take.
#[derive(Debug, Clone)]
pub struct Config {
    user_per_hour: u64,
    org_per_hour: u64,
    pub(crate) deadline: Duration,
}

const HOUR: Per = Per::Seconds(3600);
const USER_PER_HOUR: u64 = 100;
const ORG_PER_HOUR: u64 = 1000;
const DEADLINE_MS: u64 = 50;
/// The largest integer of a structured field (RFC 9651 section 3.3.1).
const MOST: u64 = 999_999_999_999_999;

impl Config {
    /// Reads `LLM_USER_REQUESTS_PER_HOUR` (100) and `LLM_ORG_REQUESTS_PER_HOUR` (1,000), for tier T1; T2 has ten times
    /// as much and T3 a hundred times. `LEDGER_DEADLINE_MS` (50) bounds what a request waits for a decision.
    pub async fn read(read: &mut Configuration<'_>) -> Option<Self> {
        let user_per_hour = number(read, "LLM_USER_REQUESTS_PER_HOUR", USER_PER_HOUR, MOST / 100).await;
        let org_per_hour = number(read, "LLM_ORG_REQUESTS_PER_HOUR", ORG_PER_HOUR, MOST / 100).await;
        let deadline = number(read, "LEDGER_DEADLINE_MS", DEADLINE_MS, 10_000).await;
        let deadline = Duration::from_millis(deadline?);
        Some(Self { user_per_hour: user_per_hour?, org_per_hour: org_per_hour?, deadline })
    }

    /// The same limits, for what may wait longer for the ledger: at least `deadline`.
    #[must_use]
    pub fn patient(&self, deadline: Duration) -> Self {
        Self { deadline: self.deadline.max(deadline), ..self.clone() }
    }

    /// A user's own limit on LLM requests.
    pub(crate) fn user(&self, tier: Tier) -> Rule {
        rule(Level::User, Unit::Requests, HOUR, self.user_per_hour * factor(tier))
    }

    /// That of the whole organization.
    pub(crate) fn org(&self, tier: Tier) -> Rule {
        rule(Level::Org, Unit::Requests, HOUR, self.org_per_hour * factor(tier))
    }
}

fn factor(tier: Tier) -> u64 {
    match tier {
        Tier::T1 => 1,
        Tier::T2 => 10,
        Tier::T3 => 100,
    }
}

async fn number(read: &mut Configuration<'_>, name: &str, default: u64, most: u64) -> Option<u64> {
    let Some(text) = read.optional(name).await else { return Some(default) };
    match text.parse() {
        Ok(value) if (1..=most).contains(&value) => Some(value),
        _ => read.fault(name, &format!("must be a whole number from 1 to {most}")),
    }
}
