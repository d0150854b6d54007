use std::error::Error as _;
use std::io;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Error as SendError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use crate::connector::{ConnectTimeout, Connector};
use crate::timed_body::TimedBody;

/// HTTP/1.1 with keep-alive over TCP and TLS; connections are shared by all components.
#[derive(Clone)]
pub(crate) struct Client(legacy::Client<Connector<HttpsConnector<HttpConnector>>, WasiBody>);

const MAX_IDLE_PER_HOST: usize = 512;
/// What Spin waits for a connection, for the first byte and between bytes, if the guest does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);

impl Client {
    pub(crate) fn new() -> io::Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        // Without it, a request whose head and body leave apart waits for a delayed acknowledgement: 40 ms.
        tcp.set_nodelay(true);
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .map_err(io::Error::other)?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
            .build(Connector::new(tls));
        Ok(Self(client))
    }

    /// Sends `request`. Dropping the future or the response's body closes the connection, unless all has been read.
    pub(crate) fn send(
        &self,
        request: http::Request<WasiBody>,
        options: RequestOptions,
    ) -> impl Future<Output = Result<http::Response<WasiBody>, Error>> + Send + use<> {
        let client = self.0.clone();
        let or_default = |timeout: Option<Duration>| timeout.unwrap_or(DEFAULT_TIMEOUT);
        let connect = or_default(options.connect_timeout);
        let between_bytes = or_default(options.between_bytes_timeout);
        async move {
            let answer = ConnectTimeout::scope(connect, client.request(request));
            let answer = timeout(or_default(options.first_byte_timeout), answer).await;
            let response = answer.map_err(|_| Error::ConnectionReadTimeout)?.map_err(|error| reason(&error))?;
            Ok(response.map(|body| TimedBody::new(body, between_bytes).boxed_unsync()))
        }
    }
}

/// Why no response came, in the terms of `wasi:http`.
fn reason(error: &SendError) -> Error {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<ConnectTimeout>() {
            return Error::ConnectionTimeout;
        }
        if error.is::<rustls::Error>() {
            return Error::TlsProtocolError;
        }
        if let Some(error) = error.downcast_ref::<Error>() {
            // The guest's own body has failed.
            return Error::InternalError(Some(error.to_string()));
        }
        if let Some(failure) = error.downcast_ref::<io::Error>() {
            // An error of TLS is inside one of I/O.
            if let Some(inner) = failure.get_ref()
                && inner.is::<rustls::Error>()
            {
                return Error::TlsProtocolError;
            }
            return Error::Connect(io::Error::new(failure.kind(), failure.to_string()));
        }
        cause = error.source();
    }
    if error.is_connect() { Error::ConnectionRefused } else { Error::HttpProtocolError }
}
