use http::header::{HeaderName, RETRY_AFTER};
use platform::Context;
use problem::{Problem, kinds};
use quota::account::{Decision, Per, Standing, Unit};

use crate::fields::{self, NANOS_PER_SECOND};

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const NANOS_PER_MILLI: u64 = 1_000_000;

/// Why `decision` refuses, with the limits and with a `Retry-After` that is true: who waits that long gets through.
///
/// 400 for a request that could never pass, whatever it waits for; 429 otherwise, and for a budget with the advice not
/// to try again by itself.
pub fn refused(decision: &Decision) -> Problem {
    let mut problem = match decision.standings.iter().find(|standing| standing.retry_after.is_none()) {
        Some(standing) => impossible(standing),
        None => wait(decision),
    };
    let mut headers = http::HeaderMap::new();
    fields::describe(&decision.standings, &mut headers);
    for (name, value) in &headers {
        problem = problem.header(name.clone(), value.to_str().unwrap_or_default());
    }
    problem
}

/// The ledger cannot be asked, so nothing may begin that costs something. Callers come back at different times.
pub fn unavailable(context: &Context) -> Problem {
    let mut random = [0];
    context.entropy.fill(&mut random);
    let milliseconds = 1_000 + u64::from(random[0]) * 8;
    Problem::new(kinds::UPSTREAM_UNAVAILABLE)
        .detail("The limits cannot be checked at present, so the request was not begun. Try again in a few seconds.")
        .header(RETRY_AFTER, &milliseconds.div_ceil(1_000).to_string())
        .header(RETRY_AFTER_MS, &milliseconds.to_string())
}

fn impossible(standing: &Standing) -> Problem {
    let rule = &standing.rule;
    let advice = match rule.unit {
        Unit::Requests => "Ask an admin of the organization to raise it.",
        Unit::Tokens | Unit::NanoUsd => "Send less, set a lower `max_tokens`, or ask an admin to raise it.",
    };
    let detail = format!("This request could come to more than the limit `{}` ever allows. {advice}", rule.name);
    Problem::new(kinds::EXCEEDS_LIMIT).detail(detail)
}

fn wait(decision: &Decision) -> Problem {
    let wait = |standing: &&Standing| standing.retry_after.unwrap_or(0);
    let Some(longest) = decision.standings.iter().max_by_key(wait) else { return kinds::RATE_LIMITED.into() };
    let nanoseconds = wait(&longest);
    let (seconds, milliseconds) = (nanoseconds.div_ceil(NANOS_PER_SECOND), nanoseconds.div_ceil(NANOS_PER_MILLI));
    let name = &longest.rule.name;
    let problem = match longest.rule.per {
        Per::Day | Per::Month => {
            let period = if longest.rule.per == Per::Day { "day" } else { "month" };
            let detail = format!("The budget `{name}` of this {period} is used up, or what is left is reserved.");
            Problem::new(kinds::BUDGET_EXCEEDED).detail(detail).header(X_SHOULD_RETRY, "false")
        }
        Per::Moment => {
            let detail = format!("The limit `{name}` of requests at the same time is reached; wait for one to end.");
            Problem::new(kinds::RATE_LIMITED).detail(detail)
        }
        Per::Seconds(_) => {
            let detail = format!("The limit `{name}` is used up; the next request is possible in {seconds} s.");
            Problem::new(kinds::RATE_LIMITED).detail(detail)
        }
    };
    problem.header(RETRY_AFTER, &seconds.to_string()).header(RETRY_AFTER_MS, &milliseconds.to_string())
}
