use std::fmt::Write as _;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use quota::account::{Per, Standing, Unit};

const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const LIMIT_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
const REMAINING_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
const RESET_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");
const LIMIT_TOKENS: HeaderName = HeaderName::from_static("x-ratelimit-limit-tokens");
const REMAINING_TOKENS: HeaderName = HeaderName::from_static("x-ratelimit-remaining-tokens");
const RESET_TOKENS: HeaderName = HeaderName::from_static("x-ratelimit-reset-tokens");

pub(crate) const NANOS_PER_SECOND: u64 = 1_000_000_000;
const DAY_SECONDS: u64 = 86_400;

/// Tells where the limits stand: `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers, structured
/// fields of RFC 9651), and the `x-ratelimit-*` that clients of OpenAI read, of the limit that is nearest.
///
/// `t` is in how many seconds there is more; a month, whose length varies, has no `w`.
pub fn describe(standings: &[Standing], to: &mut HeaderMap) {
    if standings.is_empty() {
        return;
    }
    let (mut policies, mut limits) = (String::new(), String::new());
    for standing in standings {
        let separator = if policies.is_empty() { "" } else { ", " };
        // A String never fails to be written to.
        let _ = write!(policies, "{separator}{}", policy(standing));
        let _ = write!(limits, "{separator}{}", limit(standing));
    }
    insert(to, RATE_LIMIT_POLICY, &policies);
    insert(to, RATE_LIMIT, &limits);
    let families = [
        (Unit::Requests, [LIMIT_REQUESTS, REMAINING_REQUESTS, RESET_REQUESTS]),
        (Unit::Tokens, [LIMIT_TOKENS, REMAINING_TOKENS, RESET_TOKENS]),
    ];
    for (unit, [limit, remaining, reset]) in families {
        let counted =
            standings.iter().filter(|standing| standing.rule.unit == unit && standing.rule.per != Per::Moment);
        if let Some(nearest) = counted.min_by_key(|standing| standing.remaining) {
            insert(to, limit, &nearest.rule.limit.to_string());
            insert(to, remaining, &nearest.remaining.to_string());
            insert(to, reset, &format!("{}s", nearest.reset_after.div_ceil(NANOS_PER_SECOND)));
        }
    }
}

/// `"user";q=100;w=3600`
fn policy(standing: &Standing) -> String {
    let rule = &standing.rule;
    let mut item = format!("\"{}\";q={}", rule.name, rule.limit);
    item.push_str(match (rule.unit, rule.per) {
        (Unit::Requests, Per::Moment) => ";qu=\"concurrent-requests\"",
        (Unit::Requests, _) => "",
        (Unit::Tokens, _) => ";qu=\"tokens\"",
        (Unit::NanoUsd, _) => ";qu=\"nano-usd\"",
    });
    let window = match rule.per {
        Per::Seconds(seconds) => Some(seconds),
        Per::Day => Some(DAY_SECONDS),
        Per::Month | Per::Moment => None,
    };
    if let Some(seconds) = window {
        let _ = write!(item, ";w={seconds}");
    }
    item
}

/// `"user";r=42;t=17`
fn limit(standing: &Standing) -> String {
    let mut item = format!("\"{}\";r={}", standing.rule.name, standing.remaining);
    let more_after = standing.more_after().div_ceil(NANOS_PER_SECOND);
    if more_after > 0 {
        let _ = write!(item, ";t={more_after}");
    }
    item
}

fn insert(to: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        to.insert(name, value);
    }
}
