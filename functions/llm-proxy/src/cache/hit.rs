//! A call that is answered from the cache.

use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use platform::{Body, BodyError, Context};
use problem::Problem;

use super::{Entry, Replay};
use crate::attempt::{EVENT_STREAM, JSON, respond};
use crate::call::{Call, Payer};
use crate::model_request::ModelRequest;
use crate::usage_event::Status;
use crate::{LlmProxy, answer_headers};

/// Answers with `entry`, as a call that counts as one request. Nothing, and no call, if it cannot be used any more.
pub(crate) async fn answer(
    proxy: &LlmProxy,
    payer: &Payer,
    request: &ModelRequest,
    entry: &Entry,
    context: &Context,
) -> Option<Result<platform::Response, Problem>> {
    let provider = proxy.config.provider(&entry.about.provider)?.name;
    let replay = if request.stream { Replay::Stream { with_usage: request.wants_usage } } else { Replay::Whole };
    let pieces = replay.pieces(entry)?;
    let call = Call::begin_hit(proxy, payer.clone(), request, provider, &entry.about, context).await;
    Some(call.map(|mut call| {
        for document in entry.documents() {
            // A whole reads as a chunk too.
            call.see_event(document, context.clock.now());
        }
        replayed(call, request.stream, pieces)
    }))
}

fn replayed(mut call: Call, streamed: bool, pieces: Vec<Bytes>) -> platform::Response {
    call.http_status = Some(200);
    let mut headers = HeaderMap::new();
    answer_headers::describe(&call, &mut headers);
    let (media_type, caching) = if streamed { (EVENT_STREAM, "no-store, no-transform") } else { (JSON, "no-store") };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    // The answer is complete: whether the caller reads it to its end changes nothing.
    call.settle(Status::Success);
    let body = if streamed {
        Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, BodyError>)))
    } else {
        headers.insert("x-qlp-cost-usd", HeaderValue::from_static("0"));
        pieces.into_iter().next().unwrap_or_default().into()
    };
    respond(headers, body)
}
