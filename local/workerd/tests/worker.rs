//! The Worker in workerd, from the outside.
// A test: it has a clock and may fail.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod account;
mod rig;

use local_workerd::Workerd;
use rig::{Connection, Peer, eventually, simulator, worker};

#[test]
fn answers_and_keeps_the_connection() {
    let Some(worker) = worker(&[]) else { return };
    let mut client = Connection::to(&worker);
    for _ in 0..3 {
        assert_eq!(client.get("/healthz").0.status(), 200);
    }
}

#[test]
fn keeps_the_contract_of_the_port() {
    let variables = [("CONTRACT_VALUE", "a b=c, \"ü\""), ("CONTRACT_EMPTY", ""), ("CONTRACT_MINIMUM_TTL", "60")];
    let Some(worker) = worker(&variables) else { return };
    let (_, body) = Connection::to(&worker).get(&format!("/__probe/contract?peer={}", simulator()));
    let outcomes: Vec<serde_json::Value> = serde_json::from_str(&body).unwrap();
    let failures: Vec<_> = outcomes.iter().filter(|outcome| !outcome["failure"].is_null()).collect();
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(outcomes.len() > 20);
}

#[test]
fn judges_every_token_as_every_host_does() {
    let Some(worker) = worker(&[]) else { return };
    let (items, mut client) = (jws_vectors::items(), Connection::to(&worker));
    let body = jws_vectors::body(&items);
    client.request("POST /__probe/verdicts", &format!("content-length: {}\r\n", body.len()));
    client.write(body);
    let head = client.read_head();
    jws_vectors::check(&items, &String::from_utf8(client.read_body(&head)).unwrap());
}

#[test]
fn hands_each_chunk_of_a_response_on_before_the_next_one_exists() {
    let Some(worker) = worker(&[]) else { return };
    let (peer, mut client) = (Peer::listen(), Connection::to(&worker));
    client.request(&format!("GET /__probe/forward?url=http://{}/", peer.address()), "");
    let mut upstream = peer.accept();
    upstream.read_head();
    upstream.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    assert_eq!(client.read_head().status(), 200);
    for chunk in ["first", "second", "third"] {
        upstream.write_chunk(chunk);
        assert_eq!(client.read_chunk().unwrap().unwrap(), chunk.as_bytes());
    }
    upstream.write("0\r\n\r\n");
    assert_eq!(client.read_chunk().unwrap(), None);
}

#[test]
fn hands_each_chunk_of_a_request_on_before_the_next_one_exists() {
    let Some(worker) = worker(&[]) else { return };
    let (peer, mut client) = (Peer::listen(), Connection::to(&worker));
    let line = format!("POST /__probe/forward?url=http://{}/", peer.address());
    client.request(&line, "transfer-encoding: chunked\r\n");
    client.write_chunk("first");
    let mut upstream = peer.accept();
    upstream.read_head();
    assert_eq!(upstream.read_chunk().unwrap().unwrap(), b"first");
    client.write_chunk("second");
    assert_eq!(upstream.read_chunk().unwrap().unwrap(), b"second");
    client.write("0\r\n\r\n");
    assert_eq!(upstream.read_chunk().unwrap(), None);
    upstream.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let head = client.read_head();
    assert_eq!((head.status(), client.read_body(&head)), (200, b"ok".to_vec()));
}

#[test]
fn keeps_the_length_of_a_streamed_body_in_both_directions() {
    let Some(worker) = worker(&[]) else { return };
    let (peer, mut client) = (Peer::listen(), Connection::to(&worker));
    let body = "x".repeat(100_000);
    let line = format!("PUT /__probe/forward?url=http://{}/", peer.address());
    client.request(&line, "content-length: 100000\r\n");
    client.write(&body);
    let mut upstream = peer.accept();
    let head = upstream.read_head();
    assert_eq!((head.get("content-length"), upstream.read_body(&head).len()), (Some("100000"), 100_000));
    upstream.write(format!("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{body}"));
    let head = client.read_head();
    assert_eq!((head.get("content-length"), client.read_body(&head).len()), (Some("100000"), 100_000));
}

/// A disconnect is seen at a write. In workerd 1.20260619 it did not reach a stream made in JavaScript (workerd#6832).
#[test]
fn closes_the_upstream_and_finishes_its_work_when_the_client_leaves() {
    let Some(worker) = worker(&[]) else { return };
    let (peer, report) = (Peer::listen(), Peer::listen());
    let mut client = Connection::to(&worker);
    let (url, dropped) = (format!("http://{}/", peer.address()), format!("http://{}/", report.address()));
    client.request(&format!("GET /__probe/watch?url={url}&dropped={dropped}"), "");
    let mut upstream = peer.accept();
    upstream.read_head();
    upstream.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    upstream.write_chunk("first");
    client.read_head();
    assert!(client.read_chunk().unwrap().is_some());
    drop(client);
    assert!(eventually(|| upstream.try_write("4\r\nmore\r\n").err()).is_some(), "the upstream is closed");
    assert!(report.accept().read_head().line.starts_with("POST / "), "work after the disconnect is done");
    assert_nothing_is_left(&worker);
}

/// All tasks of other requests have ended and are dropped.
fn assert_nothing_is_left(worker: &Workerd) {
    let mut client = Connection::to(worker);
    let alone = || (client.get("/__probe/invocations").1 == "1").then_some(());
    assert!(eventually(alone).is_some(), "a task is left behind");
}

#[test]
fn an_upstream_that_breaks_off_breaks_the_answer_off() {
    let Some(worker) = worker(&[]) else { return };
    let (peer, mut client) = (Peer::listen(), Connection::to(&worker));
    client.request(&format!("GET /__probe/forward?url=http://{}/", peer.address()), "");
    let mut upstream = peer.accept();
    upstream.read_head();
    upstream.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    upstream.write_chunk("first");
    client.read_head();
    assert!(client.read_chunk().unwrap().is_some());
    drop(upstream);
    assert!(client.read_chunk().is_err(), "no clean end");
    assert_nothing_is_left(&worker);
}

#[test]
fn a_thousand_requests_at_once_take_exactly_the_limit() {
    let Some(worker) = worker(&[]) else { return };
    let taken = || {
        let mut client = Connection::to(&worker);
        (0..40).filter(|_| client.get("/__probe/take?shard=org-1&limit=100").1 == "true").count()
    };
    let total: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..25).map(|_| scope.spawn(taken)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert_eq!(total, 100);
    assert_eq!(Connection::to(&worker).get("/__probe/take?shard=org-2&limit=1").1, "true", "another shard");
}

#[test]
fn a_panic_ends_what_is_in_flight_and_nothing_after_it() {
    let Some(worker) = worker(&[]) else { return };
    let mut client = Connection::to(&worker);
    assert_eq!(client.get("/__probe/take?shard=a&limit=2").1, "true");
    let (peer, mut streaming, mut waiting) = (Peer::listen(), Connection::to(&worker), Connection::to(&worker));
    streaming.request(&format!("GET /__probe/forward?url=http://{}/", peer.address()), "");
    let mut upstream = peer.accept();
    upstream.read_head();
    upstream.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    upstream.write_chunk("first");
    streaming.read_head();
    assert!(streaming.read_chunk().unwrap().is_some());
    waiting.request("GET /__probe/wait?name=nobody&url=http://127.0.0.1:1/", "");
    assert!(eventually(|| (client.get("/__probe/waits?name=nobody").1 == "true").then_some(())).is_some());

    client.request("GET /__probe/panic", "x-request-id: r-1\r\n");
    let head = client.read_head();
    let body: serde_json::Value = serde_json::from_slice(&client.read_body(&head)).unwrap();
    assert_eq!((head.status(), head.get("content-type")), (500, Some("application/problem+json")));
    assert_eq!((head.get("x-request-id"), &body["request_id"]), (Some("r-1"), &"r-1".into()));
    assert_eq!((&body["type"], &body["status"]), (&"/problems/internal".into(), &500.into()));

    assert_eq!(waiting.read_head().status(), 500, "a request that waited");
    assert!(streaming.read_chunk().is_err(), "a stream that was open");
    assert_eq!(client.get("/healthz").0.status(), 200);
    assert_eq!(client.get("/__probe/take?shard=a&limit=2").1, "true", "the ledger object is made again");
}

#[test]
fn the_scheduled_handler_runs() {
    let Some(worker) = worker(&[]) else { return };
    worker.scheduled("*/5 * * * *").unwrap();
}

/// Its I/O belongs to it, and not to the request that woke it and has ended since: also when V8 has optimized what wakes it.
#[test]
fn a_request_woken_by_another_one_goes_on_in_its_own_name() {
    let Some(worker) = worker(&[]) else { return };
    let peer = Peer::listen();
    for warm_up in [0, 3_000, 3_000] {
        let (mut waiting, mut waking) = (Connection::to(&worker), Connection::to(&worker));
        for _ in 0..warm_up {
            waiting.request("POST /__probe/echo", "content-length: 4\r\n");
            waiting.write("body");
            let head = waiting.read_head();
            assert_eq!(waiting.read_body(&head), b"body");
        }
        waiting.request(&format!("GET /__probe/wait?name=a&url=http://{}/", peer.address()), "");
        assert!(eventually(|| (waking.get("/__probe/wake?name=a").1 == "true").then_some(())).is_some());
        drop(waking);
        let mut upstream = peer.accept();
        upstream.read_head();
        upstream.write("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\nmine");
        let head = waiting.read_head();
        assert_eq!((head.status(), waiting.read_body(&head)), (200, b"mine".to_vec()));
    }
}

#[test]
fn headers_pass_as_they_are_and_hop_by_hop_ones_do_not() {
    let Some(worker) = worker(&[]) else { return };
    let mut client = Connection::to(&worker);
    let sent = "set-cookie: a=1\r\nset-cookie: b=2\r\nx-bytes: caf\u{e9}\r\nte: trailers\r\ncontent-length: 4\r\n";
    client.request("POST /__probe/echo", sent);
    client.write("body");
    let head = client.read_head();
    assert_eq!(client.read_body(&head), b"body");
    assert_eq!(head.all("set-cookie").join(", "), "a=1, b=2");
    assert_eq!((head.get("x-bytes"), head.get("te")), (Some("café"), None));
}

#[test]
fn answers_without_a_body_have_none() {
    let Some(worker) = worker(&[]) else { return };
    let mut client = Connection::to(&worker);
    for status in ["204", "304", "205"] {
        client.request("POST /__probe/echo", &format!("x-status: {status}\r\ncontent-length: 4\r\n"));
        client.write("body");
        let head = client.read_head();
        assert_eq!(head.status().to_string(), status);
        if status == "205" {
            assert_eq!(client.read_body(&head), b"");
        }
    }
    client.request("HEAD /__probe/waits?name=nobody", "");
    let head = client.read_head();
    assert_eq!((head.status(), head.get("content-length")), (200, Some("5")));
    assert_eq!(client.get("/healthz").0.status(), 200, "the connection is still in step");
}

#[test]
fn a_small_body_that_nobody_reads_leaves_the_connection_in_step() {
    let Some(worker) = worker(&[]) else { return };
    let mut client = Connection::to(&worker);
    for _ in 0..3 {
        client.request("POST /nothing/here", "content-length: 4\r\n");
        client.write("body");
        let head = client.read_head();
        client.read_body(&head);
        assert!(head.status() >= 400);
    }
}

#[test]
fn compressed_bytes_pass_untouched() {
    let Some(worker) = worker(&[]) else { return };
    let (peer, mut client) = (Peer::listen(), Connection::to(&worker));
    client.request(&format!("GET /__probe/forward?url=http://{}/", peer.address()), "accept-encoding: gzip\r\n");
    let mut upstream = peer.accept();
    upstream.read_head();
    let bytes = b"\x1f\x8b not really gzip";
    upstream.write(format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bytes.len()));
    upstream.write(bytes);
    let head = client.read_head();
    assert_eq!(head.get("content-encoding"), Some("gzip"));
    assert_eq!(client.read_body(&head), bytes);
}

#[test]
fn a_client_that_leaves_before_the_answer_does_no_harm() {
    let Some(worker) = worker(&[]) else { return };
    let peer = Peer::listen();
    let mut client = Connection::to(&worker);
    client.request(&format!("GET /__probe/forward?url=http://{}/", peer.address()), "");
    let mut upstream = peer.accept();
    upstream.read_head();
    drop(client);
    upstream.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    assert_nothing_is_left(&worker);
}
