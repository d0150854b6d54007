use std::pin::Pin;
use std::task::{self, Poll};

use futures_util::stream::Stream;
use platform::{Body, BodyError, ByteStream, Context, Request, Response};

use crate::Query;

/// A stream that tells when it is dropped before its end.
struct Watched {
    stream: ByteStream,
    dropped: Option<(Request, Context)>,
}

pub(crate) async fn watch(query: &Query, context: &Context) -> Result<Response, String> {
    let dropped = query.request("POST", "dropped")?;
    let answer = context.http.send(query.request("GET", "url")?).await.map_err(|error| error.to_string())?;
    let stream = answer.into_body().into_stream();
    Ok(Response::new(Body::from_stream(Watched { stream, dropped: Some((dropped, context.clone())) })))
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
