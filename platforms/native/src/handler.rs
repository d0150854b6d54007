use std::sync::Arc;

use platform::{BoxFuture, Context, Request, Response};
use router::Edge;

/// The router as a handler for [`crate::Server`], answering by `context`.
pub fn handler(
    edge: Arc<Edge>,
    context: Context,
) -> impl Fn(Request) -> BoxFuture<'static, Response> + Clone + Send + Sync + 'static {
    move |request| {
        let (edge, context) = (Arc::clone(&edge), context.clone());
        Box::pin(async move { edge.handle(request, &context).await })
    }
}
