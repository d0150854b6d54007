use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use platform::{Context, Request, Response};
use telemetry::RequestId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};

use crate::{Host, exchange};

/// What one caller, or all together, may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at the same time; more wait in the listener's queue.
    pub connections: usize,
    /// How long a request's head may take to arrive, and how long a connection may idle.
    pub head_timeout: Duration,
    /// Bytes of a request's head, request line included; at least 8 KiB.
    pub head_size: usize,
    /// Fields in a request's head.
    pub headers: usize,
    /// How long a shutdown waits for running requests and background work, together.
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

/// The doorway: accepts connections and hands their requests to a handler, which is the router.
///
/// When a caller goes away, the handler's future or the body it returned is dropped, and with it what they hold
/// upstream.
pub struct Server<H> {
    listener: TcpListener,
    host: Host,
    limits: Limits,
    handler: H,
}

impl<H, F> Server<H>
where
    H: Fn(Request) -> F + Clone + Send + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    /// A server on `listener`, within a runtime. Several servers may share one listener: who is free accepts.
    pub fn new(listener: std::net::TcpListener, host: Host, limits: Limits, handler: H) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { listener: TcpListener::from_std(listener)?, host, limits, handler })
    }

    /// Serves until `stop` completes; then takes no more, finishes what runs and waits for background work. `false` if
    /// that took too long and something was cut off.
    pub async fn run(self, stop: impl Future<Output = ()>) -> bool {
        let connections = GracefulShutdown::new();
        tokio::select! {
            () = self.accept(&connections) => {}
            () = stop => {}
        }
        drop(self.listener);
        let deadline = Instant::now() + self.limits.shutdown;
        let answered = timeout_at(deadline, connections.shutdown()).await.is_ok();
        answered & self.host.background.finish(deadline).await
    }

    async fn accept(&self, connections: &GracefulShutdown) {
        let permits = Arc::new(Semaphore::new(self.limits.connections));
        let protocol = protocol(&self.limits);
        while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
            let (stream, peer) = self.accept_one().await;
            let connection = serve(&protocol, stream, peer, self.handler.clone(), self.host.context.clone());
            let connection = connections.watch(connection);
            tokio::spawn(async move {
                // It fails when the caller goes away or breaks the protocol; hyper has answered what can be answered.
                let _ = connection.await;
                drop(permit);
            });
        }
    }

    async fn accept_one(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: some are given back as connections end.
                    tracing::error!(error = &error as &dyn std::error::Error, "a connection could not be accepted");
                    sleep(Duration::from_millis(50)).await;
                }
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

fn serve<H, F>(
    protocol: &http1::Builder,
    stream: TcpStream,
    peer: SocketAddr,
    handler: H,
    context: Context,
) -> impl GracefulConnection<Error = hyper::Error> + Send + use<H, F>
where
    H: Fn(Request) -> F + Clone + Send + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    // Without it, a chunk of a stream may wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let answer = if exchange::target_fits(&request) {
            Ok(handler(exchange::request(request, peer.ip())))
        } else {
            Err(exchange::target_too_long(&RequestId::accept(request.headers(), &context)))
        };
        async move {
            Ok::<_, Infallible>(match answer {
                Ok(running) => running.await,
                Err(refusal) => refusal,
            })
        }
    });
    protocol.serve_connection(TokioIo::new(stream), service)
}
