use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock, Weak};

use http::header::HOST;
use http::{HeaderValue, Request, Response};
use wasmtime_wasi_http::handler::ProxyHandler;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::inbound;
use crate::instances::Instances;

/// What answers requests, by name.
pub(crate) type Components = BTreeMap<String, ProxyHandler<Instances>>;

/// The components of the application as one of them reaches the others (Spin calls it service chaining): within this
/// process, with or without a public route.
#[derive(Clone, Default)]
pub(crate) struct Neighbours(Arc<OnceLock<Weak<Components>>>);

/// Who calls, as far as the called component learns.
const CALLER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl Neighbours {
    /// Once all are there.
    pub(crate) fn meet(&self, all: &Arc<Components>) {
        let _ = self.0.set(Arc::downgrade(all)); // they meet once
    }

    /// What the component `id` answers.
    pub(crate) async fn answer(&self, id: &str, mut request: Request<WasiBody>) -> Result<Response<WasiBody>, Error> {
        let internal = |reason: String| Error::InternalError(Some(reason));
        let all = self.0.get().and_then(Weak::upgrade);
        let component =
            all.and_then(|all| all.get(id).cloned()).ok_or_else(|| internal(format!("no component {id}")))?;
        if let Some(host) = request.uri().authority().and_then(|host| HeaderValue::try_from(host.as_str()).ok()) {
            request.headers_mut().insert(HOST, host);
        }
        inbound::prepare_chained(&mut request, CALLER).map_err(|reason| internal(reason.to_owned()))?;
        component.handle((), request).await.map_err(|error| {
            eprintln!("spin-host: {id} has not answered: {error:?}");
            internal(format!("{id} has not answered"))
        })
    }
}
