use std::sync::Arc;

use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::client::Client;
use crate::guest::Grants;

/// What becomes of the requests that an instance sends.
pub(crate) struct Outbound {
    grants: Arc<Grants>,
    client: Client,
}

/// How the transfer of a request went; the client tells it by the response instead.
type Transfer = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl Outbound {
    pub(crate) fn new(grants: Arc<Grants>, client: Client) -> Self {
        Self { grants, client }
    }
}

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _read: Transfer,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Transfer), Error>> + Send> {
        if !self.grants.hosts.allow(request.uri()) {
            let (component, uri) = (&self.grants.component, request.uri());
            eprintln!("spin-host: {component} may not send requests to {}", origin(uri));
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        let sending = self.client.send(request, options.unwrap_or_default());
        Box::new(async move {
            let response = sending.await?;
            let done: Transfer = Box::new(async { Ok(()) });
            Ok((response, done))
        })
    }
}

/// Path and query are nobody's business: they may hold secrets.
fn origin(uri: &http::Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("{}://{authority}", uri.scheme_str().unwrap_or_default())
}
