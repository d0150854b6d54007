//! `POST /v1/limits/check`

use http::request::Parts;
use platform::{Body, Context, Response};
use problem::{Problem, kinds};
use quota::account::{Amounts, Operation, Rule, Standing, Subject, Unit};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::limit::{Limit, MOST, MOST_LIMITS, Window, reject};
use crate::{RateLimit, answer, read};

/// The scope of services that may take.
const SCOPE: &str = "limits:check";
/// The longest name of a subject, in bytes.
const LONGEST_SUBJECT: usize = 120;
/// The longest name of a limit, in bytes.
const LONGEST_NAME: usize = 40;
const NANOS_PER_MILLI: u64 = 1_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// `org:<id>` or `user:<id>`.
    account: String,
    /// Who is counted within the account.
    subject: String,
    /// Limits of the service's own, besides those that the organization has set for the subject.
    #[serde(default)]
    limits: Vec<Named>,
    amounts: Quantities,
}

/// A limit with a name, under which it is counted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    unit: Unit,
    window: Window,
    limit: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Quantities {
    requests: u64,
    tokens: u64,
    nano_usd: u64,
}

/// Takes for a service, from all limits of a subject or from none. It is 200 whatever is decided: a 429 would be about the
/// service itself, and its clients would wait by themselves.
pub async fn check(function: &RateLimit, head: &Parts, body: Body, context: &Context) -> Result<Response, Problem> {
    function.authenticator.require_service_scope(&head.headers, SCOPE, context).await?;
    let wish: Wish = read(head, body, context).await?;
    wish.check()?;
    let Wish { account, subject, limits, amounts: Quantities { requests, tokens, nano_usd } } = wish;
    let subject = Subject { name: subject.into(), rules: limits.into_iter().map(Named::rule).collect() };
    let take = Operation::Take { subjects: vec![subject], amounts: Amounts { requests, tokens, nano_usd } };
    let decisions = limits::ask(&function.limits, &function.availability, context, &account, &[take]).await?;
    let decision = decisions.into_iter().next().ok_or(kinds::INTERNAL)?;
    let standings: Vec<_> = decision.standings.iter().map(told).collect();
    let retry_after = if decision.allowed { None } else { decision.retry_after().map(milliseconds) };
    answer(&json!({"allowed": decision.allowed, "retry_after_ms": retry_after, "standings": standings}))
}

fn told(standing: &Standing) -> Value {
    json!({
        "name": standing.rule.name,
        "unit": standing.rule.unit,
        "window": Window::from(standing.rule.per),
        "limit": standing.rule.limit,
        "remaining": standing.remaining,
        "resets_in_seconds": milliseconds(standing.reset_after).div_ceil(1_000),
        "retry_after_ms": standing.retry_after.map(milliseconds),
    })
}

/// Rounded up: who waits that long has waited long enough.
fn milliseconds(nanos: u64) -> u64 {
    nanos.div_ceil(NANOS_PER_MILLI)
}

impl Wish {
    fn check(&self) -> Result<(), Problem> {
        let mut faults = Vec::new();
        let mut fault = |pointer: String, detail: &str| faults.push((pointer, detail.to_owned()));
        if !is_account(&self.account) {
            fault("/account".into(), "must be `org:<id>` or `user:<id>`");
        }
        if !is_word(&self.subject, LONGEST_SUBJECT, |c| c == b':' || c == b'.' || c == b'_') {
            fault("/subject".into(), "must be 1 to 120 of a-z 0-9 : . _ -, such as `user:<id>`");
        }
        if self.limits.len() > MOST_LIMITS {
            fault("/limits".into(), "must have at most 16");
        }
        for (index, limit) in self.limits.iter().enumerate().take(MOST_LIMITS) {
            let place = format!("/limits/{index}");
            if !is_word(&limit.name, LONGEST_NAME, |_| false) || is_the_edge_s(&limit.name) {
                fault(place.clone() + "/name", "must be 1 to 40 of a-z 0-9 -, and not begin with org, user or key");
            } else if self.limits.iter().take(index).any(|before| before.name == limit.name) {
                fault(place.clone() + "/name", "there is one of this name before it");
            }
            if limit.window == Window::Concurrent {
                fault(place.clone() + "/window", "nothing is held here: must be seconds, `day` or `month`");
            } else if let Some((within, detail)) = limit.limit().fault() {
                fault(place + within, &detail);
            }
        }
        let Quantities { requests, tokens, nano_usd } = self.amounts;
        for (name, amount) in [("requests", requests), ("tokens", tokens), ("nano_usd", nano_usd)] {
            if amount > MOST {
                fault(format!("/amounts/{name}"), "must be at most 999999999999999");
            }
        }
        reject(faults)
    }
}

impl Named {
    fn limit(&self) -> Limit {
        Limit { unit: self.unit, window: self.window, most: self.limit }
    }

    fn rule(self) -> Rule {
        Rule { name: self.name.into(), unit: self.unit, per: self.window.into(), limit: self.limit }
    }
}

fn is_account(text: &str) -> bool {
    let id = text.strip_prefix("org:").or_else(|| text.strip_prefix("user:"));
    id.is_some_and(|id| id.parse().is_ok_and(|parsed: Uuid| parsed.to_string() == id))
}

fn is_word(text: &str, longest: usize, also: impl Fn(u8) -> bool) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || also(byte);
    (1..=longest).contains(&text.len()) && text.bytes().all(fits)
}

/// The names that limits of the edge have begin so: one of the same name would take their place.
fn is_the_edge_s(name: &str) -> bool {
    ["org", "user", "key"].contains(&name.split('-').next().unwrap_or_default())
}
