use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use native::{Host, Limits, Server};
use platform::{Request, Response};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// A running server with a handler of the test's own.
pub struct Doorway {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<bool>,
}

impl Doorway {
    pub fn open<F>(limits: Limits, handler: impl Fn(Request) -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response> + Send + 'static,
    {
        Self::on(Host::new().unwrap(), limits, handler)
    }

    pub fn on<F>(host: Host, limits: Limits, handler: impl Fn(Request) -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::new(listener, host, limits, handler).unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async { drop(stopped.await) }));
        Self { address, stop, running }
    }

    /// Tells the server to stop; the handle ends when it has.
    pub fn stop(self) -> JoinHandle<bool> {
        self.stop.send(()).unwrap();
        self.running
    }
}

/// Waits until something is so that has no event of its own.
pub async fn eventually(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), wait).await.expect("it should have become true");
}
