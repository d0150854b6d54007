use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::executor::{self, InvocationId};

/// One pending promise of the host, as a future. It is two numbers, so that it is `Send` as the port's futures are.
pub struct Operation {
    pub invocation: InvocationId,
    pub id: u32,
}

/// How an operation ended.
pub enum Outcome {
    /// Nothing more to say: a body ended.
    Done,
    /// A head, a decision, a verdict.
    Text(String),
    /// A chunk, or a whole body.
    Bytes(Bytes),
    /// The head of a response with all of its body.
    Answer(String, Bytes),
    /// The promise was rejected, with this reason.
    Failed(String),
}

enum State {
    Pending(Option<Waker>),
    Settled(Outcome),
}

thread_local! {
    static OPERATIONS: RefCell<HashMap<u32, State>> = RefCell::default();
}

impl Operation {
    /// Begins an operation in the invocation that is running; `start` tells the host.
    pub fn begin(start: impl FnOnce(InvocationId, u32)) -> Self {
        let id = executor::next_number();
        let Some(invocation) = executor::current() else {
            let outcome = Outcome::Failed("no request or event is being handled".into());
            with(|operations| operations.insert(id, State::Settled(outcome)));
            return Self { invocation: 0, id };
        };
        with(|operations| operations.insert(id, State::Pending(None)));
        start(invocation, id);
        Self { invocation, id }
    }
}

impl Future for Operation {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        with(|operations| {
            if let Some(State::Settled(outcome)) = operations.remove(&self.id) {
                return Poll::Ready(outcome);
            }
            operations.insert(self.id, State::Pending(Some(context.waker().clone())));
            Poll::Pending
        })
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        with(|operations| operations.remove(&self.id));
    }
}

fn with<T>(change: impl FnOnce(&mut HashMap<u32, State>) -> T) -> T {
    OPERATIONS.with_borrow_mut(change)
}

fn settle(invocation: InvocationId, id: u32, outcome: Outcome) {
    executor::enter(invocation, || {
        let waker = with(|operations| {
            let state = operations.get_mut(&id)?; // dropped meanwhile: nobody waits
            match std::mem::replace(state, State::Settled(outcome)) {
                State::Pending(waker) => waker,
                State::Settled(_) => None,
            }
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    });
}

/// The host has settled `operation`.
#[wasm_bindgen(js_name = settleDone)]
pub fn settle_done(invocation: u32, operation: u32) {
    settle(invocation, operation, Outcome::Done);
}

/// The host has settled `operation` with a string.
#[wasm_bindgen(js_name = settleText)]
pub fn settle_text(invocation: u32, operation: u32, text: String) {
    settle(invocation, operation, Outcome::Text(text));
}

/// The host has settled `operation` with bytes.
#[wasm_bindgen(js_name = settleBytes)]
pub fn settle_bytes(invocation: u32, operation: u32, bytes: Vec<u8>) {
    settle(invocation, operation, Outcome::Bytes(bytes.into()));
}

/// The host has settled `operation` with a response: its head and all of its body.
#[wasm_bindgen(js_name = settleAnswer)]
pub fn settle_answer(invocation: u32, operation: u32, head: String, body: Vec<u8>) {
    settle(invocation, operation, Outcome::Answer(head, body.into()));
}

/// The host has failed `operation`.
#[wasm_bindgen(js_name = settleFailed)]
pub fn settle_failed(invocation: u32, operation: u32, reason: String) {
    settle(invocation, operation, Outcome::Failed(reason));
}
