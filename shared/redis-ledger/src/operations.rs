//! Operations as the scripts read them: lists, and every number a text, since a number of Lua's own is not exact.

use quota::Take;
use quota::account::{Amounts, Operation, Per, Rule, Subject, Unit};
use serde_json::{Value, json};

/// The operations, in their order.
pub(crate) fn list(operations: &[Operation]) -> String {
    operations.iter().map(operation).collect::<Value>().to_string()
}

/// The takes, with what their policies come to.
pub(crate) fn takes(takes: &[Take]) -> String {
    let take = |take: &Take| {
        let (interval, burst) = (text(take.policy.interval()), text(take.policy.burst()));
        json!([take.subject, take.policy.name, interval, burst, text(take.quantity)])
    };
    takes.iter().map(take).collect::<Value>().to_string()
}

fn operation(operation: &Operation) -> Value {
    match operation {
        Operation::Take { subjects: who, amounts: wished } => json!(["take", subjects(who), amounts(wished)]),
        Operation::Reserve(reserve) => json!([
            "reserve",
            subjects(&reserve.subjects),
            amounts(&reserve.amounts),
            reserve.id,
            text(reserve.expires_after),
            or_false(reserve.record.as_deref()),
        ]),
        Operation::Settle { id, actual, record } => json!(["end", id, amounts(actual), or_false(record.as_deref())]),
        Operation::Release { id, record } => json!(["end", id, false, or_false(record.as_deref())]),
        Operation::Expire => json!(["expire"]),
        Operation::Adjust { id, subject, rule, by } => {
            json!(["adjust", id, format!("{subject} {rule}"), *by < 0, text(by.unsigned_abs())])
        }
        Operation::SetRules { subject, rules } => json!(["set_rules", subject, self::rules(rules)]),
    }
}

fn subjects(subjects: &[Subject]) -> Value {
    subjects.iter().map(|subject| json!([subject.name, rules(&subject.rules)])).collect()
}

fn rules(rules: &[Rule]) -> Value {
    rules.iter().map(rule).collect()
}

/// With what it comes to, and itself to be shown.
fn rule(rule: &Rule) -> Value {
    let unit = match rule.unit {
        Unit::Requests => "requests",
        Unit::Tokens => "tokens",
        Unit::NanoUsd => "nano_usd",
    };
    let per = match rule.per {
        Per::Seconds(_) => "rate",
        Per::Day => "day",
        Per::Month => "month",
        Per::Moment => "moment",
    };
    json!([rule.name, unit, per, text(rule.spacing()), text(rule.burst()), text(rule.limit), json!(rule).to_string()])
}

fn amounts(amounts: &Amounts) -> Value {
    let Amounts { requests, tokens, nano_usd } = amounts;
    json!({"requests": text(*requests), "tokens": text(*tokens), "nano_usd": text(*nano_usd)})
}

/// In Lua, nothing would end the list.
fn or_false(record: Option<&str>) -> Value {
    record.map_or(Value::Bool(false), Value::from)
}

fn text(number: u64) -> String {
    number.to_string()
}
