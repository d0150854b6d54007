//! The server: accepts connections and serves HTTP/1.1 on each.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::connection::{Connection, Fate};
use crate::exchange::Log;
use crate::routes;
use crate::rules::Queue;

/// How a simulator is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The only key that is accepted; none: any key, but one must be there.
    pub api_key: Option<String>,
    /// How many requests are kept for `GET /__sim/requests`.
    pub history: usize,
}

/// What all connections share.
#[derive(Debug)]
pub struct Simulator {
    pub options: Options,
    pub log: Log,
    pub queue: Queue,
}

impl Default for Options {
    fn default() -> Self {
        Self { api_key: None, history: 512 }
    }
}

/// Serves `listener` for ever. Dropping the future closes every connection.
pub async fn serve(listener: TcpListener, options: Options) {
    let log = Log::new(options.history);
    let simulator = Arc::new(Simulator { options, log, queue: Queue::default() });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(stream, Arc::clone(&simulator)))),
                // Out of file descriptors, most likely: they come back as connections end.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, simulator: Arc<Simulator>) {
    let fate = Fate::default();
    let Ok(connection) = Connection::new(stream, fate.clone()) else { return };
    let service = service_fn(move |request| routes::answer(Arc::clone(&simulator), fate.clone(), request));
    // An error here is the client's going away or a fault that ends the connection: both are in the log already.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
}
