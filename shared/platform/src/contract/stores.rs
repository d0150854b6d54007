use std::time::Duration;

use bytes::Bytes;

use super::peer::{Peer, text};
use super::{VARIABLES, Verdict, ensure};
use crate::{Context, KeyValue};

const MINUTE: Duration = Duration::from_mins(1);
/// Expiry is not waited for where the host's shortest time to live is longer than this.
const LONGEST_WAIT: u64 = 5;

pub(super) async fn variables_have_their_values(context: Context, _: Peer) -> Verdict {
    for (name, value) in VARIABLES.iter().chain(&[("CONTRACT_UNSET", "")]) {
        let seen = context.variables.get(name).await.map_err(text)?;
        let right = seen.as_deref() == Some(*value).filter(|value| !value.is_empty());
        ensure(right, || format!("{name} is {seen:?}; it should have been set to {value:?}"))?;
    }
    Ok(())
}

pub(super) async fn the_cache_keeps_replaces_and_forgets(context: Context, _: Peer) -> Verdict {
    let (cache, key) = (&*context.cache, key(&context));
    settles(&context, &key, None).await?;
    cache.delete(&key).await.map_err(|error| format!("deleting a missing key: {error}"))?;
    for value in ["one", "two"] {
        cache.set(&key, Bytes::from_static(value.as_bytes()), MINUTE).await.map_err(text)?;
        settles(&context, &key, Some(value.as_bytes())).await?;
    }
    cache.delete(&key).await.map_err(text)?;
    settles(&context, &key, None).await
}

pub(super) async fn the_cache_keeps_any_bytes(context: Context, _: Peer) -> Verdict {
    let longest_key = format!("{}{}", key(&context), "é".repeat(200));
    let (longest_key, _) = longest_key.split_at(longest_key.floor_char_boundary(512));
    let binary: Bytes = (0..=255).cycle().take(300_000).collect();
    for value in [Bytes::new(), binary] {
        context.cache.set(longest_key, value.clone(), MINUTE).await.map_err(text)?;
        settles(&context, longest_key, Some(&value)).await?;
    }
    context.cache.delete(longest_key).await.map_err(text)
}

pub(super) async fn the_cache_forgets_what_has_expired(context: Context, _: Peer) -> Verdict {
    let minimum = context.variables.get("CONTRACT_MINIMUM_TTL").await.map_err(text)?;
    let seconds = minimum.and_then(|seconds| seconds.parse().ok()).unwrap_or(1);
    if seconds > LONGEST_WAIT {
        return Ok(());
    }
    let (short, long) = (key(&context), key(&context));
    let value = Bytes::from_static(b"value");
    context.cache.set(&long, value.clone(), MINUTE).await.map_err(text)?;
    context.cache.set(&short, value.clone(), Duration::from_secs(seconds)).await.map_err(text)?;
    settles(&context, &short, Some(&value)).await?;
    context.clock.sleep(Duration::from_secs(seconds)).await;
    settles(&context, &short, None).await?;
    settles(&context, &long, Some(&value)).await
}

fn key(context: &Context) -> String {
    format!("contract/{}", context.new_id())
}

/// Waits until the cache, which is only eventually consistent, has `expected` under `key`.
async fn settles(context: &Context, key: &str, expected: Option<&[u8]>) -> Verdict {
    let cache: &dyn KeyValue = &*context.cache;
    for _ in 0..100 {
        if cache.get(key).await.map_err(text)?.as_deref() == expected {
            return Ok(());
        }
        context.clock.sleep(Duration::from_millis(50)).await;
    }
    Err(match expected {
        Some(value) => format!("a value of {} bytes did not come back within 5 s", value.len()),
        None => "it still has what it should not have, 5 s later".to_owned(),
    })
}
