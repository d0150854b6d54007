use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http_body_util::BodyDataStream;
use hyper::body::{Body as _, Incoming};
use platform::{Body, BodyError};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How much of a body that nobody reads is thrown away, and for how long, before its connection is given up.
const DISCARDED_BYTES: usize = 16 << 20;
const DISCARDED_WITHIN: Duration = Duration::from_secs(5);

/// A caller's body. What a function leaves unread is read and thrown away: a connection that closes while the caller is
/// still sending loses the answer.
struct RequestBody(Option<BodyDataStream<Incoming>>);

/// The body of a request, chunk by chunk.
pub(crate) fn arriving(body: Incoming) -> Body {
    if body.is_end_stream() { Body::empty() } else { Body::from_stream(RequestBody(Some(BodyDataStream::new(body)))) }
}

impl Stream for RequestBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = self.0.as_mut() else { return Poll::Ready(None) };
        let next = body.poll_next_unpin(cx);
        if matches!(next, Poll::Ready(None | Some(Err(_)))) {
            self.0 = None;
        }
        next.map(|item| item.map(|chunk| chunk.map_err(|error| BodyError::Interrupted(error.to_string()))))
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let (Some(body), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(timeout(DISCARDED_WITHIN, discard(body)));
        }
    }
}

async fn discard(mut body: BodyDataStream<Incoming>) {
    let mut length = 0;
    while let Some(Ok(chunk)) = body.next().await {
        length += chunk.len();
        if length > DISCARDED_BYTES {
            return;
        }
    }
}
