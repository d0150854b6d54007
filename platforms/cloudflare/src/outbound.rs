//! Bodies that go out as streams: each chunk is handed over by itself, as soon as it is there and the one before it was
//! taken.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use platform::{BodyError, ByteStream};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::executor::{self, InvocationId, TaskId};
use crate::host;

/// A produced stream, as its owner holds it. Dropping it changes nothing.
#[derive(Clone, Copy)]
pub struct Produced {
    pub invocation: InvocationId,
    pub id: TaskId,
}

/// The task that serves one stream: it lives until the body has ended or the receiver has gone. It reads one chunk ahead of
/// what the receiver has taken.
struct Pump {
    stream: Produced,
    body: ByteStream,
    next: Option<Event>,
}

/// A chunk, a break, or the end.
type Event = Option<Result<Bytes, BodyError>>;

/// Offers `body` to the host. `None` outside of an invocation.
pub fn produce(body: ByteStream) -> Option<Produced> {
    let stream = Produced { invocation: executor::current()?, id: executor::next_number() };
    executor::spawn_numbered(stream.id, Pump { stream, body, next: None });
    Some(stream)
}

impl Produced {
    /// Drops the body; a receiver that still reads sees that it was cut off.
    pub fn cut(self) {
        executor::abort(self.invocation, self.id);
        host::close_stream(self.invocation, self.id, true);
    }
}

impl Future for Pump {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Produced { invocation, id } = self.stream;
        loop {
            let event = match self.next.take() {
                Some(event) => event,
                None => ready!(self.body.as_mut().poll_next(context)),
            };
            if !host::ready(invocation, id) {
                self.next = Some(event);
                return Poll::Pending;
            }
            match event {
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => host::write(invocation, id, &chunk),
                end => {
                    host::close_stream(invocation, id, end.is_some());
                    return Poll::Ready(());
                }
            }
        }
    }
}

/// The receiver of `stream` has taken what was written last.
#[wasm_bindgen]
pub fn proceed(invocation: u32, stream: u32) {
    executor::enter(invocation, || executor::poke(invocation, stream));
}

/// The receiver of `stream` has gone: the body is dropped, and with it what it came from.
#[wasm_bindgen]
pub fn cancel(invocation: u32, stream: u32) {
    executor::enter(invocation, || executor::abort(invocation, stream));
}
