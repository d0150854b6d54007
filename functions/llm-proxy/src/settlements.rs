//! Tells the ledger how calls ended, after their answers, in batches.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use limits::Answered;
use platform::{BoxFuture, Context, Timestamp};
use quota::account::{Operation, Outcome, Reserve};
use supabase::Supabase;

/// A bounded queue of endings and at most one writer at a time.
///
/// An ending leaves the queue when the ledger has it. A writer that is torn down without a trace leaves everything
/// there, and after its lease the next one starts over: what the ledger is told twice counts once. What it is never
/// told it charges by itself, as reserved.
///
/// Nobody waits for anybody here: some hosts bind I/O to the request that began it, so no request may be woken by
/// another. Who adds an ending while somebody writes is done; the writer looks again before it stops.
pub(crate) struct Settlements {
    supabase: Supabase,
    state: Mutex<State>,
    limits: Limits,
}

#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// How many endings may wait.
    pub(crate) queue: usize,
    /// How many endings are sent at a time.
    pub(crate) batch: usize,
}

#[derive(Default)]
struct State {
    /// In the order of their numbers.
    queue: VecDeque<(u64, Arc<Ending>)>,
    added: u64,
    /// Until then somebody writes; the number tells whether it is still the same one.
    writing: Option<(u64, Timestamp)>,
    writers: u64,
}

/// How a call ended, and in whose account.
struct Ending {
    account: String,
    operation: Operation,
}

/// The right to write, given back when dropped.
struct Writing<'a> {
    settlements: &'a Settlements,
    number: u64,
}

type Batch = Vec<(u64, Arc<Ending>)>;

/// A kilobyte per ending: four megabytes at most.
pub(crate) const LIMITS: Limits = Limits { queue: 4_096, batch: 200 };
/// How long a writer lets endings gather. Telling each by itself costs about as much as the call it tells of.
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

impl Settlements {
    pub(crate) fn new(supabase: Supabase, limits: Limits) -> Arc<Self> {
        Arc::new(Self { supabase, state: Mutex::default(), limits })
    }

    /// Asks the ledger in the background of this request, waits there for the call's end, and tells it.
    pub(crate) fn expect(self: &Arc<Self>, answered: Answered, account: String, reserve: Reserve, context: &Context) {
        let (settlements, background) = (Arc::clone(self), context.clone());
        context.background.spawn(Box::pin(async move {
            if let Some(operation) = answered.run(&account, reserve, &background).await {
                settlements.add(Ending { account, operation });
                settlements.write(&background).await;
            }
        }));
    }

    fn add(&self, ending: Ending) {
        let mut state = self.state();
        if state.queue.len() >= self.limits.queue
            && let Some((_, lost)) = state.queue.pop_front()
        {
            tracing::error!(account = lost.account, "the end of a call is not settled: the queue is full");
        }
        state.added += 1;
        let number = state.added;
        state.queue.push_back((number, Arc::new(ending)));
    }

    /// Writes until the queue is empty or the ledger stays away. Nothing if somebody else is writing.
    pub(crate) async fn write(&self, context: &Context) {
        let Some(writing) = self.begin(context.clock.now()) else { return };
        let mut pauses = BACK_OFF.iter();
        loop {
            if self.state().queue.len() < self.limits.batch {
                context.clock.sleep(GATHER).await;
            }
            let Some(batch) = writing.next(context.clock.now()) else { return };
            let told = self.tell(&batch, context).await;
            self.forget(&told);
            if told.len() == batch.len() {
                pauses = BACK_OFF.iter();
            } else if let Some(pause) = pauses.next() {
                context.clock.sleep(*pause).await;
            } else {
                return;
            }
        }
    }

    /// Tells every account its part; returns the numbers of what has been taken.
    async fn tell(&self, batch: &Batch, context: &Context) -> HashSet<u64> {
        let mut accounts: BTreeMap<&str, Vec<(u64, &Operation)>> = BTreeMap::new();
        for (number, ending) in batch {
            accounts.entry(&ending.account).or_default().push((*number, &ending.operation));
        }
        let mut tellings: Vec<BoxFuture<'_, Vec<u64>>> = Vec::with_capacity(accounts.len());
        for (account, endings) in accounts {
            tellings.push(Box::pin(self.tell_account(account, endings, context)));
        }
        join_all(tellings).await.into_iter().flatten().collect()
    }

    async fn tell_account(&self, account: &str, endings: Vec<(u64, &Operation)>, context: &Context) -> Vec<u64> {
        let operations: Vec<Operation> = endings.iter().map(|(_, operation)| (*operation).clone()).collect();
        let outcomes = match context.ledger.apply(account, &operations).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                tracing::warn!(%error, account, endings = endings.len(), "calls could not be settled");
                return Vec::new();
            }
        };
        let unknown = operations.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == Outcome::Unknown);
        let records: Vec<String> = unknown.filter_map(|(operation, _)| record(operation)).collect();
        if !records.is_empty() && !self.record(account, &records, context).await {
            return Vec::new();
        }
        endings.into_iter().map(|(number, _)| number).collect()
    }

    /// Writes the rows of calls that the ledger has forgotten: they were charged as reserved long ago.
    async fn record(&self, account: &str, records: &[String], context: &Context) -> bool {
        tracing::error!(account, calls = records.len(), "calls were settled that the ledger does not know");
        let recorded = self.supabase.record_usage(context, records).await;
        recorded.inspect_err(|error| tracing::warn!(%error, "usage events could not be written")).is_ok()
    }

    fn begin(&self, now: Timestamp) -> Option<Writing<'_>> {
        let mut state = self.state();
        let taken = state.writing.is_some_and(|(_, until)| now < until);
        if taken || state.queue.is_empty() {
            return None;
        }
        state.writers += 1;
        state.writing = Some((state.writers, now.saturating_add(LEASE)));
        Some(Writing { settlements: self, number: state.writers })
    }

    fn forget(&self, told: &HashSet<u64>) {
        self.state().queue.retain(|(number, _)| !told.contains(number));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writing<'_> {
    /// The oldest endings, and time to tell them. None if there are none, which ends the writing at the same moment, or
    /// if another writer has taken over.
    fn next(&self, now: Timestamp) -> Option<Batch> {
        let mut state = self.settlements.state();
        if state.writing.is_none_or(|(number, _)| number != self.number) {
            return None;
        }
        let batch: Batch = state.queue.iter().take(self.settlements.limits.batch).cloned().collect();
        state.writing = (!batch.is_empty()).then(|| (self.number, now.saturating_add(LEASE)));
        (!batch.is_empty()).then_some(batch)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut state = self.settlements.state();
        if state.writing.is_some_and(|(number, _)| number == self.number) {
            state.writing = None;
        }
    }
}

fn record(operation: &Operation) -> Option<String> {
    match operation {
        Operation::Settle { record, .. } | Operation::Release { record, .. } => record.clone(),
        _ => None,
    }
}
