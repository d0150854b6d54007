use quota::account::{Per, Rule, Unit};

/// Whose limit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// An API key.
    Key,
    /// A user.
    User,
    /// An organization.
    Org,
}

/// The limit on `unit` per `per` at `level`. Its name is made of these, so that there is one of each kind: requests by
/// rate are called after the level alone, `user`; others say what they count, `org-nano-usd-month`.
pub fn rule(level: Level, unit: Unit, per: Per, limit: u64) -> Rule {
    let level = match level {
        Level::Key => "key",
        Level::User => "user",
        Level::Org => "org",
    };
    let unit_name = match (unit, per) {
        (Unit::Requests, Per::Moment) => "-concurrent",
        (Unit::Requests, _) => "",
        (Unit::Tokens, _) => "-tokens",
        (Unit::NanoUsd, _) => "-nano-usd",
    };
    let per_name = match per {
        Per::Seconds(_) | Per::Moment => "",
        Per::Day => "-day",
        Per::Month => "-month",
    };
    Rule { name: format!("{level}{unit_name}{per_name}").into(), unit, per, limit }
}
