use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_util::stream::{Stream, StreamExt};

use crate::{Body, BodyError};

/// A body whose chunks a test sends one by one through the handle.
pub fn streamed_body() -> (StreamHandle, Body) {
    let (sender, receiver) = unbounded();
    let dropped = Arc::new(AtomicBool::new(false));
    let body = Body::from_stream(Chunks { receiver, dropped: Arc::clone(&dropped) });
    (StreamHandle { sender, dropped }, body)
}

/// Writes the body that [`streamed_body`] returned with it. The body ends when the handle is finished or dropped.
pub struct StreamHandle {
    sender: UnboundedSender<Result<Bytes, BodyError>>,
    dropped: Arc<AtomicBool>,
}

impl StreamHandle {
    /// Sends one chunk. Nothing happens if the reader has gone.
    pub fn send(&self, chunk: impl Into<Bytes>) {
        let _ = self.sender.unbounded_send(Ok(chunk.into()));
    }

    /// Cuts the body off in its middle.
    pub fn cut(self) {
        let _ = self.sender.unbounded_send(Err(BodyError::Interrupted("the peer closed the connection".into())));
    }

    /// Ends the body; [`Self::is_dropped`] can still be asked.
    pub fn finish(&self) {
        self.sender.close_channel();
    }

    /// Whether the reader has dropped the body, read to its end or not.
    pub fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::Acquire)
    }
}

struct Chunks {
    receiver: UnboundedReceiver<Result<Bytes, BodyError>>,
    dropped: Arc<AtomicBool>,
}

impl Stream for Chunks {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_next_unpin(context)
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn chunks_arrive_when_sent_and_a_drop_is_noticed() {
        let (handle, body) = streamed_body();
        let mut stream = body.into_stream();
        assert_eq!(stream.next().now_or_never(), None);
        handle.send("one");
        assert_eq!(stream.next().now_or_never(), Some(Some(Ok(Bytes::from_static(b"one")))));
        assert!(!handle.is_dropped());
        drop(stream);
        assert!(handle.is_dropped());
    }

    #[test]
    fn a_cut_body_is_an_error_and_a_finished_one_an_end() {
        let (handle, body) = streamed_body();
        handle.send("one");
        handle.cut();
        assert!(matches!(body.read(10).now_or_never(), Some(Err(BodyError::Interrupted(_)))));
        let (handle, body) = streamed_body();
        handle.finish();
        assert_eq!(body.read(10).now_or_never(), Some(Ok(Bytes::new())));
    }
}
