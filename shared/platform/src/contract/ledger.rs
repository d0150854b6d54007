use futures_util::stream::{StreamExt, iter};
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

fn shard(context: &Context) -> String {
    format!("contract/{}", context.new_id())
}

fn take(name: &str, limit: u64, quantity: u64) -> Take {
    let policy = Policy { name: name.to_owned(), limit, window_seconds: MONTH_SECONDS };
    Take { subject: name.to_owned(), policy, quantity }
}
