//! Routes that only tests use: what no function does, but a host must get right. Never in what ships.
//!
//! | route | what it does |
//! |---|---|
//! | `contract?peer=` | runs the port's contract, answers with the outcomes as JSON |
//! | `verdicts` | judges the posted list of `{"keys", "jws"}`: for each `accepted`, or why it is refused |
//! | `panic` | panics |
//! | `take?shard=&limit=` | takes one of `limit` per hour: `true` or `false` |
//! | `apply?account=` | applies the posted list of operations to an account, answers with the outcomes as JSON; without an account it only reads the operations |
//! | `forward?url=`, `forward-json?url=` | sends the request on, as streams both ways or read and written anew |
//! | `watch?url=&dropped=` | streams `url`; posts to `dropped` in the background when it is dropped before its end |
//! | `later?url=` | answers at once and posts to `url` in the background |
//! | `echo` | answers with the caller's headers and body, and the status `x-status` |

mod query;
mod verdicts;
mod watch;

pub use query::Query;

use std::time::Duration;

use platform::{Body, Context, Request, Response, contract};
use quota::account::Operation;
use quota::{Policy, Take};
use serde_json::Value;
use url::Url;

/// Where these routes are.
pub const PREFIX: &str = "/__probe/";

const LIMIT: usize = 1 << 20;

/// Answers a request for one of these routes; what goes wrong is the body of a 500.
pub async fn handle(request: Request, context: &Context) -> Response {
    route(request, context).await.unwrap_or_else(failed)
}

/// What went wrong, as an answer.
pub fn failed(reason: String) -> Response {
    let mut response = Response::new(Body::from(reason));
    *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
    response
}

async fn route(request: Request, context: &Context) -> Result<Response, String> {
    let query = Query::of(&request);
    let path = request.uri().path().to_owned();
    match path.trim_start_matches(PREFIX) {
        "contract" => {
            let peer = Url::parse(query.get("peer")?).map_err(|error| error.to_string())?;
            let outcomes = contract::run_all(context.clone(), peer).await;
            Ok(Response::new(contract::to_json(&outcomes).into()))
        }
        "verdicts" => verdicts::verdicts(request, context).await,
        "panic" => panicking(),
        "take" => take(&query, context).await,
        "apply" => apply(request, &query, context).await,
        "forward" => forward(request, &query, context, false).await,
        "forward-json" => forward(request, &query, context, true).await,
        "watch" => watch::watch(&query, context).await,
        "later" => later(&query, context),
        "echo" => Ok(echo(request)),
        other => Err(format!("no such probe: {other}")),
    }
}

#[allow(clippy::panic)] // what it is for
fn panicking() -> ! {
    panic!("the probe panics on request")
}

async fn take(query: &Query, context: &Context) -> Result<Response, String> {
    let limit = query.get("limit")?.parse().map_err(|_| "limit is a number")?;
    let policy = Policy { name: "probe".into(), limit, window_seconds: 3600 };
    let takes = [Take { subject: "probe".into(), policy, quantity: 1 }];
    let decision = context.ledger.take(query.get("shard")?, &takes).await.map_err(|error| error.to_string())?;
    Ok(Response::new(decision.allowed.to_string().into()))
}

async fn apply(request: Request, query: &Query, context: &Context) -> Result<Response, String> {
    let bytes = request.into_body().read(LIMIT).await.map_err(|error| error.to_string())?;
    let operations: Vec<Operation> = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    let outcomes = match query.get("account") {
        Ok(account) => context.ledger.apply(account, &operations).await.map_err(|error| error.to_string())?,
        Err(_) => Vec::new(), // what all but the ledger costs
    };
    serde_json::to_string(&outcomes).map(|outcomes| Response::new(outcomes.into())).map_err(|error| error.to_string())
}

async fn forward(request: Request, query: &Query, context: &Context, json: bool) -> Result<Response, String> {
    let (mut parts, body) = request.into_parts();
    parts.uri = query.get("url")?.parse().map_err(|_| "url is a URL")?;
    let body = if json { reread(body).await? } else { body };
    let answer = context.http.send(Request::from_parts(parts, body)).await.map_err(|error| error.to_string())?;
    let (parts, body) = answer.into_parts();
    let body = if json { reread(body).await? } else { body };
    Ok(Response::from_parts(parts, body))
}

async fn reread(body: Body) -> Result<Body, String> {
    Ok(json(body).await?.to_string().into())
}

async fn json(body: Body) -> Result<Value, String> {
    let bytes = body.read(LIMIT).await.map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}

fn later(query: &Query, context: &Context) -> Result<Response, String> {
    let request = query.request("POST", "url")?;
    let background = context.clone();
    context.background.spawn(Box::pin(async move {
        background.clock.sleep(Duration::from_millis(20)).await;
        let _ = background.http.send(request).await;
    }));
    Ok(Response::new("later".into()))
}

fn echo(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = Response::new(body);
    let status = parts.headers.get("x-status").and_then(|status| http::StatusCode::from_bytes(status.as_bytes()).ok());
    *response.status_mut() = status.unwrap_or_default();
    *response.headers_mut() = parts.headers;
    response
}
