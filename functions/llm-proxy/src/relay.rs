//! Passes a provider's stream on to the caller, event by event, and watches it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::{Stream, StreamExt};
use platform::{BodyError, BoxFuture, ByteStream, Clock, Timestamp};

use crate::answers::Verdict;
use crate::call::Call;
use crate::config::Timeouts;
use crate::ending::{Ending, error_event};
use crate::sse::{self, Framer};
use crate::usage_event::Status;

/// The caller's side of a streamed answer. Its size does not grow with the stream.
///
/// Complete events go on at once, with the provider's bytes; those that arrived together go on together. Dropping it
/// cancels the provider's answer.
pub(crate) struct Relay {
    state: State,
    /// Read before the answer's head was sent.
    held: VecDeque<Bytes>,
    framer: Framer,
    /// The caller did not ask for the event that carries only usage.
    hides_usage: bool,
    call: Call,
    clock: Arc<dyn Clock>,
    timer: Option<BoxFuture<'static, ()>>,
    /// Since when the provider has been waited for. A caller that reads slowly does not make it silent.
    waiting_since: Option<Timestamp>,
    opened_at: Timestamp,
    /// When the caller was last sent something; nothing before the first text.
    sent_at: Option<Timestamp>,
    deadline: Timestamp,
    limits: Timeouts,
}

enum State {
    /// Events are coming.
    Flowing(ByteStream),
    /// The last event has been passed on. The end of the provider's body is awaited for a moment, so that its connection can
    /// be used again.
    Draining(ByteStream),
    /// Nothing more comes, and this is how it ended.
    Ended(Ending),
    /// The caller has been told everything.
    Closed,
}

enum Step {
    Pass(Bytes),
    End(Ending),
}

/// An event longer than this is no piece of an answer, not even one with an image in it.
pub(crate) const LONGEST_EVENT: usize = 4 * 1024 * 1024;
/// A write is also the only way in which some hosts notice that the caller has gone.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);
const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");
/// An answer that has this much before its first text is passed on as it comes.
const MOST_HELD: usize = 64 * 1024;
const DRAIN: Duration = Duration::from_secs(1);

impl Relay {
    pub(crate) fn new(
        upstream: ByteStream,
        call: Call,
        hides_usage: bool,
        limits: Timeouts,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            state: State::Flowing(upstream),
            held: VecDeque::new(),
            framer: Framer::default(),
            hides_usage,
            deadline: call.tried_at().saturating_add(limits.stream),
            call,
            timer: None,
            waiting_since: None,
            opened_at: clock.now(),
            sent_at: None,
            limits,
            clock,
        }
    }

    /// Waits for the first text of the answer, so that a stream that fails before it can be answered by another route or
    /// with an error status. What comes before, such as a role, is held back until then.
    pub(crate) async fn begin(&mut self) -> Result<(), Ending> {
        loop {
            match poll_fn(|context| self.poll_step(context)).await {
                Step::Pass(bytes) => self.held.push_back(bytes),
                Step::End(ending) => return Err(ending),
            }
            if self.has_begun() || self.held.iter().map(Bytes::len).sum::<usize>() > MOST_HELD {
                self.pass_from(self.clock.now());
                return Ok(());
            }
        }
    }

    /// Whether the answer has begun, or is complete without any text.
    fn has_begun(&self) -> bool {
        let seen = &self.call.seen;
        seen.first_token_at.is_some() || seen.finish_reason.is_some() || matches!(self.state, State::Draining(_))
    }

    /// The call that this stream answers.
    pub(crate) fn call(&mut self) -> &mut Call {
        &mut self.call
    }

    /// Gives up the stream.
    pub(crate) fn into_call(self) -> Call {
        self.call
    }

    fn poll_step(&mut self, context: &mut task::Context<'_>) -> Poll<Step> {
        loop {
            match &mut self.state {
                State::Flowing(upstream) => {
                    let received = upstream.poll_next_unpin(context);
                    let bytes = match received {
                        Poll::Ready(received) => self.receive(received),
                        Poll::Pending => ready!(self.poll_timer(context)),
                    };
                    if !bytes.is_empty() {
                        return Poll::Ready(Step::Pass(bytes));
                    }
                }
                State::Draining(upstream) => match upstream.poll_next_unpin(context) {
                    Poll::Ready(Some(Ok(_))) => (),
                    Poll::Ready(_) => self.state = State::Closed,
                    Poll::Pending => {
                        let timer = self.timer.get_or_insert_with(|| self.clock.sleep(DRAIN));
                        ready!(timer.poll_unpin(context));
                        self.state = State::Closed;
                    }
                },
                State::Ended(_) | State::Closed => {
                    let ended = std::mem::replace(&mut self.state, State::Closed);
                    let ending = if let State::Ended(ending) = ended { ending } else { Ending::Done };
                    return Poll::Ready(Step::End(ending));
                }
            }
        }
    }

    /// What is to be passed on now that the provider has sent this.
    fn receive(&mut self, received: Option<Result<Bytes, BodyError>>) -> Bytes {
        let now = self.clock.now();
        self.waiting_since = None;
        match received {
            Some(Ok(_)) if now >= self.deadline => self.end(Ending::Overdue),
            Some(Ok(chunk)) => {
                let block = self.framer.feed(chunk);
                let bytes = self.judge(&block, now);
                if self.framer.pending() > LONGEST_EVENT && matches!(self.state, State::Flowing(_)) {
                    self.end(Ending::TooLong);
                }
                return self.pass(bytes, now);
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "the provider's stream broke off");
                self.end(Ending::Cut);
            }
            None => {
                let block = self.framer.finish();
                let bytes = self.judge(&block, now);
                // Half an event at the end is part of the cut.
                if matches!(self.state, State::Flowing(_) | State::Ended(Ending::Malformed)) {
                    self.end(Ending::Cut);
                }
                return self.pass(bytes, now);
            }
        }
        Bytes::new()
    }

    /// Looks at the events of `block`, which ends the stream if one of them does; returns those to be passed on.
    fn judge(&mut self, block: &Bytes, now: Timestamp) -> Bytes {
        let mut kept: Option<Vec<u8>> = None;
        let (mut from, mut start, mut stop, mut last) = (0, 0, block.len(), None);
        for &end in self.framer.ends() {
            let event = block.get(start..end).unwrap_or_default();
            match judge(event, &mut self.call, now) {
                Verdict::Usage if self.hides_usage => {
                    kept.get_or_insert_default().extend_from_slice(block.get(from..start).unwrap_or_default());
                    from = end;
                }
                Verdict::Pass | Verdict::Usage => (),
                Verdict::End(ending) => {
                    stop = if ending == Ending::Done { end } else { start };
                    last = Some(ending);
                    break;
                }
            }
            start = end;
        }
        if let Some(ending) = last {
            self.end(ending);
        }
        match kept {
            None => block.slice(..stop),
            Some(mut kept) => {
                kept.extend_from_slice(block.get(from..stop).unwrap_or_default());
                kept.into()
            }
        }
    }

    /// Takes note that `bytes` go to the caller. A complete answer is settled here: openai-python hangs up at `[DONE]`.
    fn pass(&mut self, bytes: Bytes, now: Timestamp) -> Bytes {
        if !bytes.is_empty() && (self.sent_at.is_some() || self.has_begun()) {
            self.pass_from(now);
        }
        if matches!(self.state, State::Draining(_)) {
            self.call.settle(Status::Success);
        }
        bytes
    }

    /// At `now` something goes to the caller.
    fn pass_from(&mut self, now: Timestamp) {
        if self.sent_at.is_none() {
            self.timer = None;
        }
        self.sent_at = Some(now);
        self.call.http_status = Some(200);
    }

    /// Ends the stream. The provider's answer is cancelled unless it was complete.
    fn end(&mut self, ending: Ending) {
        let complete = ending.is_silence() && self.call.seen.is_finished();
        let ending = if complete { Ending::Finished } else { ending };
        let state = std::mem::replace(&mut self.state, State::Closed);
        self.timer = None;
        self.state = match (state, ending) {
            (State::Flowing(upstream), Ending::Done) => State::Draining(upstream),
            (_, ending) => State::Ended(ending),
        };
    }

    /// Completes when a limit has passed, which ends the stream, or with a comment when the caller needs a sign of life.
    fn poll_timer(&mut self, context: &mut task::Context<'_>) -> Poll<Bytes> {
        let waiting_since = *self.waiting_since.get_or_insert_with(|| self.clock.now());
        loop {
            if let Some(timer) = &mut self.timer {
                ready!(timer.poll_unpin(context));
                self.timer = None;
            }
            let now = self.clock.now();
            let silent_at = match self.sent_at {
                Some(_) => waiting_since.saturating_add(self.limits.idle),
                None => self.opened_at.saturating_add(self.limits.first_token),
            };
            let keep_alive_at = self.sent_at.map_or(Timestamp::MAX, |at| at.saturating_add(KEEP_ALIVE_EVERY));
            if now >= self.deadline || now >= silent_at {
                self.end(if now >= self.deadline { Ending::Overdue } else { Ending::Stalled });
                return Poll::Ready(Bytes::new());
            }
            if now >= keep_alive_at {
                return Poll::Ready(self.pass(KEEP_ALIVE, now));
            }
            let next = self.deadline.min(silent_at).min(keep_alive_at);
            let wait = next.duration_since(now);
            self.timer = Some(self.clock.sleep(wait.max(Duration::from_millis(1))));
        }
    }
}

impl Stream for Relay {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(held) = self.held.pop_front() {
            return Poll::Ready(Some(Ok(held)));
        }
        Poll::Ready(match ready!(self.poll_step(context)) {
            Step::Pass(bytes) => Some(Ok(bytes)),
            Step::End(ending) => {
                self.call.settle(ending.status());
                ending.problem(&self.limits).map(|problem| Ok(error_event(&ending, &problem, &self.call)))
            }
        })
    }
}

fn judge(event: &[u8], call: &mut Call, now: Timestamp) -> Verdict {
    if event.len() > LONGEST_EVENT {
        return Verdict::End(Ending::TooLong);
    }
    let data = sse::data(event).unwrap_or_default();
    if data.is_empty() {
        return Verdict::Pass;
    }
    call.see_event(&data, now)
}
