use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep_until};
use wasmtime::component::GuestTaskId;
use wasmtime::{Engine, Store, StoreContextMut};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, Proxy, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::p3::bindings::ServicePre;

use crate::client::Client;
use crate::components::Neighbours;
use crate::guest::{Grants, Guest};

/// How many requests an instance answers before it is replaced, by Spin's default.
const REQUESTS: usize = 128;
/// How many requests may wait for an instance's answer at once, by Spin's default. An answer that still streams does not
/// count.
const AT_ONCE: usize = 16;
/// How long an instance may have nothing to do, by Spin's default.
const IDLE: Duration = Duration::from_secs(1);

/// Makes instances of one component.
pub(crate) struct Instances {
    pub engine: Engine,
    pub component: ServicePre<Guest>,
    pub grants: Arc<Grants>,
    pub client: Client,
    pub neighbours: Neighbours,
    /// Whether the host stops: an instance that it takes down then has not failed.
    pub stopping: Arc<AtomicBool>,
}

/// Decides how long one instance is used.
pub(crate) struct Reuse {
    component: Arc<str>,
    stopping: Arc<AtomicBool>,
}

/// Ends an instance that has had nothing to do for a while.
pub(crate) struct Idle {
    /// Put back only when it has run out: setting a timer for every request would cost more.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Instances {
    /// Makes an instance and drops it; the error says, with all causes, why there can be none.
    pub(crate) async fn try_one(&self) -> Result<(), String> {
        self.instantiate().await.map(drop).map_err(|error| format!("{error:#}"))
    }
}

impl HandlerState for Instances {
    type StoreData = Guest;
    type WorkerExpiration = Idle;
    type WorkerState = Reuse;

    async fn instantiate(&self) -> wasmtime::Result<Instance<Guest, Idle, Reuse>> {
        let mut store = Store::new(&self.engine, Guest::new(Arc::clone(&self.grants), &self.client, &self.neighbours));
        let proxy = Proxy::P3(self.component.instantiate_async(&mut store).await?);
        let state = Reuse { component: Arc::clone(&self.grants.component), stopping: Arc::clone(&self.stopping) };
        Ok(Instance { store, proxy, view: Guest::taking, expiration: Idle { timer: None }, state })
    }
}

impl WorkerState for Reuse {
    type StoreData = Guest;
    type RequestData = ();

    fn should_accept_request(&self, waiting: usize, total: usize) -> ShouldAccept {
        match (waiting, total) {
            (_, REQUESTS..) => ShouldAccept::Never,
            (AT_ONCE.., _) => ShouldAccept::No,
            _ => ShouldAccept::Yes,
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, Guest>,
        (): (),
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        Box::pin(pending()) // no request has a time limit, by Spin's default
    }

    fn drop(&self, _: Store<Guest>, result: wasmtime::Result<()>) {
        if let Err(error) = result
            && !self.stopping.load(Ordering::Relaxed)
        {
            eprintln!("spin-host: an instance of {} has failed: {error:?}", self.component);
        }
    }
}

impl WorkerExpiration for Idle {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, status: WorkerStatus, since: Instant) -> Poll<()> {
        if status != WorkerStatus::Idle {
            return Poll::Pending;
        }
        let deadline = (since + IDLE).into();
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ends_an_instance_after_a_second_without_work_and_no_other() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut poll = |status, since| Pin::new(&mut Idle { timer: None }).poll(&mut cx, status, since);
        let (now, long_ago) = (Instant::now(), Instant::now().checked_sub(IDLE * 2).unwrap());
        assert_eq!(poll(WorkerStatus::Idle, now), Poll::Pending);
        assert_eq!(poll(WorkerStatus::Idle, long_ago), Poll::Ready(()));
        assert_eq!(poll(WorkerStatus::Requests, long_ago), Poll::Pending);
        assert_eq!(poll(WorkerStatus::PostReturn, long_ago), Poll::Pending);
    }

    #[tokio::test]
    async fn work_puts_the_end_of_an_instance_off() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let long_ago = Instant::now().checked_sub(IDLE * 2).unwrap();
        // Its timer has run out, but it has worked since.
        let mut idle = Idle { timer: Some(Box::pin(sleep_until(long_ago.into()))) };
        assert_eq!(Pin::new(&mut idle).poll(&mut cx, WorkerStatus::Idle, Instant::now()), Poll::Pending);
    }
}
