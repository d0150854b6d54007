//! Runs a request and the work that it starts beside itself.
//!
//! The SDK's executor takes a new task over only after the one that spawned it has been polled, and then asks the host
//! for another turn, which goes through the host's scheduler; so does every wake of one task by another. So a request and
//! its tasks are one task for the SDK: they are polled here, in one turn, until none of them can go on.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use futures_util::task::AtomicWaker;
use spin_sdk::wasip3::clocks::monotonic_clock::Mark;
use spin_sdk::wasip3::wit_bindgen;

use crate::clock;
use crate::sleep::{self, Sleepers};

type Task = LocalBoxFuture<'static, ()>;

/// After so many rounds the host gets a turn: what wakes itself for ever must not keep it from everything else.
const ROUNDS: usize = 64;

/// For longer sleeps a timer is set again. So one timer does for most requests: of those that come later to sleep, few
/// must wake before it runs out.
const LONGEST_TIMER: Duration = Duration::from_secs(1);

thread_local! {
    /// What has been spawned in the present turn and is still to be begun.
    static SPAWNED: RefCell<Vec<Task>> = const { RefCell::new(Vec::new()) };
}

/// A request with what it has spawned.
struct Tasks {
    /// Timers of the host among them.
    running: FuturesUnordered<Task>,
    waker: Arc<TurnWaker>,
    sleepers: Rc<Sleepers>,
    /// When the timers of the host run out.
    timers: Rc<RefCell<Vec<Mark>>>,
}

/// Wakes the SDK's task; while that is polled, another round is enough.
#[derive(Default)]
struct TurnWaker {
    task: AtomicWaker,
    polling: AtomicBool,
    again: AtomicBool,
}

/// Runs `future` beside the present request, also after its response has been returned.
pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) {
    SPAWNED.with_borrow_mut(|spawned| spawned.push(Box::pin(future)));
}

/// Runs `request` and what it spawns. What is left when `request` completes runs on, for as long as the host lets it.
pub(crate) async fn run<F: Future + 'static>(request: F) -> F::Output {
    let output = Rc::new(Cell::new(None));
    let completed = Rc::clone(&output);
    let mut tasks = Tasks::of(async move { completed.set(Some(request.await)) });
    let output = poll_fn(|context| tasks.turn(context, || output.take())).await;
    wit_bindgen::spawn(tasks.rest());
    output
}

impl Tasks {
    fn of(request: impl Future<Output = ()> + 'static) -> Self {
        let running = FuturesUnordered::new();
        running.push(Box::pin(request) as Task);
        Self { running, waker: Arc::default(), sleepers: Rc::default(), timers: Rc::default() }
    }

    /// Polls all tasks until none of them can go on, or one has completed and there is an output.
    fn turn<T>(&mut self, context: &mut Context<'_>, output: impl Fn() -> Option<T>) -> Poll<T> {
        clock::go_on();
        self.waker.task.register(context.waker());
        for _ in 0..ROUNDS {
            let again = Rc::clone(&self.sleepers).within(|| self.round());
            if let Some(output) = output() {
                return Poll::Ready(output);
            }
            if !again && !self.set_timer() {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Polls what is ready until a task has completed or all wait. Whether another round may find something to do.
    fn round(&mut self) -> bool {
        self.begin();
        self.waker.again.store(false, Ordering::Relaxed);
        self.waker.polling.store(true, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&self.waker));
        let completed = self.running.poll_next_unpin(&mut Context::from_waker(&waker)) == Poll::Ready(Some(()));
        self.waker.polling.store(false, Ordering::Relaxed);
        // A task that has completed may have woken others.
        completed | self.begin() | self.waker.again.load(Ordering::Relaxed)
    }

    /// Takes over what has been spawned. Whether there was anything.
    fn begin(&mut self) -> bool {
        let spawned = SPAWNED.take();
        let any = !spawned.is_empty();
        self.running.extend(spawned);
        any
    }

    /// Sets a timer for the earliest sleeper, unless there is one that runs out before. Whether it has been set.
    fn set_timer(&mut self) -> bool {
        let Some(deadline) = self.sleepers.earliest() else { return false };
        if self.timers.borrow().iter().any(|set| *set <= deadline) {
            return false;
        }
        let at = deadline.min(sleep::after(LONGEST_TIMER));
        self.timers.borrow_mut().push(at);
        let (timers, sleepers) = (Rc::clone(&self.timers), Rc::clone(&self.sleepers));
        self.running.push(Box::pin(async move {
            sleepers.wake_at(at).await;
            timers.borrow_mut().retain(|set| *set != at);
        }));
        true
    }

    /// Runs what the request has left behind, until only timers are left.
    async fn rest(mut self) {
        poll_fn(|context| {
            let waits = self.turn(context, || None::<()>);
            if self.running.len() == self.timers.borrow().len() { Poll::Ready(()) } else { waits }
        })
        .await;
    }
}

impl Wake for TurnWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.polling.load(Ordering::Relaxed) {
            self.again.store(true, Ordering::Relaxed);
        } else {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_channel::oneshot;

    use super::*;

    /// The SDK's executor, as far as it sees these tasks: it counts how often it is asked for another turn.
    #[derive(Default)]
    struct Turns(AtomicUsize);

    impl Wake for Turns {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Polls `future` once; its output, and how many more turns it has asked for.
    fn turn<F: Future>(future: std::pin::Pin<&mut F>) -> (Poll<F::Output>, usize) {
        let turns = Arc::new(Turns::default());
        let polled = future.poll(&mut Context::from_waker(&turns.clone().into()));
        (polled, turns.0.load(Ordering::Relaxed))
    }

    #[test]
    fn tasks_that_wait_for_each_other_take_one_turn() {
        let request = async {
            let (question, asked) = oneshot::channel();
            let (answer, answered) = oneshot::channel();
            spawn(async {
                spawn(async { question.send(20).unwrap() });
                answer.send(asked.await.unwrap() + 1).unwrap();
            });
            answered.await.unwrap() * 2
        };
        assert_eq!(turn(std::pin::pin!(run(request))), (Poll::Ready(42), 0));
    }

    #[test]
    fn what_comes_from_outside_wakes_the_task_that_waits_for_it_and_no_other() {
        let (event, arrives) = oneshot::channel::<u8>();
        let polls = Rc::new(Cell::new(0));
        let counted = Rc::clone(&polls);
        let mut request = std::pin::pin!(run(async move {
            spawn(async move {
                poll_fn(|_| {
                    counted.set(counted.get() + 1);
                    Poll::<()>::Pending
                })
                .await;
            });
            arrives.await.unwrap()
        }));
        let turns = Arc::new(Turns::default());
        let waker = Waker::from(turns.clone());
        assert!(request.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        event.send(7).unwrap();
        assert_eq!(turns.0.load(Ordering::Relaxed), 1);
        assert_eq!(turn(request), (Poll::Ready(7), 0));
        assert_eq!(polls.get(), 1);
    }

    #[test]
    fn what_the_request_leaves_behind_runs_on_to_its_end() {
        let (event, arrives) = oneshot::channel::<()>();
        let done = Rc::new(Cell::new(false));
        let set = Rc::clone(&done);
        let tasks = Tasks::of(async move {
            arrives.await.unwrap();
            spawn(async move { set.set(true) });
        });
        let mut rest = std::pin::pin!(tasks.rest());
        assert_eq!(turn(rest.as_mut()), (Poll::Pending, 0));
        event.send(()).unwrap();
        assert_eq!(turn(rest), (Poll::Ready(()), 0));
        assert!(done.get());
    }

    #[test]
    fn what_wakes_itself_for_ever_lets_the_host_have_its_turn() {
        let restless = poll_fn(|context| {
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert_eq!(turn(std::pin::pin!(run(restless))), (Poll::Pending, 1));
    }
}
