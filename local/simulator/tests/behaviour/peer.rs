use serde_json::{Value, json};

use crate::client::{End, Simulator};

#[tokio::test]
async fn echoes_what_it_was_sent() {
    let echo = Simulator::start().await.send("PUT", "/__peer/echo?a=1&a=2", b"\xff\x00").await.json();
    assert_eq!(
        (&echo["method"], &echo["path"], &echo["query"]),
        (&json!("PUT"), &json!("/__peer/echo"), &json!("a=1&a=2"))
    );
    assert_eq!(echo["body"], "/wA=");
    assert!(echo["headers"].as_array().unwrap().contains(&json!(["host", "sim"])));
}

#[tokio::test]
async fn streams_and_cuts() {
    let simulator = Simulator::start().await;
    let whole = simulator.send("GET", "/__peer/stream?chunks=3&interval_ms=1&size=2", b"").await;
    assert_eq!((whole.text().as_str(), whole.end), ("aabbcc", End::Complete));
    let cut = simulator.send("GET", "/__peer/cut?after=2&interval_ms=1&size=3", b"").await;
    assert_eq!((cut.text().as_str(), cut.end), ("aaabbb", End::Closed));
}

#[tokio::test]
async fn answers_with_any_status_and_redirects() {
    let simulator = Simulator::start().await;
    assert_eq!(simulator.send("GET", "/__peer/status/418", b"").await.status, 418);
    assert_eq!(simulator.send("GET", "/__peer/status/99", b"").await.status, 404);
    let redirect = simulator.send("GET", "/__peer/redirect?to=/x", b"").await;
    assert_eq!((redirect.status, redirect.header("location")), (302, Some("/x")));
    let reset = simulator.begin("GET", "/__peer/reset", None, b"").await.answer().await;
    assert_eq!(reset.unwrap_err(), End::Reset);
}

#[tokio::test]
async fn counts_and_hashes_an_upload() {
    let answer = Simulator::start().await.send("POST", "/__peer/upload", b"abc").await.json();
    assert_eq!(answer["bytes"], 3);
    assert_eq!(answer["sha256"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[tokio::test]
async fn knows_which_stream_its_client_left() {
    let simulator = Simulator::start().await;
    let known = |value: &Value| value["known"] == true;
    for target in ["/__peer/stream?chunks=100000&interval_ms=5&id=s", "/__peer/hang?id=h"] {
        let id = target.rsplit('=').next().unwrap();
        let left = simulator.begin("GET", target, None, b"").await;
        let before = simulator.wait_for(&format!("/__peer/cancelled?id={id}"), known).await;
        assert_eq!(before["cancelled"], false);
        drop(left);
        simulator.wait_for(&format!("/__peer/cancelled?id={id}"), |value| value["cancelled"] == true).await;
    }
    simulator.send("GET", "/__peer/stream?chunks=1&id=done", b"").await;
    let done = simulator.get("/__peer/cancelled?id=done").await;
    assert_eq!((&done["finished"], &done["cancelled"], &done["sent"]), (&json!(true), &json!(false), &json!(1)));
}
