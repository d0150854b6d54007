//! A stream of ConverseStream as server-sent events.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt as _};
use platform::{BodyError, ByteStream};

use super::chunks::{Chunks, Unreadable};
use super::event_stream::{Decoder, Fault};
use crate::providers::Identity;

/// The events, those of messages that arrived together in one piece. Its size does not grow with the stream.
pub(super) struct Events {
    /// Gone once it has ended.
    upstream: Option<ByteStream>,
    decoder: Decoder,
    chunks: Chunks,
    /// Told after what came before it.
    failure: Option<BodyError>,
}

impl Events {
    pub(super) fn of(upstream: ByteStream, identity: &Identity) -> Self {
        Self { upstream: Some(upstream), decoder: Decoder::default(), chunks: Chunks::of(identity), failure: None }
    }

    /// What the provider has sent, as events.
    fn receive(&mut self, bytes: &[u8]) -> Bytes {
        self.decoder.feed(bytes);
        let mut events = Vec::new();
        if let Err(reason) = self.translate(&mut events) {
            self.fail(reason);
        }
        events.into()
    }

    fn translate(&mut self, events: &mut Vec<u8>) -> Result<(), &'static str> {
        while let Some(message) = self.decoder.next().map_err(Fault::text)? {
            self.chunks.write(&message, events).map_err(|Unreadable| "a message is not as it should be")?;
        }
        Ok(())
    }

    /// Nothing that comes after it is read.
    fn fail(&mut self, reason: &str) {
        self.upstream = None;
        self.failure = Some(BodyError::Interrupted(reason.to_owned()));
    }
}

impl Fault {
    fn text(self) -> &'static str {
        match self {
            Self::Checksum => "a checksum is wrong",
            Self::Malformed => "a message is malformed",
            Self::TooLong => "a message is too long",
        }
    }
}

impl Stream for Events {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(failure) = self.failure.take() {
                return Poll::Ready(Some(Err(failure)));
            }
            let Some(upstream) = &mut self.upstream else { return Poll::Ready(None) };
            match ready!(upstream.poll_next_unpin(context)) {
                Some(Ok(bytes)) => {
                    let events = self.receive(&bytes);
                    if !events.is_empty() {
                        return Poll::Ready(Some(Ok(events)));
                    }
                }
                Some(Err(error)) => {
                    self.upstream = None;
                    self.failure = Some(error);
                }
                None if self.decoder.is_amid_message() => self.fail("it ended in the middle of a message"),
                None => self.upstream = None,
            }
        }
    }
}
