use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use router::Edge;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use crate::{Host, Limits, Server, handler};

/// Serves `edge` on every core until `stop` completes, each core with a single-threaded runtime of its own: a request
/// stays on the thread that accepted its connection, and no thread has to wake another. A runtime that moves tasks
/// between threads needs ten context switches per completion at one connection, this two, and a fifth less CPU.
///
/// `false` if something was cut off because it took too long to end.
pub async fn serve(
    listener: TcpListener,
    host: Host,
    edge: Arc<Edge>,
    limits: Limits,
    stop: impl Future<Output = ()>,
) -> io::Result<bool> {
    let cores = thread::available_parallelism()?.get();
    let limits = Limits { connections: limits.connections.div_ceil(cores), ..limits };
    let stopping = CancellationToken::new();
    // Also when this function fails halfway.
    let stop_all = stopping.clone().drop_guard();
    let mut others = Vec::new();
    for number in 1..cores {
        let (runtime, listener, host) = (single_threaded()?, listener.try_clone()?, host.with_own_connections()?);
        let (edge, limits, stopped) = (Arc::clone(&edge), limits.clone(), stopping.clone().cancelled_owned());
        let serve = move || runtime.block_on(serve_here(listener, host, edge, limits, stopped));
        others.push(thread::Builder::new().name(format!("core-{number}")).spawn(serve)?);
    }
    let stop = async {
        stop.await;
        drop(stop_all);
    };
    let mut complete = serve_here(listener, host, edge, limits, stop).await?;
    for thread in others {
        complete &= thread.join().map_err(|_| io::Error::other("a core's thread has panicked"))??;
    }
    Ok(complete)
}

/// The runtime of one core.
pub fn single_threaded() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

async fn serve_here(
    listener: TcpListener,
    host: Host,
    edge: Arc<Edge>,
    limits: Limits,
    stop: impl Future<Output = ()>,
) -> io::Result<bool> {
    let handler = handler(edge, host.context.clone());
    Ok(Server::new(listener, host, limits, handler)?.run(stop).await)
}
