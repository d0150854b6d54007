use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use native::Limits;
use platform::{Request, Response};
use tokio::sync::Notify;

use crate::connection::Connection;
use crate::doorway::{Doorway, eventually};

async fn hello(_: Request) -> Response {
    Response::new("hello".into())
}

#[tokio::test]
async fn a_head_that_does_not_arrive_in_time_ends_the_connection() {
    let doorway = Doorway::open(Limits { head_timeout: Duration::from_millis(100), ..Limits::default() }, hello);
    let mut silent = Connection::open(doorway.address).await;
    let mut slow = Connection::open(doorway.address).await;
    slow.write("GET / HTTP/1.1\r\nhost: edge").await;
    assert_eq!(silent.read_to_end().await, "");
    let seen = slow.read_to_end().await;
    assert!(!seen.contains("200 OK"), "{seen}");
}

#[tokio::test]
async fn too_many_header_fields_are_refused() {
    let doorway = Doorway::open(Limits::default(), hello);
    for (count, status) in [(99, 200), (100, 431)] {
        let mut caller = Connection::open(doorway.address).await;
        let headers = "x-one-of-many: y\r\n".repeat(count);
        caller.write(&format!("GET / HTTP/1.1\r\nhost: edge.test\r\n{headers}\r\n")).await;
        let seen = caller.read_until("\r\n\r\n").await;
        assert!(seen.starts_with(&format!("HTTP/1.1 {status} ")), "{count}: {seen}");
    }
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let doorway = Doorway::open(Limits { head_size: 8 * 1024, ..Limits::default() }, hello);
    let mut caller = Connection::open(doorway.address).await;
    caller.write("GET / HTTP/1.1\r\nx-long: ").await;
    // The connection may end before all of it is written.
    caller.write_as_far_as_possible(&"y".repeat(64 * 1024 * 1024)).await;
    let seen = caller.read_to_end().await;
    assert!(seen.is_empty() || seen.starts_with("HTTP/1.1 431 "), "{seen}");
}

#[tokio::test]
async fn a_request_line_that_is_too_long_is_a_problem_with_a_request_id() {
    let doorway = Doorway::open(Limits::default(), hello);
    let mut caller = Connection::open(doorway.address).await;
    caller.get(&format!("/{}", "x".repeat(8 * 1024))).await;
    let seen = caller.read_until("}").await;
    assert!(seen.starts_with("HTTP/1.1 414 ") && seen.contains("x-request-id: "), "{seen}");
    assert!(seen.contains("/problems/target-too-long"), "{seen}");
    caller.get(&format!("/{}", "x".repeat(8 * 1024 - 1))).await;
    assert!(caller.read_until("hello").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn more_connections_than_allowed_wait_for_one_to_end() {
    let (running, most, release) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (now, peak, gate) = (Arc::clone(&running), Arc::clone(&most), Arc::clone(&release));
    let doorway = Doorway::open(Limits { connections: 2, ..Limits::default() }, move |_| {
        let (now, peak, gate) = (Arc::clone(&now), Arc::clone(&peak), Arc::clone(&gate));
        async move {
            peak.fetch_max(now.fetch_add(1, Ordering::AcqRel) + 1, Ordering::AcqRel);
            gate.notified().await;
            now.fetch_sub(1, Ordering::AcqRel);
            Response::new("hello".into())
        }
    });
    let mut callers = Vec::new();
    for _ in 0..6 {
        let mut caller = Connection::open(doorway.address).await;
        caller.write("GET / HTTP/1.1\r\nhost: edge.test\r\nconnection: close\r\n\r\n").await;
        callers.push(tokio::spawn(async move { caller.read_to_end().await }));
    }
    eventually(|| running.load(Ordering::Acquire) == 2).await;
    for caller in &mut callers {
        release.notify_one();
        release.notify_one();
        assert!(caller.await.unwrap().ends_with("hello"));
    }
    assert_eq!(most.load(Ordering::Acquire), 2);
}
