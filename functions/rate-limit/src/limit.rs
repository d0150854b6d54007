use std::sync::Arc;

use limits::Level;
use problem::{Problem, kinds};
use quota::account::{Per, Rule, Unit};
use serde::{Deserialize, Serialize};

/// A limit as it is sent and stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// What is counted.
    pub unit: Unit,
    /// How long what was counted stays.
    pub window: Window,
    /// How much.
    #[serde(rename = "limit")]
    pub most: u64,
}

/// `{"seconds": n}`, `"day"`, `"month"` or `"concurrent"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// A rate over so many seconds, which may go in one burst.
    Seconds(u64),
    /// A budget, until midnight UTC.
    Day,
    /// A budget, until the month's end in UTC.
    Month,
    /// At the same time.
    Concurrent,
}

/// The largest limit: the largest integer of a structured field (RFC 9651 section 3.3.1).
pub const MOST: u64 = 999_999_999_999_999;
/// The longest rate, in seconds: 31 days.
const LONGEST: u64 = 31 * 86_400;
/// The most limits of one subject.
pub const MOST_LIMITS: usize = 16;

impl Limit {
    /// The rule that the ledger keeps, by its name at `level`.
    pub fn rule(self, level: Level) -> Rule {
        limits::rule(level, self.unit, self.window.into(), self.most)
    }

    /// What is wrong with it: where within it, and what would be right.
    pub fn fault(self) -> Option<(&'static str, String)> {
        match self.window {
            _ if self.most > MOST => Some(("/limit", format!("must be at most {MOST}"))),
            Window::Seconds(seconds) if !(1..=LONGEST).contains(&seconds) => {
                Some(("/window/seconds", format!("must be 1 to {LONGEST}")))
            }
            Window::Seconds(_) if self.most == 0 => {
                Some(("/limit", "must be at least 1 in so many seconds; with `day` or `month` it may be 0".into()))
            }
            Window::Concurrent if self.unit != Unit::Requests => {
                Some(("/window", "`concurrent` is for requests alone".into()))
            }
            _ => None,
        }
    }
}

/// 400 with every place where `limits` are wrong: each by itself, too many, or two of one kind.
pub fn check(limits: &[Limit]) -> Result<(), Problem> {
    if limits.len() > MOST_LIMITS {
        let detail = format!("must have at most {MOST_LIMITS}");
        return Err(Problem::new(kinds::INVALID_REQUEST).at("/limits", detail));
    }
    let mut names: Vec<Arc<str>> = Vec::new();
    let mut faults = Vec::new();
    for (index, limit) in limits.iter().enumerate() {
        let name = limit.rule(Level::Org).name;
        if let Some((place, detail)) = limit.fault() {
            faults.push((format!("/limits/{index}{place}"), detail));
        } else if names.contains(&name) {
            faults
                .push((format!("/limits/{index}"), "there is one before it with this unit and kind of window".into()));
        }
        names.push(name);
    }
    reject(faults)
}

/// 400 with each place and what is wrong there, if there are any.
pub fn reject(faults: Vec<(String, String)>) -> Result<(), Problem> {
    if faults.is_empty() {
        return Ok(());
    }
    let problem = Problem::new(kinds::INVALID_REQUEST);
    Err(faults.into_iter().fold(problem, |problem, (pointer, detail)| problem.at(pointer, detail)))
}

impl From<Window> for Per {
    fn from(window: Window) -> Self {
        match window {
            Window::Seconds(seconds) => Self::Seconds(seconds),
            Window::Day => Self::Day,
            Window::Month => Self::Month,
            Window::Concurrent => Self::Moment,
        }
    }
}

impl From<Per> for Window {
    fn from(per: Per) -> Self {
        match per {
            Per::Seconds(seconds) => Self::Seconds(seconds),
            Per::Day => Self::Day,
            Per::Month => Self::Month,
            Per::Moment => Self::Concurrent,
        }
    }
}
