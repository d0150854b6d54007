use futures_util::stream::{StreamExt, iter};
use quota::account::{Amounts, Operation, Outcome, Per, Reserve, Rule, Subject, Unit};
use quota::{Policy, Take};

use super::peer::{Peer, text};
use super::{Verdict, ensure};
use crate::Context;

/// Long enough for no unit to come back while a check runs.
const MONTH_SECONDS: u64 = 30 * 24 * 3600;
const AT_ONCE: usize = 1000;

pub(super) async fn exactly_the_limit_passes(context: Context, _: Peer) -> Verdict {
    let (shard, takes) = (shard(&context), [take("user", 100, 1)]);
    let decisions = iter(0..1000).map(|_| context.ledger.take(&shard, &takes)).buffer_unordered(AT_ONCE);
    let decisions: Vec<_> = decisions.collect().await;
    let mut allowed = 0;
    for decision in decisions {
        allowed += usize::from(decision.map_err(text)?.allowed);
    }
    ensure(allowed == 100, || format!("{allowed} of 1,000 passed a limit of 100"))
}

pub(super) async fn all_or_none(context: Context, _: Peer) -> Verdict {
    let shard = shard(&context);
    let allowed =
        async |takes: &[Take]| context.ledger.take(&shard, takes).await.map(|decision| decision.allowed).map_err(text);
    let both = [take("user", 10, 1), take("org", 2, 1)];
    for expected in [true, true, false, false] {
        ensure(allowed(&both).await? == expected, || format!("a take was not {expected}"))?;
    }
    ensure(allowed(&[take("user", 10, 8)]).await?, || "a refused take has taken from its other policy".to_owned())?;
    ensure(!allowed(&[take("user", 10, 1)]).await?, || "more than the limit passed".to_owned())
}

pub(super) async fn shards_are_apart(context: Context, _: Peer) -> Verdict {
    let takes = [take("user", 1, 1)];
    for _ in 0..2 {
        let decision = context.ledger.take(&shard(&context), &takes).await.map_err(text)?;
        let standing = decision.standings.first().ok_or("the decision has no standing")?;
        ensure(decision.allowed && standing.remaining == 0, || format!("a new shard decided {decision:?}"))?;
        let named = (standing.policy.limit, standing.policy.window_seconds, standing.policy.name.as_str());
        ensure(named == (1, MONTH_SECONDS, "user"), || format!("the standing is of another policy: {named:?}"))?;
    }
    Ok(())
}

pub(super) async fn exactly_the_budget_is_reserved(context: Context, _: Peer) -> Verdict {
    let account = shard(&context);
    let begin = async || {
        let call = reserve(&context, 10, Amounts { nano_usd: 100, ..ONE });
        context.ledger.apply(&account, &[call]).await
    };
    let outcomes = iter(0..1000).map(|_| begin()).buffer_unordered(AT_ONCE);
    let outcomes: Vec<_> = outcomes.collect().await;
    let mut allowed = 0;
    for outcome in outcomes {
        allowed += usize::from(is_allowed(&outcome.map_err(text)?)?);
    }
    ensure(allowed == 10, || format!("{allowed} of 1,000 calls were admitted to a budget for 10"))
}

pub(super) async fn what_is_settled_comes_back_once(context: Context, _: Peer) -> Verdict {
    let account = shard(&context);
    let apply = async |operation: Operation| context.ledger.apply(&account, &[operation]).await.map_err(text);
    let first = reserve(&context, 1, Amounts { nano_usd: 100, ..ONE });
    let Operation::Reserve(Reserve { id, .. }) = &first else { return Err("not a reservation".into()) };
    let settle = Operation::Settle { id: id.clone(), actual: Amounts { nano_usd: 60, ..ONE }, record: None };
    for _ in 0..2 {
        ensure(is_allowed(&apply(first.clone()).await?)?, || "a repeated reservation was refused".to_owned())?;
    }
    let more = |nano_usd| reserve(&context, 1, Amounts { nano_usd, ..ONE });
    ensure(!is_allowed(&apply(more(1)).await?)?, || "more than the budget was reserved".to_owned())?;
    for _ in 0..2 {
        ensure(is_allowed(&apply(settle.clone()).await?)?, || "a call could not be settled".to_owned())?;
    }
    ensure(!is_allowed(&apply(more(41)).await?)?, || "what was spent came back".to_owned())?;
    ensure(is_allowed(&apply(more(40)).await?)?, || "what was not spent did not come back".to_owned())?;
    let unknown = Operation::Release { id: context.new_id().to_string(), record: None };
    let outcomes = apply(unknown).await?;
    ensure(outcomes == [Outcome::Unknown], || format!("a call nobody knows was settled: {outcomes:?}"))
}

pub(super) async fn rules_are_kept_and_what_was_spent_stays(context: Context, _: Peer) -> Verdict {
    let account = shard(&context);
    let apply = async |operations: &[Operation]| context.ledger.apply(&account, operations).await.map_err(text);
    let take = Operation::Take { subjects: subjects(1), amounts: Amounts { nano_usd: 30, ..ONE } };
    let rules = vec![budget(50)];
    let set = Operation::SetRules { subject: "user".into(), rules };
    let outcomes = apply(&[take.clone(), set, take.clone(), take]).await?;
    let allowed: Vec<_> = outcomes.iter().map(|outcome| is_allowed(std::slice::from_ref(outcome))).collect();
    let expected = [Ok(true), Ok(true), Ok(false), Ok(false)];
    ensure(allowed == expected, || format!("30 of 100, then twice of 50: {allowed:?}"))
}

const ONE: Amounts = Amounts::ONE_REQUEST;

/// A call of `amounts` on a budget of `hundreds`.
fn reserve(context: &Context, hundreds: u64, amounts: Amounts) -> Operation {
    let (id, subjects) = (context.new_id().to_string(), subjects(hundreds));
    Operation::Reserve(Reserve { id, subjects, amounts, expires_after: MONTH_SECONDS * 1_000_000_000, record: None })
}

fn subjects(hundreds: u64) -> Vec<Subject> {
    vec![Subject { name: "user".into(), rules: vec![budget(hundreds * 100)] }]
}

/// Of a month, so that none begins anew while a check runs, but for once in a month.
fn budget(limit: u64) -> Rule {
    Rule { name: "usd-month".into(), unit: Unit::NanoUsd, per: Per::Month, limit }
}

fn is_allowed(outcomes: &[Outcome]) -> Result<bool, String> {
    match outcomes {
        [Outcome::Decided(decision)] => Ok(decision.allowed),
        other => Err(format!("not one decision: {other:?}")),
    }
}

fn shard(context: &Context) -> String {
    format!("contract/{}", context.new_id())
}

fn take(name: &str, limit: u64, quantity: u64) -> Take {
    let policy = Policy { name: name.to_owned(), limit, window_seconds: MONTH_SECONDS };
    Take { subject: name.to_owned(), policy, quantity }
}
