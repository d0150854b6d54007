use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use serde_json::Value;

use super::peer::{Peer, json, text};
use super::{Verdict, ensure};
use crate::{Body, BodyError, Context, Elapsed, timeout};

/// 64 chunks of 16 KiB, each filled with its own number.
const UPLOAD: (u64, &str) = (1024 * 1024, "eceffbf96a8863b044c73f9ac7de400f7ac577b672e5ef18e4c9b9a75c578bd3");

pub(super) async fn an_upload_arrives_whole(_: Context, peer: Peer) -> Verdict {
    let chunks = stream::iter((0..64).map(|number| Ok(Bytes::from(vec![number; 16 * 1024]))));
    let report = json(peer.send(peer.request("POST", "upload", Body::from_stream(chunks))?).await?).await?;
    let seen = (report.get("bytes").and_then(Value::as_u64), report.get("sha256").and_then(Value::as_str));
    ensure(seen == (Some(UPLOAD.0), Some(UPLOAD.1)), || format!("sent {UPLOAD:?}, the peer saw {seen:?}"))
}

pub(super) async fn a_chunk_arrives_before_the_end(context: Context, peer: Peer) -> Verdict {
    // The stream takes far longer than anybody waits here.
    let mut body = peer.get("stream?chunks=10000&interval_ms=50&size=10").await?.into_body().into_stream();
    match timeout(&*context.clock, Duration::from_secs(20), body.next()).await {
        Ok(Some(Ok(chunk))) => ensure(!chunk.is_empty(), || "the first chunk is empty".to_owned()),
        Ok(Some(Err(error))) => Err(text(error)),
        Ok(None) => Err("the body has ended".to_owned()),
        Err(Elapsed) => Err("no chunk while the peer is sending".to_owned()),
    }
}

pub(super) async fn chunks_are_not_merged(_: Context, peer: Peer) -> Verdict {
    // On a machine that is busy for longer than the interval, the network itself may merge; not every time.
    let mut seen = Vec::new();
    for interval in [20, 100, 500] {
        let endpoint = format!("stream?chunks=5&interval_ms={interval}&size=10");
        let body = peer.get(&endpoint).await?.into_body().into_stream();
        let sizes = body.map(|chunk| chunk.map(|chunk| chunk.len()).map_err(text));
        seen = sizes.collect::<Vec<_>>().await.into_iter().collect::<Result<Vec<_>, _>>()?;
        if seen == [10; 5] {
            return Ok(());
        }
    }
    Err(format!("5 chunks of 10 bytes arrived as {seen:?}"))
}

pub(super) async fn a_cut_body_is_an_error(_: Context, peer: Peer) -> Verdict {
    match peer.get("cut?after=2").await?.into_body().read(100_000).await {
        Err(BodyError::Interrupted(_)) => Ok(()),
        Err(error) => Err(format!("another error: {error}")),
        Ok(bytes) => Err(format!("the body ended after {} bytes as if it were whole", bytes.len())),
    }
}

pub(super) async fn dropping_a_body_cancels(context: Context, peer: Peer) -> Verdict {
    let id = context.new_id();
    let endpoint = format!("stream?chunks=10000&interval_ms=20&size=10&id={id}");
    let mut body = peer.get(&endpoint).await?.into_body().into_stream();
    body.next().await.ok_or("the body has ended")?.map_err(text)?;
    let is_cancelled = async || peer.get_json(&format!("cancelled?id={id}")).await;
    let early = is_cancelled().await?;
    ensure(early.get("cancelled") == Some(&Value::Bool(false)), || format!("before the drop: {early}"))?;
    drop(body);
    for _ in 0..200 {
        if is_cancelled().await?.get("cancelled") == Some(&Value::Bool(true)) {
            return Ok(());
        }
        context.clock.sleep(Duration::from_millis(50)).await;
    }
    Err("the peer is still sending 10 s later".to_owned())
}
