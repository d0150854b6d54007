use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use native::{Host, Limits};
use platform::fakes::streamed_body;
use platform::{Body, BodyError, ClientAddress, Request, Response};
use router::Edge;
use tokio::net::TcpListener;
use tokio::sync::mpsc::unbounded_channel;

use crate::connection::Connection;
use crate::doorway::{Doorway, eventually};

#[tokio::test]
async fn the_router_answers_and_is_told_who_calls() {
    let host = Host::new().unwrap();
    let handler = native::handler(Arc::new(Edge::load(&host.context).await), host.context.clone());
    let doorway = Doorway::on(host, Limits::default(), handler);
    let mut caller = Connection::open(doorway.address).await;
    caller.get("/healthz").await;
    assert!(caller.read_until("\"ok\"").await.starts_with("HTTP/1.1 200 OK\r\n"));

    let doorway = Doorway::open(Limits::default(), |request: Request| async move {
        Response::new(format!("{:?}", request.extensions().get::<ClientAddress>()).into())
    });
    let mut caller = Connection::open(doorway.address).await;
    caller.get("/").await;
    caller.read_until("Some(ClientAddress(127.0.0.1))").await;
}

#[tokio::test]
async fn each_chunk_of_an_answer_leaves_before_the_next_exists() {
    let (stream, body) = streamed_body();
    let body = Arc::new(Mutex::new(Some(body)));
    let doorway = Doorway::open(Limits::default(), move |_| {
        let body = body.lock().unwrap().take().unwrap_or_default();
        async { Response::new(body) }
    });
    let mut caller = Connection::open(doorway.address).await;
    caller.get("/").await;
    assert!(caller.read_until("\r\n\r\n").await.contains("transfer-encoding: chunked"));
    for chunk in ["one", "two", "three"] {
        stream.send(chunk);
        assert!(caller.read_until("\r\n").await.contains(&format!("{:x}", chunk.len())));
    }
    stream.finish();
    caller.read_until("0\r\n\r\n").await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_ended_as_if_it_were_whole() {
    let doorway = Doorway::open(Limits::default(), |_| async {
        let (stream, body) = streamed_body();
        stream.send("begun");
        stream.cut();
        Response::new(body)
    });
    let mut caller = Connection::open(doorway.address).await;
    caller.get("/").await;
    let seen = caller.read_to_end().await;
    assert!(!seen.ends_with("0\r\n\r\n"), "{seen:?}");
}

#[tokio::test]
async fn each_chunk_of_a_request_arrives_before_the_next_is_sent() {
    let (seen, mut arriving) = unbounded_channel();
    let doorway = Doorway::open(Limits::default(), move |request| {
        let seen = seen.clone();
        async move {
            let mut body = request.into_body().into_stream();
            while let Some(chunk) = body.next().await {
                seen.send(chunk).unwrap();
            }
            Response::new(Body::empty())
        }
    });
    let mut caller = Connection::open(doorway.address).await;
    caller.write("POST / HTTP/1.1\r\nhost: edge.test\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for _ in 0..3 {
        caller.write("3\r\nabc\r\n").await;
        assert_eq!(arriving.recv().await.unwrap().unwrap(), "abc");
    }
    caller.write("5\r\nab").await;
    drop(caller);
    let cut = loop {
        if let Err(error) = arriving.recv().await.unwrap() {
            break error;
        }
    };
    assert!(matches!(cut, BodyError::Interrupted(_)));
}

#[tokio::test]
async fn a_caller_that_leaves_while_waiting_drops_the_handler() {
    struct Guard(tokio::sync::mpsc::UnboundedSender<&'static str>);
    impl Drop for Guard {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
        }
    }
    let (told, mut events) = unbounded_channel();
    let doorway = Doorway::open(Limits::default(), move |_| {
        let guard = Guard(told.clone());
        async move {
            guard.0.send("running").unwrap();
            std::future::pending().await
        }
    });
    let mut caller = Connection::open(doorway.address).await;
    caller.get("/").await;
    assert_eq!(events.recv().await, Some("running"));
    drop(caller);
    assert_eq!(events.recv().await, Some("dropped"));
}

#[tokio::test]
async fn a_caller_that_leaves_a_stream_cancels_it_upstream() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = format!("http://{}/__peer", listener.local_addr().unwrap());
    tokio::spawn(llm_simulator::serve(listener, llm_simulator::Options::default()));
    let host = Host::new().unwrap();
    let (http, upstream) = (host.context.http.clone(), peer.clone());
    let doorway = Doorway::on(host, Limits::default(), move |request: Request| {
        let (http, uri) = (http.clone(), format!("{upstream}{}", request.uri()));
        async move { http.send(http::Request::get(uri).body(Body::empty()).unwrap()).await.unwrap() }
    });
    let mut caller = Connection::open(doorway.address).await;
    caller.get("/stream?chunks=100000&interval_ms=5&size=10&id=left").await;
    caller.read_until("aaaaaaaaaa").await;
    drop(caller);
    let cancelled = Arc::new(Mutex::new(false));
    let (told, address) = (Arc::clone(&cancelled), doorway.address);
    tokio::spawn(async move {
        while !*told.lock().unwrap() {
            let mut asking = Connection::open(address).await;
            asking.get("/cancelled?id=left").await;
            *told.lock().unwrap() = asking.read_until("}").await.contains("\"cancelled\":true");
        }
    });
    eventually(|| *cancelled.lock().unwrap()).await;
}
