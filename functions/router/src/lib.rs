//! All functions behind one front door, for hosts that load one module: Workers and the native server. Where each
//! function is a component of its own, the host's manifest routes instead.

mod functions;

use front_door::FrontDoor;
use platform::{Context, Request, Response, Timestamp};

use crate::functions::Functions;

/// All functions of the edge, loaded once per instance.
pub struct Edge(FrontDoor<Functions>);

impl Edge {
    /// Reads every function's configuration. Its faults are logged together; until they are mended, everything but
    /// `/healthz` and `/problems/…` is answered with 503.
    pub async fn load(context: &Context) -> Self {
        Self(FrontDoor::load(context).await)
    }

    /// Answers `request`; whatever goes wrong becomes a problem document here.
    pub async fn handle(&self, request: Request, context: &Context) -> Response {
        self.0.handle(request, context).await
    }

    /// Does what is due at `now`; `cron` is the trigger's expression.
    pub async fn scheduled(&self, cron: &str, now: Timestamp, context: &Context) {
        tracing::debug!(cron, %now, "scheduled");
        if let Some(functions) = self.0.behind() {
            functions.llm.flush(context).await;
            functions.auth.flush(context).await;
            functions.limits.flush(context).await;
        }
    }
}
