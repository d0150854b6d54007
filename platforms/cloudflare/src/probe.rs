//! Routes that only tests use: what no function does, but the host must get right. Never in what ships.

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::Pin;
use std::task::{self, Poll};

use futures_util::future::{self, Either};
use futures_util::stream::Stream;
use platform::{Body, BodyError, ByteStream, Context, Request, Response, contract};
use quota::{Policy, Take};
use url::Url;

use crate::executor;

/// Where these routes are.
pub const PREFIX: &str = "/__probe/";

const LIMIT: usize = 1 << 20;

type Query = HashMap<String, String>;

/// Answers a request for one of these routes; what goes wrong is the body of a 500.
pub async fn handle(request: Request, context: &Context) -> Response {
    let answer = match route(request, context).await {
        Ok(response) => return response,
        Err(reason) => Body::from(reason),
    };
    let mut response = Response::new(answer);
    *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
    response
}

async fn route(request: Request, context: &Context) -> Result<Response, String> {
    let query = query(&request);
    let path = request.uri().path().to_owned();
    match path.trim_start_matches(PREFIX) {
        "contract" => {
            let peer = Url::parse(of(&query, "peer")?).map_err(|error| error.to_string())?;
            let outcomes = contract::run_all(context.clone(), peer).await;
            Ok(Response::new(contract::to_json(&outcomes).into()))
        }
        "panic" => panicking(),
        "take" => take(&query, context).await,
        "forward" => forward(request, &query, context, false).await,
        "forward-json" => forward(request, &query, context, true).await,
        "watch" => watch(&query, context).await,
        "wait" => wait(&query, context).await,
        "waits" => Ok(waits(&query)),
        "wake" => Ok(wake(&query)),
        "echo" => Ok(echo(request)),
        "invocations" => Ok(Response::new(executor::invocations().to_string().into())),
        other => Err(format!("no such probe: {other}")),
    }
}

fn query(request: &Request) -> Query {
    let text = request.uri().query().unwrap_or_default();
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

fn of<'a>(query: &'a Query, name: &str) -> Result<&'a str, String> {
    query.get(name).map(String::as_str).ok_or_else(|| format!("?{name}= is missing"))
}

#[allow(clippy::panic)] // what it is for
fn panicking() -> ! {
    panic!("the probe panics on request")
}

/// Takes one of `limit` per hour from the shard `shard`: `true` or `false`.
async fn take(query: &Query, context: &Context) -> Result<Response, String> {
    let limit = of(query, "limit")?.parse().map_err(|_| "limit is a number")?;
    let policy = Policy { name: "probe".into(), limit, window_seconds: 3600 };
    let takes = [Take { subject: "probe".into(), policy, quantity: 1 }];
    let decision = context.ledger.take(of(query, "shard")?, &takes).await.map_err(|error| error.to_string())?;
    Ok(Response::new(decision.allowed.to_string().into()))
}

/// Sends the request on to `url` and hands the answer back: as streams both ways, or as JSON that is read and written.
async fn forward(request: Request, query: &Query, context: &Context, json: bool) -> Result<Response, String> {
    let (mut parts, body) = request.into_parts();
    parts.uri = of(query, "url")?.parse().map_err(|_| "url is a URL")?;
    let body = if json { reread(body).await? } else { body };
    let answer = context.http.send(Request::from_parts(parts, body)).await.map_err(|error| error.to_string())?;
    let (parts, body) = answer.into_parts();
    let body = if json { reread(body).await? } else { body };
    Ok(Response::from_parts(parts, body))
}

async fn reread(body: Body) -> Result<Body, String> {
    let bytes = body.read(LIMIT).await.map_err(|error| error.to_string())?;
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    Ok(value.to_string().into())
}

/// Streams `url`; when the stream is dropped before its end, posts to `dropped` in the background.
async fn watch(query: &Query, context: &Context) -> Result<Response, String> {
    let get = |url: &str| http::Request::get(url).body(Body::empty()).map_err(|error| error.to_string());
    let dropped = http::Request::post(of(query, "dropped")?).body(Body::empty()).map_err(|error| error.to_string())?;
    let answer = context.http.send(get(of(query, "url")?)?).await.map_err(|error| error.to_string())?;
    let stream = answer.into_body().into_stream();
    Ok(Response::new(Body::from_stream(Watched { stream, dropped: Some((dropped, context.clone())) })))
}

struct Watched {
    stream: ByteStream,
    dropped: Option<(Request, Context)>,
}

impl Stream for Watched {
    type Item = Result<bytes::Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        let next = task::ready!(self.stream.as_mut().poll_next(cx));
        if next.is_none() {
            self.dropped = None;
        }
        Poll::Ready(next)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some((request, context)) = self.dropped.take() {
            let background = context.background.clone();
            background.spawn(Box::pin(async move {
                let _ = context.http.send(request).await;
            }));
        }
    }
}

thread_local! {
    static WAITING: RefCell<HashMap<String, task::Waker>> = RefCell::default();
}

/// Waits until another request calls `wake` with the same `name`, then fetches `url`: does that belong to this request?
async fn wait(query: &Query, context: &Context) -> Result<Response, String> {
    let name = of(query, "name")?.to_owned();
    let mut waits = false;
    let woken = future::poll_fn(|cx| {
        if std::mem::replace(&mut waits, true) && WAITING.with_borrow(|all| !all.contains_key(&name)) {
            return Poll::Ready(());
        }
        WAITING.with_borrow_mut(|all| all.insert(name.clone(), cx.waker().clone()));
        Poll::Pending
    });
    let patience = context.clock.sleep(std::time::Duration::from_secs(10));
    if let Either::Right(_) = future::select(woken, patience).await {
        return Err("nobody woke it".into());
    }
    let request = http::Request::get(of(query, "url")?).body(Body::empty()).map_err(|error| error.to_string())?;
    context.http.send(request).await.map_err(|error| error.to_string())
}

/// Whether somebody waits as `name`.
fn waits(query: &Query) -> Response {
    let found = query.get("name").is_some_and(|name| WAITING.with_borrow(|all| all.contains_key(name)));
    Response::new(found.to_string().into())
}

/// Wakes who waits as `name`; `true` if there was somebody.
fn wake(query: &Query) -> Response {
    let waker = query.get("name").and_then(|name| WAITING.with_borrow_mut(|all| all.remove(name)));
    let found = waker.is_some();
    if let Some(waker) = waker {
        waker.wake();
    }
    Response::new(found.to_string().into())
}

/// Answers with the caller's headers and body, and the status `x-status`.
fn echo(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = Response::new(body);
    let status = parts.headers.get("x-status").and_then(|status| http::StatusCode::from_bytes(status.as_bytes()).ok());
    *response.status_mut() = status.unwrap_or_default();
    *response.headers_mut() = parts.headers;
    response
}
