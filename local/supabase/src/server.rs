//! The listener: one connection after the other, one request after the other.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use serde_json::json;
use tokio::net::TcpListener;

use crate::answer::{self, Request, Response};
use crate::control::{self, Mode};
use crate::surface::{Description, Options, Surface};
use crate::{Error, auth, log, migrations, rest};

/// Larger than any call of the edge.
const LONGEST_BODY: usize = 10 * 1024 * 1024;
/// A caller that sends its headers or its body slower than this is gone.
const READ_WITHIN: Duration = Duration::from_secs(30);
/// How long requests that have begun may take after the signal to stop.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// How many connections may wait to be accepted: a thousand callers may come at once.
const BACKLOG: i32 = 4096;

/// Why a request ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is to be closed")]
struct Closed;

/// Prepares the database and serves until `stop` completes; calls `ready` once requests are answered.
pub async fn serve(
    options: &Options,
    ready: impl FnOnce(&Description),
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    for name in migrations::prepare(&options.database_url, &options.migrations).await? {
        log::event("applied", &name);
    }
    let failure = || Error::io(format!("listen at {}", options.listen));
    let listener = TcpListener::bind(options.listen).await.map_err(failure())?;
    rustix::net::listen(&listener, BACKLOG).map_err(|error| failure()(error.into()))?;
    let surface = Arc::new(Surface::new(options, listener.local_addr().map_err(failure())?).await?);
    log::event("ready", &surface.description.url);
    ready(&surface.description);

    let connections = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    log::error("accept", &error.to_string());
                    tokio::time::sleep(Duration::from_millis(50)).await; // out of descriptors: others will be closed
                    continue;
                }
            },
            () = &mut stop => break,
        };
        let _ = stream.set_nodelay(true);
        let surface = surface.clone();
        let service = service_fn(move |request| respond(request, surface.clone()));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(READ_WITHIN)
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connections.watch(connection));
    }
    drop(listener);
    log::event("stopping", "");
    let _ = tokio::time::timeout(STOP_WITHIN, connections.shutdown()).await;
    Ok(())
}

async fn respond(request: http::Request<Incoming>, surface: Arc<Surface>) -> Result<Response, Closed> {
    let started = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let is_control = path.starts_with("/__local/");
    if let Some(fault) = (!is_control && method != Method::OPTIONS).then(|| surface.control.note(&path)).flatten() {
        log::event("fault", &path);
        return match fault.mode {
            Mode::Status | Mode::Html => Ok(with_cors(fault.answer())),
            Mode::Hang => std::future::pending().await,
            Mode::Close => Err(Closed),
        };
    }
    let response = match read(request).await {
        Ok(request) => with_cors(route(&request, &path, &surface).await),
        Err(refusal) => with_cors(*refusal),
    };
    if !is_control {
        log::request(&method, &path, response.status(), started.elapsed());
    }
    Ok(response)
}

async fn read(request: http::Request<Incoming>) -> Result<Request, Box<Response>> {
    let (head, body) = request.into_parts();
    let collected = tokio::time::timeout(READ_WITHIN, Limited::new(body, LONGEST_BODY).collect()).await;
    let refusal = |status, message| Err(Box::new(answer::json(status, &json!({ "message": message }))));
    let body: Bytes = match collected {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 10 MiB");
        }
        Ok(Err(_)) => return refusal(StatusCode::BAD_REQUEST, "the body is incomplete"),
        Err(_) => return refusal(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
    };
    Ok(Request::from_parts(head, body))
}

async fn route(request: &Request, path: &str, surface: &Arc<Surface>) -> Response {
    if request.method() == Method::OPTIONS {
        return preflight(request);
    }
    let mut segments = path.split('/').skip(1);
    match (segments.next(), segments.next()) {
        (Some("rest"), Some("v1")) => rest::handle(request, &segments.collect::<Vec<_>>(), surface).await,
        (Some("auth"), Some("v1")) => auth::handle(request, &segments.collect::<Vec<_>>(), surface).await,
        (Some("__local"), Some(what)) => control::handle(request, what, surface),
        _ => answer::json(StatusCode::NOT_FOUND, &json!({ "message": "no Route matched with those values" })),
    }
}

fn preflight(request: &Request) -> Response {
    let mut response = answer::empty(StatusCode::OK);
    let wanted = answer::header(request, "access-control-request-headers").unwrap_or("*").to_owned();
    answer::set(&mut response, header::ACCESS_CONTROL_ALLOW_HEADERS, &wanted);
    answer::set(
        &mut response,
        header::ACCESS_CONTROL_ALLOW_METHODS,
        "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT",
    );
    answer::set(&mut response, header::ACCESS_CONTROL_MAX_AGE, "3600");
    response
}

/// Hosted projects may be called from any web page.
fn with_cors(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Content-Range, Content-Profile, X-Supabase-Api-Version, x-sb-error-code"),
    );
    response
}
