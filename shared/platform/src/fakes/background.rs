use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use futures_util::future::join_all;

use crate::{Background, BoxFuture};

/// Keeps background tasks until the test runs them, or waits for something that they do.
#[derive(Clone, Default)]
pub struct QueuedBackground(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

impl QueuedBackground {
    /// How many tasks wait.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Whether no task waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Runs the waiting tasks beside each other, and those that they spawn, until none is left.
    pub async fn run_all(&self) {
        loop {
            let tasks = std::mem::take(&mut *self.0.lock().unwrap());
            if tasks.is_empty() {
                return;
            }
            join_all(tasks).await;
        }
    }

    /// Drops all tasks, as a host does that ends.
    pub fn forget(&self) {
        self.0.lock().unwrap().clear();
    }

    /// Lets every waiting task do what it can, as well as those that they spawn.
    pub fn poll(&self, waker: &Waker) {
        let mut waiting = Vec::new();
        loop {
            let tasks = std::mem::take(&mut *self.0.lock().unwrap());
            if tasks.is_empty() {
                break;
            }
            let mut context = Context::from_waker(waker);
            waiting.extend(tasks.into_iter().filter_map(|mut task| {
                let is_done = task.as_mut().poll(&mut context).is_ready();
                (!is_done).then_some(task)
            }));
        }
        self.0.lock().unwrap().extend(waiting);
    }
}

impl Background for QueuedBackground {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.lock().unwrap().push(task);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::fakes::block_on;

    #[test]
    fn runs_tasks_only_when_told_and_also_those_that_tasks_spawn() {
        let (background, ran) = (QueuedBackground::default(), Arc::new(AtomicUsize::new(0)));
        let (inner, count) = (background.clone(), Arc::clone(&ran));
        background.spawn(Box::pin(async move {
            count.fetch_add(1, Ordering::Relaxed);
            inner.spawn(Box::pin(async move {
                count.fetch_add(1, Ordering::Relaxed);
            }));
        }));
        assert_eq!((ran.load(Ordering::Relaxed), background.len()), (0, 1));
        block_on(background.run_all());
        assert_eq!((ran.load(Ordering::Relaxed), background.is_empty()), (2, true));
    }
}
