//! Bodies that come in: a request's, and those of the answers to outbound requests.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::FutureExt;
use futures_util::stream::Stream;
use http::{HeaderMap, Method, StatusCode};
use platform::{Body, BodyError};

use crate::executor::{self, InvocationId};
use crate::head;
use crate::host;
use crate::http_client::Exchange;
use crate::operation::{Operation, Outcome};

/// A request's body of a known length up to this many bytes crosses in one piece.
const WHOLE_UP_TO: u64 = 64 * 1024;

/// A body of the host. Nothing is asked of the host before somebody reads.
struct Inbound {
    source: Source,
    whole: bool,
    reading: Option<Operation>,
    ended: bool,
}

enum Source {
    Request(InvocationId),
    Response(Exchange),
}

/// The body of the request that the present invocation answers.
pub fn of_request(method: &Method, headers: &HeaderMap) -> Body {
    let length = head::content_length(headers);
    let none = length == Some(0) || (length.is_none() && matches!(*method, Method::GET | Method::HEAD));
    match executor::current() {
        Some(invocation) if !none => {
            let whole = length.is_some_and(|length| length <= WHOLE_UP_TO);
            body(Source::Request(invocation), whole)
        }
        _ => Body::empty(),
    }
}

/// The body of the answer in `exchange`, which did not come with its head.
pub fn of_response(mut exchange: Exchange, to: &Method, status: StatusCode, headers: &HeaderMap) -> Body {
    let length = head::content_length(headers);
    let none = *to == Method::HEAD || matches!(status.as_u16(), 204 | 304) || length == Some(0);
    if none {
        exchange.end();
        return Body::empty();
    }
    body(Source::Response(exchange), false)
}

fn body(source: Source, whole: bool) -> Body {
    Body::from_stream(Inbound { source, whole, reading: None, ended: false })
}

impl Inbound {
    fn read(&self) -> Operation {
        Operation::begin(|invocation, operation| match &self.source {
            Source::Request(owner) => host::read_request(invocation, operation, *owner, self.whole),
            Source::Response(exchange) => exchange.read(invocation, operation),
        })
    }

    fn end(&mut self) {
        self.ended = true;
        if let Source::Response(exchange) = &mut self.source {
            exchange.end();
        }
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        if let Source::Request(invocation) = self.source
            && self.whole
            && self.reading.is_none()
            && !self.ended
        {
            host::discard_request(invocation);
        }
    }
}

impl Stream for Inbound {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let mut reading = self.reading.take().unwrap_or_else(|| self.read());
        let outcome = match reading.poll_unpin(context) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                self.reading = Some(reading);
                return Poll::Pending;
            }
        };
        if self.whole || !matches!(outcome, Outcome::Bytes(_)) {
            self.end();
        }
        Poll::Ready(match outcome {
            Outcome::Bytes(bytes) => Some(Ok(bytes)),
            Outcome::Failed(reason) => Some(Err(BodyError::Interrupted(reason))),
            _ => None,
        })
    }
}
