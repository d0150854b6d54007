//! Writes usage events to the database after the answer, in batches.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_channel::oneshot;
use platform::{Context, Timestamp};
use serde::{Deserialize, Serialize};
use supabase::{Error, Identity, RECORD_LLM_USAGE, Supabase};
use uuid::Uuid;

use crate::usage_event::UsageEvent;

/// A bounded queue of events and at most one writer at a time.
///
/// An event leaves the queue when the database has it. A writer that is torn down without a trace leaves everything
/// there, and after its lease the next one starts over: events have ids, so what was stored twice is there once.
///
/// Nobody waits for anybody here: some hosts bind I/O to the request that began it, so no request may be woken by
/// another. Who adds an event while somebody writes is done; the writer looks again before it stops.
pub(crate) struct Recorder {
    supabase: Supabase,
    state: Mutex<State>,
    limits: Limits,
}

#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// How many events may wait.
    pub(crate) queue: usize,
    /// How many events are sent at a time.
    pub(crate) batch: usize,
}

#[derive(Default)]
struct State {
    /// In the order of their numbers.
    queue: VecDeque<(u64, Arc<UsageEvent>)>,
    added: u64,
    /// Until then somebody writes; the number tells whether it is still the same one.
    writing: Option<(u64, Timestamp)>,
    writers: u64,
}

/// The right to write, given back when dropped.
struct Writing<'a> {
    recorder: &'a Recorder,
    number: u64,
}

struct Batch {
    last: u64,
    events: Vec<Arc<UsageEvent>>,
}

/// Half a kilobyte per event: two megabytes at most.
pub(crate) const LIMITS: Limits = Limits { queue: 4_096, batch: 200 };
/// How long a writer lets events gather. Writing each by itself costs about as much as the call it tells of.
pub(crate) const GATHER: Duration = Duration::from_millis(20);
/// Hosts end background work some 30 s after the answer.
const BACK_OFF: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
const LEASE: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct Events<'a> {
    events: &'a [&'a UsageEvent],
}

#[derive(Deserialize)]
struct Recorded {
    #[serde(default)]
    refused: Vec<RefusedEvent>,
}

/// An event that breaks a rule of the table, which no repetition changes.
#[derive(Deserialize)]
struct RefusedEvent {
    id: Option<Uuid>,
    reason: Option<String>,
}

impl Recorder {
    pub(crate) fn new(supabase: Supabase, limits: Limits) -> Arc<Self> {
        Arc::new(Self { supabase, state: Mutex::default(), limits })
    }

    /// Promises an event: the background work of this request waits for it, adds it and writes.
    ///
    /// It is registered before the call, since hosts let nothing begin once a caller has gone.
    pub(crate) fn expect(self: &Arc<Self>, context: &Context) -> oneshot::Sender<UsageEvent> {
        let (sender, event) = oneshot::channel();
        let (recorder, background) = (Arc::clone(self), context.clone());
        context.background.spawn(Box::pin(async move {
            if let Ok(event) = event.await {
                recorder.add(event);
                recorder.write(&background).await;
            }
        }));
        sender
    }

    fn add(&self, event: UsageEvent) {
        let mut state = self.state();
        if state.queue.len() >= self.limits.queue
            && let Some((_, lost)) = state.queue.pop_front()
        {
            tracing::error!(event = %lost.id, "a usage event is lost: the queue is full");
        }
        state.added += 1;
        let number = state.added;
        state.queue.push_back((number, Arc::new(event)));
    }

    /// Writes until the queue is empty or the database stays away. Nothing if somebody else is writing.
    pub(crate) async fn write(&self, context: &Context) {
        let Some(writing) = self.begin(context.clock.now()) else { return };
        let mut pauses = BACK_OFF.iter();
        loop {
            if self.state().queue.len() < self.limits.batch {
                context.clock.sleep(GATHER).await;
            }
            let Some(batch) = writing.next(context.clock.now()) else { return };
            let events: Vec<_> = batch.events.iter().map(|event| &**event).collect();
            match self.send(&events, context).await {
                Ok(recorded) => {
                    for refused in recorded.refused {
                        tracing::error!(event = ?refused.id, reason = refused.reason, "the database refused a usage event");
                    }
                    self.forget(batch.last);
                    pauses = BACK_OFF.iter();
                }
                Err(error) => {
                    let queued = self.state().queue.len();
                    tracing::warn!(%error, queued, "usage events could not be written");
                    match pauses.next() {
                        Some(pause) if is_temporary(&error) => context.clock.sleep(*pause).await,
                        _ => return,
                    }
                }
            }
        }
    }

    async fn send(&self, events: &[&UsageEvent], context: &Context) -> Result<Recorded, Error> {
        // As the edge: callers must not write their own bill.
        self.supabase.rpc(context, RECORD_LLM_USAGE, &Events { events }, Identity::Service).await
    }

    fn begin(&self, now: Timestamp) -> Option<Writing<'_>> {
        let mut state = self.state();
        let taken = state.writing.is_some_and(|(_, until)| now < until);
        if taken || state.queue.is_empty() {
            return None;
        }
        state.writers += 1;
        state.writing = Some((state.writers, later(now)));
        Some(Writing { recorder: self, number: state.writers })
    }

    /// The events up to number `last` are in the database.
    fn forget(&self, last: u64) {
        let mut state = self.state();
        while state.queue.front().is_some_and(|(number, _)| *number <= last) {
            state.queue.pop_front();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writing<'_> {
    /// The oldest events, and time to write them. None if there are none, which ends the writing at the same moment, or
    /// if another writer has taken over.
    fn next(&self, now: Timestamp) -> Option<Batch> {
        let mut state = self.recorder.state();
        if state.writing.is_none_or(|(number, _)| number != self.number) {
            return None;
        }
        let events = state.queue.iter().take(self.recorder.limits.batch);
        let batch = events.fold(Batch { last: 0, events: Vec::new() }, |mut batch, (number, event)| {
            batch.last = *number;
            batch.events.push(Arc::clone(event));
            batch
        });
        state.writing = (!batch.events.is_empty()).then(|| (self.number, later(now)));
        (!batch.events.is_empty()).then_some(batch)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut state = self.recorder.state();
        if state.writing.is_some_and(|(number, _)| number == self.number) {
            state.writing = None;
        }
    }
}

/// Whether the same batch may be taken a little later. What is otherwise wrong, such as a key, waits for an operator.
fn is_temporary(error: &Error) -> bool {
    match error {
        Error::Unavailable { .. } | Error::Timeout | Error::Contention { .. } => true,
        Error::Failed { status, .. } => *status >= 500,
        _ => false,
    }
}

fn later(now: Timestamp) -> Timestamp {
    now.checked_add(LEASE).unwrap_or(Timestamp::MAX)
}
