use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use platform::Context;
use router::Edge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::{Host, exchange};

/// What one caller, or all together, may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at the same time; more wait in the listener's queue.
    pub connections: usize,
    /// How long a request's head may take, and how long a connection may idle.
    pub head_timeout: Duration,
    /// Bytes of a request's head, request line included.
    pub head_size: usize,
    /// Fields in a request's head.
    pub headers: usize,
    /// How long a shutdown waits for running requests and background work.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            head_timeout: Duration::from_secs(30),
            head_size: 64 * 1024,
            headers: 100,
            shutdown: Duration::from_secs(10),
        }
    }
}

/// The doorway: accepts connections and hands their requests to the router.
pub struct Server {
    listener: TcpListener,
    host: Host,
    edge: Arc<Edge>,
    limits: Limits,
}

impl Server {
    /// Binds `address` and loads the functions' configuration.
    pub async fn bind(address: SocketAddr, host: Host, limits: Limits) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let edge = Arc::new(Edge::load(&host.context).await);
        Ok(Self { listener, host, edge, limits })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` completes; then takes no more, finishes what runs and waits for background work.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let connections = GracefulShutdown::new();
        tokio::select! {
            () = self.accept(&connections) => {}
            () = stop => {}
        }
        let Self { listener, host, limits, .. } = self;
        drop(listener);
        let deadline = tokio::time::Instant::now() + limits.shutdown;
        let _ = tokio::time::timeout_at(deadline, connections.shutdown()).await;
        host.background.finish(deadline - tokio::time::Instant::now()).await;
    }

    async fn accept(&self, connections: &GracefulShutdown) {
        let permits = Arc::new(Semaphore::new(self.limits.connections));
        let protocol = protocol(&self.limits);
        while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
            let (stream, peer) = self.accept_one().await;
            let (edge, context) = (Arc::clone(&self.edge), self.host.context.clone());
            let connection = connections.watch(serve(&protocol, stream, peer, edge, context));
            tokio::spawn(async move {
                // It fails when the caller goes away or breaks the protocol: hyper has answered what can be answered.
                let _ = connection.await;
                drop(permit);
            });
        }
    }

    async fn accept_one(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                // Out of file descriptors, most likely: some are given back as connections end.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

fn protocol(limits: &Limits) -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_size)
        .max_headers(limits.headers);
    protocol
}

fn serve(
    protocol: &http1::Builder,
    stream: TcpStream,
    peer: SocketAddr,
    edge: Arc<Edge>,
    context: Context,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send + use<> {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let (edge, context) = (Arc::clone(&edge), context.clone());
        async move { Ok::<_, Infallible>(edge.handle(exchange::request(request, peer.ip()), &context).await) }
    });
    protocol.serve_connection(TokioIo::new(stream), service)
}
