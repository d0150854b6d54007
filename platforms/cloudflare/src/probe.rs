//! Routes that only tests use, beyond those that every host has (`tests/probe`): how invocations keep apart. Never in
//! what ships.

use std::cell::RefCell;
use std::collections::HashMap;
use std::task;

use futures_util::future::{self, Either};
use platform::{Context, Request, Response};
use probe::Query;

use crate::operation::{Operation, Outcome};
use crate::{executor, host};

pub use probe::PREFIX;

/// Answers a request for one of these routes; what goes wrong is the body of a 500.
pub async fn handle(request: Request, context: &Context) -> Response {
    let query = Query::of(&request);
    match request.uri().path().trim_start_matches(PREFIX) {
        "wait" => wait(&query, context).await.unwrap_or_else(probe::failed),
        "waits" => waits(&query),
        "wake" => wake(&query),
        "account" => account(request, &query).await.unwrap_or_else(probe::failed),
        "invocations" => Response::new(executor::invocations().to_string().into()),
        _ => probe::handle(request, context).await,
    }
}

/// Asks the ledger object `name` what is posted, as its `probe` understands it.
async fn account(request: Request, query: &Query) -> Result<Response, String> {
    let question = request.into_body().read(1 << 20).await.map_err(|error| error.to_string())?;
    let (name, question) = (query.get("name")?, str::from_utf8(&question).map_err(|error| error.to_string())?);
    match Operation::begin(|invocation, operation| host::apply(invocation, operation, name, question)).await {
        Outcome::Text(answer) => Ok(Response::new(answer.into())),
        Outcome::Failed(reason) => Err(reason),
        _ => Err("no answer".into()),
    }
}

thread_local! {
    static WAITING: RefCell<HashMap<String, task::Waker>> = RefCell::default();
}

/// Waits until another request calls `wake` with the same `name`, then fetches `url`: does that belong to this request?
async fn wait(query: &Query, context: &Context) -> Result<Response, String> {
    let name = query.get("name")?.to_owned();
    let mut waits = false;
    let woken = future::poll_fn(|cx| {
        if std::mem::replace(&mut waits, true) && WAITING.with_borrow(|all| !all.contains_key(&name)) {
            return task::Poll::Ready(());
        }
        WAITING.with_borrow_mut(|all| all.insert(name.clone(), cx.waker().clone()));
        task::Poll::Pending
    });
    let patience = context.clock.sleep(std::time::Duration::from_secs(10));
    if let Either::Right(_) = future::select(woken, patience).await {
        return Err("nobody woke it".into());
    }
    context.http.send(query.request("GET", "url")?).await.map_err(|error| error.to_string())
}

/// Whether somebody waits as `name`.
fn waits(query: &Query) -> Response {
    let found = query.get("name").is_ok_and(|name| WAITING.with_borrow(|all| all.contains_key(name)));
    Response::new(found.to_string().into())
}

/// Wakes who waits as `name`; `true` if there was somebody.
fn wake(query: &Query) -> Response {
    let waker = query.get("name").ok().and_then(|name| WAITING.with_borrow_mut(|all| all.remove(name)));
    let found = waker.is_some();
    if let Some(waker) = waker {
        waker.wake();
    }
    Response::new(found.to_string().into())
}
