use std::future::Future;

use platform::{Configuration, Context, Request, Response};
use problem::Problem;

/// What stands behind a front door. It is made once per instance, from its variables, and answers requests.
pub trait Function: Sized + Send + Sync + 'static {
    /// Reads the variables; the reader collects every fault.
    fn read(read: &mut Configuration<'_>) -> impl Future<Output = Option<Self>> + Send;

    /// Routes by the path; whatever goes wrong is a `Problem`.
    fn answer(&self, request: Request, context: &Context) -> impl Future<Output = Result<Response, Problem>> + Send;

    /// Answers what needs no configuration, also while that has faults; `None` for everything else.
    fn answer_unconfigured(request: &Request) -> Option<Result<Response, Problem>> {
        let _ = request;
        None
    }
}

/// The most segments that any route has; of a longer path one more than these are returned, and no route has that many.
const MAX_SEGMENTS: usize = 8;

/// The parts of a path between slashes.
pub fn segments(path: &str) -> Vec<&str> {
    path.split('/').skip(1).take(MAX_SEGMENTS + 1).collect()
}
