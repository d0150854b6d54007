use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use tokio::task_local;
use tokio::time::timeout;
use tower_service::Service;

task_local! {
    /// The client hands the connector a URI and nothing else, so the timeout of a request takes this way.
    static WITHIN: Duration;
}

/// A connector that gives up after the timeout of the request that needs the connection.
#[derive(Debug, Clone)]
pub(crate) struct Connector<C>(C);

/// No connection came about in time.
#[derive(Debug)]
pub(crate) struct ConnectTimeout;

impl<C> Connector<C> {
    pub(crate) fn new(connector: C) -> Self {
        Self(connector)
    }
}

impl ConnectTimeout {
    /// Runs `request`, in which connecting may take as long as `within`.
    pub(crate) fn scope<F: Future>(within: Duration, request: F) -> impl Future<Output = F::Output> {
        WITHIN.scope(within, request)
    }
}

impl<C> Service<Uri> for Connector<C>
where
    C: Service<Uri, Error = Box<dyn Error + Send + Sync>, Future: Send + 'static>,
{
    type Response = C::Response;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, C::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        match WITHIN.try_get() {
            Ok(within) => Box::pin(async move { timeout(within, connecting).await.map_err(|_| ConnectTimeout)? }),
            Err(_) => Box::pin(connecting),
        }
    }
}

impl fmt::Display for ConnectTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connecting took too long")
    }
}

impl Error for ConnectTimeout {}

#[cfg(test)]
mod tests {
    use std::future::{Pending, pending};

    use super::*;

    /// Nobody ever answers it.
    struct Silence;

    impl Service<Uri> for Silence {
        type Response = ();
        type Error = Box<dyn Error + Send + Sync>;
        type Future = Pending<Result<(), Self::Error>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Uri) -> Self::Future {
            pending()
        }
    }

    #[tokio::test]
    async fn gives_up_after_the_timeout_of_the_request() {
        let mut connector = Connector::new(Silence);
        let request = async { connector.call(Uri::from_static("http://a")).await };
        let error = ConnectTimeout::scope(Duration::from_millis(1), request).await.unwrap_err();
        assert!(error.is::<ConnectTimeout>());
    }
}
