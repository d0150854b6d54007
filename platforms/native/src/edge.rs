use std::sync::Arc;

use platform::{BoxFuture, Context, Request, Response};
use router::Edge;

/// The router with its configuration loaded, as a handler for [`crate::Server`].
pub async fn edge(context: &Context) -> impl Fn(Request) -> BoxFuture<'static, Response> + Clone + Send + Sync + use<> {
    let (edge, context) = (Arc::new(Edge::load(context).await), context.clone());
    move |request| {
        let (edge, context) = (Arc::clone(&edge), context.clone());
        Box::pin(async move { edge.handle(request, &context).await })
    }
}
