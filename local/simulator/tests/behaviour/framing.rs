use serde_json::{Value, json};

use crate::client::{Answer, Simulator};

async fn stream(behaviour: Value) -> Answer {
    Simulator::start().await.chat(true, behaviour).await
}

#[tokio::test]
async fn lines_end_with_crlf_when_asked() {
    let text = stream(json!({"crlf": true})).await.text();
    assert!(text.ends_with("data: [DONE]\r\n\r\n"));
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
}

#[tokio::test]
async fn the_space_after_the_colon_can_be_missing() {
    let text = stream(json!({"no_space": true})).await.text();
    assert!(text.starts_with("data:{") && text.ends_with("data:[DONE]\n\n"));
}

#[tokio::test]
async fn comments_stand_between_frames_without_being_frames() {
    let answer = stream(json!({"comments": true, "cut_after": 3})).await;
    assert_eq!((answer.text().matches(": still here\n\n").count(), answer.text().matches("data: ").count()), (3, 3));
}

#[tokio::test]
async fn an_event_can_be_spread_over_two_lines() {
    let text = stream(json!({"multi_line": true, "tokens": 1})).await.text();
    let event = text.split("\n\n").nth(1).unwrap();
    let lines: Vec<&str> = event.lines().map(|line| line.strip_prefix("data: ").unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert!(serde_json::from_str::<Value>(&lines.join("\n")).is_ok());
}

#[tokio::test]
async fn writes_start_at_the_given_offsets() {
    let behaviour = json!({"frames_per_write": 0, "split_at": [7, 300], "write_gap_ms": 30});
    let answer = stream(behaviour).await;
    let sizes: Vec<usize> = answer.reads.iter().map(Vec::len).filter(|size| *size > 0).collect();
    assert_eq!(sizes[..2], [7, 293]);
}

#[tokio::test]
async fn characters_are_split_across_writes() {
    let behaviour = json!({"text": "žluť 🙂", "split_utf8": true, "frames_per_write": 0, "write_gap_ms": 10});
    let answer = stream(behaviour).await;
    assert!(answer.reads.iter().any(|read| std::str::from_utf8(read).is_err()));
    assert!(answer.text().contains("žluť") && answer.text().contains("🙂"));
}

#[tokio::test]
async fn a_body_can_be_slow() {
    let behaviour = json!({"split_every": 100, "write_gap_ms": 5});
    let answer = Simulator::start().await.chat(false, behaviour).await;
    assert!(answer.reads.len() > 3, "{} reads", answer.reads.len());
    assert_eq!(answer.json()["object"], "chat.completion");
}

#[tokio::test]
async fn frames_of_the_test_go_out_as_they_are() {
    let frames = json!(["data: {\"choices\":[]}\n\n", ": hm\n", "\n", "data: x"]);
    let answer = stream(json!({"frames": frames})).await;
    assert_eq!(answer.text(), "data: {\"choices\":[]}\n\n: hm\n\ndata: x");
}

#[tokio::test]
async fn the_role_frame_comes_with_the_first_token_or_before_it() {
    let simulator = Simulator::start().await;
    for (behaviour, frames) in [
        (json!({"first_token_ms": 600_000}), 0),
        (json!({"first_token_ms": 600_000, "role_first": true}), 1),
        (json!({"interval_ms": 600_000}), 2),
    ] {
        let mut exchange = simulator.begin_chat(true, behaviour).await;
        let sent = |value: &Value| value["requests"][0]["frames_sent"] == frames;
        simulator.wait_for("/__sim/requests?limit=1", sent).await;
        exchange.wait_for_bytes(1).await;
        assert!(exchange.received().starts_with(b"HTTP/1.1 200"));
    }
}
