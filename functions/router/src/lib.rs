//! One front door for all functions: routes, CORS, error rendering, health.

use platform::{Context, Request, Response, Timestamp};
use problem::{Dialect, Problem, kinds};

/// All functions of the edge, loaded once per instance.
pub struct Edge {}

impl Edge {
    /// Reads every function's configuration.
    pub async fn load(_context: &Context) -> Self {
        Self {}
    }

    /// Answers `request`; whatever goes wrong becomes a problem document here.
    pub async fn handle(&self, request: Request, _context: &Context) -> Response {
        if request.uri().path() == "/healthz" {
            return Response::new(r#"{"status":"ok"}"#.into());
        }
        Problem::new(kinds::NOT_FOUND).into_response(Dialect::ProblemJson, "").map(Into::into)
    }

    /// Does what is due at `now`; `cron` is the trigger's expression.
    pub async fn scheduled(&self, _cron: &str, _now: Timestamp, _context: &Context) {}
}
