use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::Host;

/// How long running answers may take once the host is to stop.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Serves `host` over HTTP/1.1 until `stop` completes; what runs then may still end.
pub async fn serve(listener: TcpListener, host: Arc<Host>, stop: impl Future<Output = ()>) {
    let connections = GracefulShutdown::new();
    tokio::select! {
        () = accept(&listener, &host, &connections) => {}
        () = stop => {}
    }
    drop(listener);
    if timeout(STOP_WITHIN, connections.shutdown()).await.is_err() {
        eprintln!("spin-host: stopped before all answers were complete");
    }
    host.stop();
}

async fn accept(listener: &TcpListener, host: &Arc<Host>, connections: &GracefulShutdown) {
    loop {
        match listener.accept().await {
            Ok((stream, caller)) => connection(stream, caller, Arc::clone(host), connections),
            Err(error) => {
                // Out of file descriptors, most likely: some are given back as connections end.
                eprintln!("spin-host: a connection could not be accepted: {error}");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn connection(stream: TcpStream, caller: SocketAddr, host: Arc<Host>, connections: &GracefulShutdown) {
    // Without it, a chunk of a stream may wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let host = Arc::clone(&host);
        async move { Ok::<_, Infallible>(host.answer(request, caller).await) }
    });
    let mut protocol = http1::Builder::new();
    let connection = protocol.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    let connection = connections.watch(connection);
    // It fails when the caller goes away, which is no fault, or when a body breaks off, which its instance has logged.
    tokio::spawn(async move { drop(connection.await) });
}
