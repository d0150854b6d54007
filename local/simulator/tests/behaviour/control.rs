use serde_json::{Value, json};

use crate::client::{Simulator, chat_request};

#[tokio::test]
async fn a_queued_fault_meets_the_next_request_that_matches() {
    let simulator = Simulator::start().await;
    simulator.post("/__sim/faults", json!({"match": {"model": "m"}, "behaviour": {"status": 503}})).await;
    let mut other = chat_request(false, json!({}));
    other["model"] = json!("other");
    assert_eq!(simulator.post("/v1/chat/completions", other).await["object"], "chat.completion");
    assert_eq!(simulator.chat(false, json!({})).await.status, 503);
    assert_eq!(simulator.chat(false, json!({})).await.status, 200);
}

#[tokio::test]
async fn a_fault_that_is_not_understood_is_refused() {
    let simulator = Simulator::start().await;
    let answer = simulator.post("/__sim/faults", json!({"behaviour": {"statis": 503}})).await;
    assert!(answer["error"].as_str().unwrap().contains("statis"), "{answer}");
}

#[tokio::test]
async fn a_list_in_the_metadata_has_one_behaviour_per_attempt() {
    let simulator = Simulator::start().await;
    let mut request = chat_request(false, json!([{"status": 500}, {"status": 429}, {}]));
    request["metadata"]["marker"] = json!("a");
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let answer = simulator.send("POST", "/v1/chat/completions", request.to_string().as_bytes()).await;
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [500, 429, 200, 200]);
    let counters = simulator.get("/__sim/counters?marker=a").await;
    assert_eq!(
        (&counters["requests"]["chat"], &counters["refused"], &counters["finished"]),
        (&json!(4), &json!(2), &json!(2))
    );
}

#[tokio::test]
async fn a_request_is_kept_as_it_was_received() {
    let simulator = Simulator::start().await;
    let body = chat_request(false, json!({"tokens": 3})).to_string();
    let answer = simulator.send("POST", "/v1/chat/completions?a=b", body.as_bytes()).await;
    let id = answer.header("x-request-id").unwrap();
    let kept = simulator.get(&format!("/__sim/requests?id={id}")).await["requests"][0].clone();
    assert_eq!((&kept["body"], &kept["target"]), (&json!(body), &json!("/v1/chat/completions?a=b")));
    assert!(kept["headers"].as_array().unwrap().contains(&json!(["authorization", "Bearer k"])));
    assert_eq!((&kept["outcome"], &kept["status"], &kept["tokens_sent"]), (&json!("finished"), &json!(200), &json!(3)));
}

#[tokio::test]
async fn a_client_that_leaves_is_counted_with_what_it_was_sent() {
    let simulator = Simulator::start().await;
    let mut request = chat_request(true, json!({"interval_ms": 10, "tokens": 10_000}));
    request["metadata"]["marker"] = json!("leaves");
    let body = request.to_string();
    let mut exchange = simulator.begin("POST", "/v1/chat/completions", Some("k"), body.as_bytes()).await;
    exchange.wait_for_bytes(3000).await;
    drop(exchange);
    let ended = |value: &Value| value["cancelled"] == 1;
    let counters = simulator.wait_for("/__sim/counters?marker=leaves", ended).await;
    assert_eq!((&counters["begun"], &counters["active"], &counters["finished"]), (&json!(1), &json!(0), &json!(0)));
    let kept = simulator.get("/__sim/requests?marker=leaves").await["requests"][0].clone();
    let sent = kept["frames_sent"].as_u64().unwrap();
    assert!((5..1000).contains(&sent), "{sent} frames");
    assert!(kept["ended_ms"].as_u64() >= kept["received_ms"].as_u64());
    assert_eq!(simulator.get("/__sim/counters?marker=other").await["begun"], 0);
}

#[tokio::test]
async fn a_reset_forgets_everything() {
    let simulator = Simulator::start().await;
    simulator.post("/__sim/faults", json!({"times": 0, "behaviour": {"status": 503}})).await;
    simulator.chat(false, json!({})).await;
    simulator.post("/__sim/reset", json!({})).await;
    assert_eq!(simulator.get("/__sim/counters").await["requests"]["chat"], 0);
    assert_eq!(simulator.get("/__sim/faults").await, json!([]));
    assert_eq!(simulator.chat(false, json!({})).await.status, 200);
}

#[tokio::test]
async fn the_help_names_every_word_of_the_vocabulary() {
    let help = Simulator::start().await.send("GET", "/__sim", b"").await.text();
    let every = serde_json::from_str::<llm_simulator::Behaviour>(r#"{"no_such_word":1}"#).unwrap_err().to_string();
    let words: Vec<&str> = every.split('`').skip(3).step_by(2).collect();
    assert!(words.len() > 40, "{every}");
    for word in words {
        let mut named = help.split(|c: char| !c.is_alphanumeric() && c != '_');
        assert!(named.any(|named| named == word), "the help lacks {word}");
    }
}
