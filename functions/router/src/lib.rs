//! One front door for all functions: it names the request, finds the function, asks who is calling, and turns whatever
//! goes wrong into a problem document, once.

mod cors;
mod functions;
mod health;
mod problems;
mod routes;

use http::header::{HeaderMap, HeaderValue, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use http::{Method, Response as HttpResponse};
use platform::{Body, Context, Request, Response, Timestamp};
use problem::Problem;
use telemetry::{RequestId, TraceContext, X_REQUEST_ID};
use tracing::Instrument as _;

use crate::cors::Cors;
use crate::functions::Functions;

/// All functions of the edge, loaded once per instance.
pub struct Edge {
    functions: Result<Functions, Misconfigured>,
    cors: Cors,
}

/// The configuration has faults, which the log names.
struct Misconfigured;

impl Edge {
    /// Reads every function's configuration. Its faults are logged together; until they are mended, everything but
    /// `/healthz` is answered with 503.
    pub async fn load(context: &Context) -> Self {
        let loaded = functions::load(&*context.variables).await;
        let functions = loaded.map_err(|error| tracing::error!(%error, "the edge is not configured"));
        match functions {
            Ok((functions, cors)) => Self { functions: Ok(functions), cors },
            Err(()) => Self { functions: Err(Misconfigured), cors: Cors::none() },
        }
    }

    /// Answers `request`; whatever goes wrong becomes a problem document here.
    pub async fn handle(&self, mut request: Request, context: &Context) -> Response {
        let id = RequestId::accept(request.headers(), context);
        let trace = TraceContext::accept(request.headers(), &*context.entropy);
        let span = tracing::error_span!("request", request_id = %id, trace_id = %trace.trace_id());
        request.extensions_mut().insert(id.clone());
        request.extensions_mut().insert(trace);
        self.answer(request, &id, context).instrument(span).await
    }

    /// Does what is due at `now`; `cron` is the trigger's expression.
    pub async fn scheduled(&self, cron: &str, now: Timestamp, context: &Context) {
        tracing::debug!(cron, %now, "scheduled");
        if let Ok(functions) = &self.functions {
            functions.llm.flush(context).await;
        }
    }

    async fn answer(&self, mut request: Request, id: &RequestId, context: &Context) -> Response {
        let origin = request.headers().get(ORIGIN).cloned();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        if method == Method::HEAD {
            *request.method_mut() = Method::GET; // the host sends the head of the answer and not its body
        }
        let mut response = match self.cors.preflight(&method, request.headers()) {
            Some(preflight) => preflight,
            None => self.dispatch(request, context).await.unwrap_or_else(|problem| render(problem, &path, id)),
        };
        tracing::debug!(http.request.method = %method, url.path = path, http.response.status_code = response.status().as_u16());
        self.finish(response.headers_mut(), id, origin.as_ref());
        response
    }

    async fn dispatch(&self, request: Request, context: &Context) -> Result<Response, Problem> {
        routes::dispatch(self.functions.as_ref().ok(), request, context).await
    }

    /// The headers that every answer carries.
    fn finish(&self, headers: &mut HeaderMap, id: &RequestId, origin: Option<&HeaderValue>) {
        headers.insert(X_REQUEST_ID, id.header_value());
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        self.cors.apply(origin, headers);
    }
}

/// The one place where a problem becomes an answer. What failed on our side has been logged where it was understood.
fn render(problem: Problem, path: &str, id: &RequestId) -> Response {
    if problem.kind().status >= 500 {
        tracing::warn!(problem = problem.kind().slug, url.path = path, "answered with a server error");
    }
    problem.into_response(routes::dialect(path), id.as_str()).map(Body::from)
}

/// A JSON answer.
fn json(status: u16, body: &serde_json::Value) -> Response {
    let mut response = HttpResponse::new(Body::from(body.to_string()));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
