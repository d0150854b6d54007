use std::sync::Arc;

use quota::account::{Standing, Unit};
use serde::Serialize;

use crate::in_force::InForce;
use crate::limit::Window;

/// A limit in force, as it is told.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// Whose it is: `key`, `user`, `org`.
    subject: String,
    name: Arc<str>,
    unit: Unit,
    window: Window,
    limit: u64,
    remaining: u64,
    /// Rounded up; 0 when all of it is there, and for what comes back when a call ends.
    resets_in_seconds: u64,
    source: Source,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Source {
    /// The edge's configuration, by the organization's tier.
    Default,
    /// The organization.
    Override,
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// All limits in force, in their order.
pub fn show(in_force: &InForce) -> Vec<Shown> {
    in_force.standings.iter().map(|standing| shown(standing, in_force.is_override(standing))).collect()
}

fn shown(standing: &Standing, is_override: bool) -> Shown {
    let level = standing.subject.split(':').next().unwrap_or_default();
    Shown {
        subject: level.to_owned(),
        name: standing.rule.name.clone(),
        unit: standing.rule.unit,
        window: standing.rule.per.into(),
        limit: standing.rule.limit,
        remaining: standing.remaining,
        resets_in_seconds: standing.reset_after.div_ceil(NANOS_PER_SECOND),
        source: if is_override { Source::Override } else { Source::Default },
    }
}
