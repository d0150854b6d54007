use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use native::{Host, Limits};
use platform::Response;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc::unbounded_channel};

use crate::connection::Connection;
use crate::doorway::{Doorway, eventually};

#[tokio::test]
async fn finishes_what_runs_and_waits_for_background_work() {
    let host = Host::new().unwrap();
    let (background, done) = (host.context.background.clone(), Arc::new(AtomicBool::new(false)));
    let (release, told) = (Arc::new(Notify::new()), Arc::clone(&done));
    let (gate, (started, mut starts)) = (Arc::clone(&release), unbounded_channel());
    let doorway = Doorway::on(host, Limits::default(), move |_| {
        let (gate, started, background, told) =
            (Arc::clone(&gate), started.clone(), background.clone(), Arc::clone(&told));
        async move {
            started.send(()).unwrap();
            gate.notified().await;
            background.spawn(Box::pin(async move {
                gate.notified().await;
                told.store(true, Ordering::Release);
            }));
            Response::new("finished".into())
        }
    });
    let address = doorway.address;
    let (mut busy, mut idle) = (Connection::open(address).await, Connection::open(address).await);
    busy.get("/").await;
    starts.recv().await;
    let stopped = doorway.stop();
    assert_eq!(idle.read_to_end().await, "", "idle connections are closed");
    assert!(TcpStream::connect(address).await.is_err(), "new ones are refused");
    release.notify_one();
    assert!(busy.read_to_end().await.ends_with("finished"));
    assert!(!stopped.is_finished(), "background work still runs");
    release.notify_one();
    assert!(stopped.await.unwrap() && done.load(Ordering::Acquire));
}

#[tokio::test]
async fn does_not_wait_for_ever() {
    let (started, mut starts) = unbounded_channel();
    let limits = Limits { shutdown: Duration::from_millis(50), ..Limits::default() };
    let doorway = Doorway::open(limits, move |_| {
        let started = started.clone();
        async move {
            started.send(()).unwrap();
            std::future::pending().await
        }
    });
    let mut busy = Connection::open(doorway.address).await;
    busy.get("/").await;
    starts.recv().await;
    let stopped = doorway.stop();
    eventually(|| stopped.is_finished()).await;
    assert!(!stopped.await.unwrap(), "it says that something was cut off");
}
