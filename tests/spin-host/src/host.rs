use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use wasmtime_wasi_http::handler::ProxyHandler;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use crate::application::{Answer, Application};
use crate::client::Client;
use crate::components::{Components, Neighbours};
use crate::engine;
use crate::guest::Grants;
use crate::inbound;
use crate::instances::Instances;
use crate::stores::Stores;
use crate::{Error, Routes};

/// An application whose components are ready to answer.
pub struct Host {
    routes: Routes<crate::application::Destination>,
    components: Arc<Components>,
    stopping: Arc<AtomicBool>,
}

/// The paths that Spin answers itself.
const OWN: &str = "/.well-known/spin/";

impl Host {
    /// Compiles the components, or takes them from the folder `cache`, and makes sure that each can be instantiated.
    pub async fn new(application: Application, cache: &Path) -> Result<Arc<Self>, Error> {
        let engine = engine::engine(cache)?;
        let client = Client::new().map_err(|error| Error::Io { what: "TLS".to_owned(), source: error })?;
        let (mut stores, mut components) = (Stores::default(), Components::default());
        let (neighbours, stopping) = (Neighbours::default(), Arc::default());
        for (id, settings) in application.components {
            let component = engine::load(&engine, &id, &settings.source)?;
            let grants = Grants {
                component: id.as_str().into(),
                variables: settings.variables,
                hosts: settings.hosts,
                stores: settings.stores.into_iter().map(|label| (label.clone(), stores.get(&label))).collect(),
                environment: settings.environment,
            };
            let instances = Instances {
                engine: engine.clone(),
                component,
                grants: Arc::new(grants),
                client: client.clone(),
                neighbours: neighbours.clone(),
                stopping: Arc::clone(&stopping),
            };
            instances.try_one().await.map_err(|reason| Error::Component { id: id.clone(), reason })?;
            components.insert(id, ProxyHandler::new(instances));
        }
        let components = Arc::new(components);
        neighbours.meet(&components);
        Ok(Arc::new(Self { routes: application.routes, components, stopping }))
    }

    /// From now on no instance that ends is a failure.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Answers a request as Spin does. Within a runtime of tokio.
    pub async fn answer(&self, mut request: Request<Incoming>, caller: SocketAddr) -> Response<WasiBody> {
        let path = request.uri().path().to_owned();
        if let Some(own) = path.strip_prefix(OWN) {
            return if own == "health" { fixed(StatusCode::OK, "OK") } else { fixed(StatusCode::NOT_FOUND, "") };
        }
        let Some(route) = self.routes.find(&path) else { return fixed(StatusCode::NOT_FOUND, "") };
        match &route.to.answer {
            Answer::Static { status, headers, body } => {
                let mut response = fixed(*status, body);
                response.headers_mut().extend(headers.clone());
                response
            }
            Answer::Component(id) => {
                if let Err(reason) = inbound::prepare(&mut request, &route, caller) {
                    eprintln!("spin-host: a request for {id} is refused: {reason}");
                    return fixed(StatusCode::BAD_REQUEST, "");
                }
                self.run(id, request).await
            }
        }
    }

    async fn run(&self, id: &str, request: Request<Incoming>) -> Response<WasiBody> {
        let Some(component) = self.components.get(id) else { return fixed(StatusCode::NOT_FOUND, "") };
        let request = request.map(|body| body.map_err(HttpError::from).boxed_unsync());
        match component.handle((), request).await {
            Ok(response) => response,
            Err(error) => {
                eprintln!("spin-host: {id} has not answered: {error:?}");
                fixed(StatusCode::INTERNAL_SERVER_ERROR, "")
            }
        }
    }
}

fn fixed(status: StatusCode, body: &str) -> Response<WasiBody> {
    let body = Full::new(Bytes::copy_from_slice(body.as_bytes())).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    response
}
