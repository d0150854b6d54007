//! Response bodies: known bytes, or a script that is played.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;

use crate::connection::Fate;
use crate::exchange::Progress;
use crate::script::{End, Script, Write};
use crate::tally::Outcome;

/// The body of an answer.
pub enum Body {
    /// Everything, at once.
    Whole(Option<Bytes>),
    /// Piece by piece.
    Played(Box<Delivery>),
}

/// A script while it is played. The connection drops it when the client leaves.
pub struct Delivery {
    writes: std::vec::IntoIter<Write>,
    next: Option<Write>,
    end: End,
    /// The size that the response head declares.
    declared: Option<u64>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// The end waits until what came before it has gone out.
    flushed: bool,
    progress: Progress,
    fate: Fate,
}

/// The connection ends here because the script says so.
#[derive(Debug)]
pub struct Hangup;

/// Long enough for a client to read what was sent before the connection goes away.
const GRACE: Duration = Duration::from_millis(20);

impl Body {
    /// A body of known bytes.
    pub fn whole(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes))
    }
}

impl Delivery {
    /// Plays `script`; `declared` is the `content-length`, none for a chunked body.
    pub fn new(script: Script, declared: Option<u64>, progress: Progress, fate: Fate) -> Self {
        let mut writes = script.writes.into_iter();
        let next = writes.next();
        Self { writes, next, end: script.end, declared, sleep: None, flushed: false, progress, fate }
    }

    /// Pending until the wait before the next piece, if it has one, is over.
    fn poll_wait(&mut self, wait: Option<Duration>, cx: &mut Context<'_>) -> Poll<()> {
        if self.sleep.is_none() {
            match wait {
                None => return Poll::Ready(()),
                Some(wait) => self.sleep = Some(Box::pin(tokio::time::sleep(wait))),
            }
        }
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(cx));
        }
        self.sleep = None;
        Poll::Ready(())
    }

    fn deliver(&mut self, write: Write) -> Bytes {
        self.progress.sent(write.frames, write.tokens);
        self.next = self.writes.next();
        if self.next.is_none() && self.end == End::Complete {
            self.progress.end(Outcome::Finished);
        }
        write.bytes
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Hangup>>> {
        match self.end {
            End::Complete => return Poll::Ready(None),
            End::Stall => return Poll::Pending,
            End::Early | End::Cut | End::Reset => {}
        }
        if !self.flushed {
            ready!(self.poll_wait(Some(GRACE), cx));
            self.flushed = true;
        }
        self.progress.end(Outcome::Interrupted);
        if self.end == End::Early {
            return Poll::Ready(None);
        }
        if self.end == End::Reset {
            self.fate.reset();
        }
        Poll::Ready(Some(Err(Hangup)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Hangup;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Hangup>>> {
        let delivery = match &mut *self {
            Self::Whole(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Played(delivery) => delivery,
        };
        let Some(wait) = delivery.next.as_ref().map(|write| write.wait) else { return delivery.poll_end(cx) };
        ready!(delivery.poll_wait(wait, cx));
        match delivery.next.take() {
            Some(write) => Poll::Ready(Some(Ok(Frame::data(delivery.deliver(write))))),
            None => delivery.poll_end(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Played(delivery) => delivery.declared.map(SizeHint::with_exact).unwrap_or_default(),
        }
    }
}

impl std::fmt::Display for Hangup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the script ends the connection here")
    }
}

impl std::error::Error for Hangup {}
