//! Runs futures, each inside the invocation that began it.
//!
//! An invocation is one call of the Worker: a request, a trigger, an event of a Durable Object. Every entry from
//! JavaScript belongs to one, and before it returns all tasks of that invocation which became ready are polled: no
//! microtask lies between an answer from the host and the code that waited for it. A task that becomes ready in another
//! invocation's entry (it waited for something they share) is polled in its own, which the host enters on request.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use crate::{clock, host, sleep};

/// The number of an invocation, given by the host.
pub type InvocationId = u32;
/// The number of a task; never 0.
pub type TaskId = u32;

type Work = Pin<Box<dyn Future<Output = ()>>>;

struct Task {
    /// `None` while it is being polled.
    future: Option<Work>,
    waker: Arc<TaskWaker>,
}

#[derive(Default)]
struct Invocation {
    tasks: HashMap<TaskId, Task>,
    ready: VecDeque<TaskId>,
}

struct TaskWaker {
    invocation: InvocationId,
    task: TaskId,
    queued: AtomicBool,
}

thread_local! {
    static INVOCATIONS: RefCell<HashMap<InvocationId, Invocation>> = RefCell::default();
    /// The invocation whose entry is running.
    static CURRENT: Cell<Option<InvocationId>> = const { Cell::new(None) };
    static LAST_NUMBER: Cell<u32> = const { Cell::new(0) };
}

/// The invocation whose code is running: its I/O is counted there.
pub fn current() -> Option<InvocationId> {
    CURRENT.get()
}

/// A number not used before in this instance, for tasks and operations; never 0.
pub fn next_number() -> u32 {
    let number = LAST_NUMBER.get().wrapping_add(1).max(1);
    LAST_NUMBER.set(number);
    number
}

/// Runs `entry` inside `invocation`, then every task of it that is ready.
///
/// An entry may happen within another one, when the host answers a call by calling back. Then the outer one does the
/// polling.
pub fn enter(invocation: InvocationId, entry: impl FnOnce()) {
    let outer = CURRENT.replace(Some(invocation));
    clock::ask_again();
    entry();
    if outer != Some(invocation) {
        run(invocation);
    }
    CURRENT.set(outer);
}

/// Starts `future` in the current invocation. Outside of one there is nobody to run it, and it is dropped.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    spawn_numbered(next_number(), future);
}

/// Starts `future` as the task `id`.
pub fn spawn_numbered(id: TaskId, future: impl Future<Output = ()> + 'static) {
    let Some(invocation) = current() else { return };
    let waker = Arc::new(TaskWaker { invocation, task: id, queued: AtomicBool::new(true) });
    with(|invocations| {
        let invocation = invocations.entry(invocation).or_default();
        invocation.tasks.insert(id, Task { future: Some(Box::pin(future)), waker });
        invocation.ready.push_back(id);
    });
}

/// Drops the task `id`, wherever it stands.
pub fn abort(invocation: InvocationId, id: TaskId) {
    let task = with(|invocations| invocations.get_mut(&invocation)?.tasks.remove(&id));
    drop(task); // outside of the borrow: dropping may spawn
}

/// Makes the task `id` ready.
pub fn poke(invocation: InvocationId, id: TaskId) {
    let waker = with(|invocations| Some(invocations.get(&invocation)?.tasks.get(&id)?.waker.clone()));
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// How many invocations have work left.
#[cfg(feature = "probe")]
pub fn invocations() -> usize {
    with(|invocations| invocations.len())
}

fn run(invocation: InvocationId) {
    while let Some((id, mut future, waker)) = with(|invocations| next_ready(invocations.get_mut(&invocation)?)) {
        waker.queued.store(false, Ordering::Relaxed);
        let waker = Waker::from(waker);
        let pending = future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending();
        let finished = with(|invocations| match invocations.get_mut(&invocation)?.tasks.get_mut(&id) {
            Some(task) if pending => {
                task.future = Some(future);
                None
            }
            _ => Some(future), // done, or aborted while it ran
        });
        if finished.is_some() {
            drop(finished); // outside of the borrow: dropping may spawn
            with(|invocations| invocations.get_mut(&invocation)?.tasks.remove(&id));
        }
    }
    let idle = with(|invocations| match invocations.get(&invocation) {
        Some(state) if !state.tasks.is_empty() => None,
        _ => Some(invocations.remove(&invocation)),
    });
    if idle.is_some() {
        sleep::forget(invocation);
        host::finished(invocation);
    }
}

fn next_ready(invocation: &mut Invocation) -> Option<(TaskId, Work, Arc<TaskWaker>)> {
    loop {
        let id = invocation.ready.pop_front()?;
        if let Some(task) = invocation.tasks.get_mut(&id)
            && let Some(future) = task.future.take()
        {
            return Some((id, future, task.waker.clone()));
        }
    }
}

fn with<T>(change: impl FnOnce(&mut HashMap<InvocationId, Invocation>) -> T) -> T {
    INVOCATIONS.with_borrow_mut(change)
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.queued.swap(true, Ordering::Relaxed) {
            return;
        }
        let exists = with(|invocations| {
            let invocation = invocations.get_mut(&self.invocation)?;
            invocation.ready.push_back(self.task);
            Some(())
        });
        if exists.is_some() && current() != Some(self.invocation) {
            host::wake(self.invocation);
        }
    }
}
