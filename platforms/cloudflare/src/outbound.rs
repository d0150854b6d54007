//! Bodies that go out as streams: the first chunk is handed over as soon as it is there, each other one when the host
//! asks for it, at once and by itself.

use std::cell::RefCell;
use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use platform::ByteStream;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::executor::{self, InvocationId, TaskId};
use crate::host;

/// A produced stream, as its owner holds it. Dropping it changes nothing.
#[derive(Clone, Copy)]
pub struct Produced {
    pub invocation: InvocationId,
    pub id: TaskId,
}

/// The task that serves one stream: it lives until the body has ended or the receiver has gone.
struct Pump {
    stream: Produced,
    body: ByteStream,
}

thread_local! {
    /// Streams whose receiver waits for a chunk.
    static DEMANDED: RefCell<HashSet<TaskId>> = RefCell::default();
}

/// Offers `body` to the host. `None` outside of an invocation.
pub fn produce(body: ByteStream) -> Option<Produced> {
    let stream = Produced { invocation: executor::current()?, id: executor::next_number() };
    demanded(|ids| ids.insert(stream.id)); // the first chunk waits for its receiver, not the receiver for it
    executor::spawn_numbered(stream.id, Pump { stream, body });
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
        while demanded(|ids| ids.contains(&id)) {
            match ready!(self.body.as_mut().poll_next(context)) {
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => {
                    demanded(|ids| ids.remove(&id));
                    host::enqueue(invocation, id, &chunk);
                }
                end => {
                    host::close_stream(invocation, id, end.is_some());
                    return Poll::Ready(());
                }
            }
        }
        Poll::Pending
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        demanded(|ids| ids.remove(&self.stream.id));
    }
}

fn demanded<T>(change: impl FnOnce(&mut HashSet<TaskId>) -> T) -> T {
    DEMANDED.with_borrow_mut(change)
}

/// The receiver of `stream` waits for its next chunk.
#[wasm_bindgen]
pub fn pull(invocation: u32, stream: u32) {
    executor::enter(invocation, || {
        demanded(|ids| ids.insert(stream));
        executor::poke(invocation, stream);
    });
}

/// The receiver of `stream` has gone: the body is dropped, and with it what it came from.
#[wasm_bindgen]
pub fn cancel(invocation: u32, stream: u32) {
    executor::enter(invocation, || executor::abort(invocation, stream));
}
