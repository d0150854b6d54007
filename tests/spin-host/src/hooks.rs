use std::sync::Arc;

use http::HeaderName;
use wasmtime_wasi_http::{DEFAULT_FORBIDDEN_HEADERS, Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::allowed_hosts::neighbour;
use crate::client::Client;
use crate::components::Neighbours;
use crate::guest::Grants;

/// What an instance may say, and what becomes of the requests it sends.
pub(crate) struct Hooks {
    grants: Arc<Grants>,
    client: Client,
    neighbours: Neighbours,
    headers: Headers,
}

/// Whose headers a message has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Headers {
    /// The guest makes them: those that belong to a connection are refused.
    FromGuest,
    /// They come in: the guest sees all of them, as on Spin, although wasmtime would rather leave some out. So a guest
    /// that passes them on unseen is refused here too.
    FromOutside,
}

/// How the transfer of a request went; the client tells it by the response instead.
type Transfer = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl Hooks {
    pub(crate) fn new(grants: Arc<Grants>, client: Client, neighbours: Neighbours, headers: Headers) -> Self {
        Self { grants, client, neighbours, headers }
    }
}

impl WasiHttpHooks for Hooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        self.headers == Headers::FromGuest && DEFAULT_FORBIDDEN_HEADERS.contains(name)
    }

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
        let done: Transfer = Box::new(async { Ok(()) });
        if let Some(id) = request.uri().host().and_then(neighbour).map(str::to_owned) {
            let neighbours = self.neighbours.clone();
            return Box::new(async move { Ok((neighbours.answer(&id, request).await?, done)) });
        }
        let sending = self.client.send(request, options.unwrap_or_default());
        Box::new(async move { Ok((sending.await?, done)) })
    }
}

/// Path and query are nobody's business: they may hold secrets.
fn origin(uri: &http::Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("{}://{authority}", uri.scheme_str().unwrap_or_default())
}
