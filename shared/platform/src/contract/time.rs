use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{Either, join_all, select};

use super::peer::Peer;
use super::{Verdict, ensure};
use crate::{Context, Timestamp};

pub(super) async fn the_clock_moves_on(context: Context, peer: Peer) -> Verdict {
    let earlier = context.clock.now();
    let floor: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap_or(Timestamp::MAX);
    ensure(earlier > floor, || format!("it shows {earlier}"))?;
    // Some hosts' clocks stand still between I/O.
    context.clock.sleep(Duration::from_millis(20)).await;
    peer.get("status/200").await?;
    let later = context.clock.now();
    ensure(later > earlier, || format!("it showed {earlier} and 20 ms later {later}"))
}

pub(super) async fn a_sleep_ends_after_its_time(context: Context, _: Peer) -> Verdict {
    let earlier = context.clock.now();
    context.clock.sleep(Duration::from_millis(60)).await;
    let slept = context.clock.now().duration_since(earlier);
    // Hosts round to whole milliseconds.
    ensure(slept.as_millis() >= 58, || format!("60 ms took {slept:?}"))
}

pub(super) async fn sleeps_run_beside_each_other(context: Context, _: Peer) -> Verdict {
    let long = context.clock.sleep(Duration::from_mins(10));
    let short = join_all((1..=20).map(|count| context.clock.sleep(Duration::from_millis(count))));
    match select(long, short).await {
        Either::Right(_) => Ok(()),
        Either::Left(_) => Err("ten minutes were over before 20 ms".to_owned()),
    }
}

pub(super) async fn random_bytes_differ(context: Context, _: Peer) -> Verdict {
    // WebCrypto gives at most 65,536 bytes at a time; an adapter must not stop there.
    for length in [16, 32, 100_000] {
        let (mut one, mut other) = (vec![0; length], vec![0; length]);
        context.entropy.fill(&mut one);
        context.entropy.fill(&mut other);
        let last = one.len().saturating_sub(16);
        let (_, tail) = one.split_at(last);
        ensure(one != other && tail.iter().any(|byte| *byte != 0), || format!("{length} bytes were not random"))?;
    }
    Ok(())
}

pub(super) async fn ids_sort_by_time(context: Context, peer: Peer) -> Verdict {
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(context.new_id());
        context.clock.sleep(Duration::from_millis(3)).await;
        peer.get("status/200").await?;
    }
    let version = ids.iter().all(|id| id.get_version_num() == 7);
    ensure(version && ids.is_sorted() && !ids.windows(2).any(|pair| pair.first() == pair.last()), || format!("{ids:?}"))
}

pub(super) async fn background_work_is_done(context: Context, peer: Peer) -> Verdict {
    let done = Arc::new(AtomicBool::new(false));
    let (told, clock) = (Arc::clone(&done), Arc::clone(&context.clock));
    context.background.spawn(Box::pin(async move {
        clock.sleep(Duration::from_millis(5)).await;
        told.store(peer.get("status/200").await.is_ok(), Ordering::Release);
    }));
    for _ in 0..200 {
        if done.load(Ordering::Acquire) {
            return Ok(());
        }
        context.clock.sleep(Duration::from_millis(50)).await;
    }
    Err("it was not done 10 s later".to_owned())
}
