use serde_json::{Value, json};

use crate::client::{Answer, End, Simulator};

async fn stream(behaviour: Value) -> Answer {
    Simulator::start().await.chat(true, behaviour).await
}

fn content(answer: &Answer) -> usize {
    answer.chunks().iter().filter(|chunk| chunk["choices"][0]["delta"]["content"].is_string()).count()
}

#[tokio::test]
async fn a_cut_closes_the_connection_after_the_frames_before_it() {
    for count in [0, 1, 6] {
        let answer = stream(json!({"cut_after": count})).await;
        assert_eq!((content(&answer), answer.end), (count, End::Closed));
    }
    let answer = stream(json!({"reset_after": 4})).await;
    assert_eq!((content(&answer), answer.end), (4, End::Reset));
}

#[tokio::test]
async fn a_json_answer_can_be_cut_too() {
    let answer = Simulator::start().await.chat(false, json!({"cut_after_bytes": 100})).await;
    assert_eq!((answer.body().len(), answer.end), (100, End::Closed));
}

#[tokio::test]
async fn the_end_can_come_cleanly_and_too_early() {
    let answer = stream(json!({"eof_after": 5})).await;
    assert_eq!((content(&answer), answer.end), (5, End::Complete));
    assert!(!answer.text().contains("\"finish_reason\":\"") && !answer.text().contains("[DONE]"));
}

#[tokio::test]
async fn what_ends_a_stream_can_be_left_out() {
    let answer = stream(json!({"no_done": true})).await;
    assert_eq!(answer.chunks().last().unwrap()["choices"][0]["finish_reason"], "stop");
    assert!(!answer.text().contains("[DONE]"));
    let answer = stream(json!({"no_finish_reason": true})).await;
    assert!(!answer.text().contains("\"stop\"") && answer.text().ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn a_malformed_frame_stands_between_good_ones() {
    let answer = stream(json!({"malformed_after": 3, "tokens": 6})).await;
    let events = answer.events();
    assert!(serde_json::from_str::<Value>(&events[3]).is_err());
    assert!(serde_json::from_str::<Value>(&events[4]).is_ok());
    assert_eq!(content(&answer), 7);
}

#[tokio::test]
async fn an_error_event_ends_the_stream() {
    let answer = stream(json!({"error_after": 4, "message": "boom"})).await;
    let chunks = answer.chunks();
    assert_eq!((chunks.len(), &chunks[4]["error"]["message"]), (5, &json!("boom")));
    assert_eq!(answer.end, End::Complete);
}

#[tokio::test]
async fn the_break_that_comes_first_wins() {
    let answer = stream(json!({"cut_after": 9, "eof_after": 3})).await;
    assert_eq!((content(&answer), answer.end), (3, End::Complete));
}

#[tokio::test]
async fn a_stalled_stream_and_a_hanging_answer_end_when_the_client_leaves() {
    let simulator = Simulator::start().await;
    for behaviour in [json!({"stall_after": 3}), json!({"hang": true}), json!({"delay_ms": 600_000})] {
        let mut exchange = simulator.begin_chat(true, behaviour.clone()).await;
        if behaviour["stall_after"].is_number() {
            exchange.wait_for_bytes(200).await;
        }
        simulator.wait_for("/__sim/counters", |counters| counters["active"] == 1).await;
        drop(exchange);
        simulator.wait_for("/__sim/counters", |counters| counters["active"] == 0).await;
        let last = simulator.get("/__sim/requests?limit=1").await["requests"][0].clone();
        assert_eq!(last["outcome"], "cancelled", "{behaviour}");
    }
}
