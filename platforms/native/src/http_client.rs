use std::error::Error;
use std::io;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use http_body_util::BodyDataStream;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use platform::{Body, BodyError, HttpClient, Request, Response, SendError};

/// HTTP/1.1 with keep-alive over TCP and TLS. It adds nothing to requests but `host` and the framing, follows no
/// redirects and decompresses nothing.
pub(crate) struct HyperClient(Client<HttpsConnector<HttpConnector>, Body>);

const MAX_IDLE_PER_HOST: usize = 512;

impl HyperClient {
    pub(crate) fn new() -> io::Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        // Without it, a request whose head and body leave apart waits for a delayed acknowledgement: 40 ms.
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .map_err(io::Error::other)?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
            .build(connector);
        Ok(Self(client))
    }
}

#[async_trait]
impl HttpClient for HyperClient {
    async fn send(&self, request: Request) -> Result<Response, SendError> {
        if !matches!(request.uri().scheme_str(), Some("http" | "https")) {
            return Err(SendError::Refused("the URI must be absolute, http or https".into()));
        }
        match self.0.request(request).await {
            Ok(response) => Ok(response.map(inbound)),
            Err(error) => Err(SendError::Unreachable(chain(&error))),
        }
    }
}

/// A body from the wire, chunk by chunk.
fn inbound(body: Incoming) -> Body {
    if hyper::body::Body::is_end_stream(&body) {
        return Body::empty();
    }
    Body::from_stream(BodyDataStream::new(body).map_err(|error| BodyError::Interrupted(chain(&error))))
}

/// An error with its causes, for the log.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.extend([": ", &error.to_string()]);
        cause = error.source();
    }
    text
}
