use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt};
use http_body::{Frame, SizeHint};
use thiserror::Error;

/// The chunks of a body, in order, as they arrive. Dropping it tells the sender that nobody reads on.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// A request or response body: known bytes, or a stream of chunks that passes with the host's back-pressure.
///
/// It can be read only with a limit. It is `Send`, not `Sync`: take a request apart before the first `.await`.
pub struct Body(Content);

/// What a [`Body`] holds, for hosts that hand known bytes over in one piece.
pub enum Content {
    /// Everything is here already.
    Bytes(Bytes),
    /// Chunks still to come.
    Stream(ByteStream),
}

/// Why a body ended before its end.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BodyError {
    /// The body is larger than the reader allows.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit that was exceeded, in bytes.
        limit: usize,
    },
    /// The sender went away, or broke the framing, in the middle of the body.
    #[error("the body was cut off: {0}")]
    Interrupted(String),
}

impl Body {
    /// A body of no bytes.
    pub fn empty() -> Self {
        Self(Content::Bytes(Bytes::new()))
    }

    /// A body whose chunks come from `stream`.
    pub fn from_stream(stream: impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static) -> Self {
        Self(Content::Stream(Box::pin(stream)))
    }

    /// What the body holds.
    pub fn into_content(self) -> Content {
        self.0
    }

    /// The chunks, without a limit on their sum: for passing on, not for collecting.
    pub fn into_stream(self) -> ByteStream {
        match self.0 {
            Content::Bytes(bytes) if bytes.is_empty() => Box::pin(stream::empty()),
            Content::Bytes(bytes) => Box::pin(stream::once(async { Ok(bytes) })),
            Content::Stream(stream) => stream,
        }
    }

    /// Collects the whole body, or fails with [`BodyError::TooLarge`] as soon as it exceeds `limit` bytes.
    pub async fn read(self, limit: usize) -> Result<Bytes, BodyError> {
        let mut stream = match self.0 {
            Content::Bytes(bytes) if bytes.len() > limit => return Err(BodyError::TooLarge { limit }),
            Content::Bytes(bytes) => return Ok(bytes),
            Content::Stream(stream) => stream,
        };
        let mut collected = BytesMut::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            if collected.len() + chunk.len() > limit {
                return Err(BodyError::TooLarge { limit });
            }
            collected.extend_from_slice(&chunk);
        }
        Ok(collected.freeze())
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self(Content::Bytes(bytes.into()))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Content::Bytes(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Content::Stream(_) => write!(f, "Body(stream)"),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Content::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Bytes(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Content::Stream(stream) => stream.poll_next_unpin(cx).map(|next| next.map(|chunk| chunk.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.0, Content::Bytes(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn chunks(parts: &[&'static str]) -> Body {
        let parts: Vec<_> = parts.iter().map(|part| Ok(Bytes::from_static(part.as_bytes()))).collect();
        Body::from_stream(stream::iter(parts))
    }

    #[test]
    fn reads_a_stream_up_to_its_limit_and_not_beyond() {
        let read = |limit| chunks(&["abc", "de"]).read(limit).now_or_never().unwrap();
        assert_eq!(read(5), Ok(Bytes::from_static(b"abcde")));
        assert_eq!(read(4), Err(BodyError::TooLarge { limit: 4 }));
    }

    #[test]
    fn refuses_known_bytes_beyond_the_limit() {
        let read = Body::from("abc").read(2).now_or_never().unwrap();
        assert_eq!(read, Err(BodyError::TooLarge { limit: 2 }));
    }
}
