use llm_simulator::Options;
use serde_json::{Value, json};

use crate::client::{Answer, End, Simulator};

const HEADERS: &str = "x-api-key: k\r\nanthropic-version: 2023-06-01\r\n";

async fn ask(simulator: Simulator, headers: &str, request: &Value) -> Answer {
    let exchange = simulator.begin_with("POST", "/v1/messages", headers, request.to_string().as_bytes()).await;
    exchange.answer().await.expect("an answer")
}

/// A small request with this behaviour, of the attempts with `marker`.
fn request(stream: bool, marker: &str, behaviour: Value) -> Value {
    json!({
        "model": "claude",
        "max_tokens": 100,
        "stream": stream,
        "messages": [{"role": "user", "content": "Hello there"}],
        "metadata": {"user_id": json!({"marker": marker, "sim": behaviour}).to_string()},
    })
}

async fn message(stream: bool, behaviour: Value) -> Answer {
    ask(Simulator::start().await, HEADERS, &request(stream, "m", behaviour)).await
}

/// Name and data of each event.
fn events(answer: &Answer) -> Vec<(String, Value)> {
    let split = |event: &str| {
        let (name, data) = event.split_once('\n').unwrap();
        let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        (name.strip_prefix("event: ").unwrap().to_owned(), data)
    };
    answer.text().split_terminator("\n\n").map(split).collect()
}

fn tools() -> Value {
    json!([
        {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}},
        {"name": "time", "input_schema": {"type": "object", "properties": {}}}])
}

#[tokio::test]
async fn a_message_is_the_json_object_of_anthropic() {
    let answer = message(false, json!({"text": "Hi “you”", "reasoning": 2})).await;
    let message = answer.json();
    assert!(message["id"].as_str().unwrap().starts_with("msg_"));
    assert_eq!(
        (&message["type"], &message["role"], &message["model"]),
        (&json!("message"), &json!("assistant"), &json!("claude"))
    );
    assert_eq!(
        (&message["content"][0]["type"], &message["content"][1]["text"]),
        (&json!("thinking"), &json!("Hi “you”"))
    );
    assert_eq!((&message["stop_reason"], &message["stop_sequence"]), (&json!("end_turn"), &Value::Null));
    let usage = &message["usage"];
    assert_eq!(
        (&usage["input_tokens"], &usage["output_tokens"], &usage["cache_read_input_tokens"]),
        (&json!(8), &json!(4), &json!(0))
    );
    assert!(answer.header("request-id").is_some() && answer.header("x-request-id").is_none());
}

#[tokio::test]
async fn a_stream_is_the_events_of_anthropic() {
    let answer = message(true, json!({"text": "Hi ž"})).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let events = events(&answer);
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    let delta = "content_block_delta";
    assert_eq!(
        names,
        [
            "message_start",
            "content_block_start",
            "ping",
            delta,
            delta,
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    assert!(events.iter().all(|(name, data)| data["type"] == **name));
    assert_eq!(events[0].1["message"]["usage"]["output_tokens"], 1);
    assert_eq!(events[4].1, json!({"type": delta, "index": 0, "delta": {"type": "text_delta", "text": " ž"}}));
    assert_eq!(events[6].1["delta"]["stop_reason"], "end_turn");
    assert_eq!(events[6].1["usage"], json!({"output_tokens": 2}));
}

#[tokio::test]
async fn tools_are_called_with_their_input() {
    let mut request = request(false, "m", json!({"tool_calls": 2}));
    request["tools"] = tools();
    let simulator = Simulator::start().await;
    let answer = ask(simulator, HEADERS, &request).await.json();
    assert_eq!(answer["stop_reason"], "tool_use");
    assert_eq!(answer["content"][0]["input"], json!({"city": "example"}));
    request["stream"] = json!(true);
    let events = events(&ask(simulator, HEADERS, &request).await);
    let json_of = |index: u64| -> String {
        let deltas = events.iter().filter(|(_, data)| data["index"] == index);
        deltas.filter_map(|(_, data)| data["delta"]["partial_json"].as_str()).collect()
    };
    assert_eq!((json_of(0).as_str(), json_of(1).as_str()), (r#"{"city":"example"}"#, ""));
}

#[tokio::test]
async fn usage_is_what_the_test_says() {
    let hour = json!({"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2});
    let usage = json!({"input_tokens": 3, "cache_read_input_tokens": 40, "cache_creation": hour, "output_tokens": 5});
    assert_eq!(message(false, json!({"usage": usage})).await.json()["usage"], usage);
    let answer = message(true, json!({"usage": usage, "tokens": 2})).await;
    let events = events(&answer);
    let begun = &events[0].1["message"]["usage"];
    assert_eq!((&begun["cache_read_input_tokens"], &begun["cache_creation"]), (&json!(40), &hour));
    assert_eq!(events[events.len() - 2].1["usage"], json!({"output_tokens": 5}));
    assert_eq!(message(false, json!({"usage": "missing"})).await.json().get("usage"), None);
}

#[tokio::test]
async fn a_status_has_the_error_of_anthropic() {
    for (behaviour, kind, words) in [
        (json!({"status": 529, "message": "Overloaded"}), "overloaded_error", "Overloaded"),
        (json!({"status": 429, "retry_after": 3}), "rate_limit_error", "Rate limit"),
        (json!({"status": 500}), "api_error", "error"),
        (json!({"status": 400, "code": "context_length_exceeded"}), "invalid_request_error", "prompt is too long"),
        (json!({"status": 400, "type": "x_error", "message": "m"}), "x_error", "m"),
    ] {
        let answer = message(false, behaviour.clone()).await;
        assert_eq!(u64::from(answer.status), behaviour["status"]);
        let body = answer.json();
        assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!(kind)));
        assert!(body["error"]["message"].as_str().unwrap().contains(words), "{body}");
        assert_eq!(answer.header("request-id"), body["request_id"].as_str());
    }
}

#[tokio::test]
async fn a_stream_breaks_as_told() {
    let cut = message(true, json!({"tokens": 9, "cut_after": 5})).await;
    assert_eq!((events(&cut).len(), cut.end), (5, End::Closed));
    let early = message(true, json!({"tokens": 9, "eof_after": 5})).await;
    assert_eq!((events(&early).len(), early.end), (5, End::Complete));
    let error = events(&message(true, json!({"tokens": 9, "error_after": 5})).await);
    let expected = json!({"type": "overloaded_error", "message": "Overloaded"});
    assert_eq!((error[5].0.as_str(), &error[5].1["error"]), ("error", &expected));
    let malformed = message(true, json!({"tokens": 9, "malformed_after": 4})).await.text();
    assert_eq!(malformed.split_terminator("\n\n").filter(|event| !event.ends_with('}')).count(), 1);
    let unended = message(true, json!({"tokens": 1, "no_done": true, "no_finish_reason": true})).await;
    assert_eq!(events(&unended).last().unwrap().0, "content_block_stop");
}

#[tokio::test]
async fn a_behaviour_is_chosen_by_the_attempt_or_by_a_rule() {
    let simulator = Simulator::start().await;
    let list = json!([{"status": 529}, {"text": "second"}]);
    assert_eq!(ask(simulator, HEADERS, &request(false, "list", list.clone())).await.status, 529);
    let second = ask(simulator, HEADERS, &request(false, "list", list)).await;
    assert_eq!(second.json()["content"][0]["text"], "second");
    assert_eq!(simulator.get("/__sim/counters?marker=list").await["requests"]["chat"], 2);
    let rule =
        json!({"match": {"path": "/v1/messages", "marker": "ruled", "api_key": "k"}, "behaviour": {"status": 500}});
    simulator.post("/__sim/faults", rule).await;
    assert_eq!(ask(simulator, HEADERS, &request(false, "other", json!({}))).await.status, 200);
    assert_eq!(ask(simulator, HEADERS, &request(false, "ruled", json!({}))).await.status, 500);
}

#[tokio::test]
async fn a_user_id_that_is_no_json_is_a_users() {
    let mut request = request(false, "m", json!({}));
    request["metadata"] = json!({"user_id": "u-1"});
    assert_eq!(ask(Simulator::start().await, HEADERS, &request).await.status, 200);
}

#[tokio::test]
async fn the_key_and_the_version_must_be_there() {
    let simulator = Simulator::start_with(Options { api_key: Some("k".into()), ..Options::default() }).await;
    let plain = request(false, "m", json!({}));
    let kind = |answer: &Answer| answer.json()["error"]["type"].as_str().unwrap().to_owned();
    for headers in ["anthropic-version: 2023-06-01\r\n", "x-api-key: other\r\nanthropic-version: 2023-06-01\r\n"] {
        let answer = ask(simulator, headers, &plain).await;
        assert_eq!((answer.status, kind(&answer).as_str()), (401, "authentication_error"));
    }
    let answer = ask(simulator, "x-api-key: k\r\n", &plain).await;
    assert_eq!((answer.status, kind(&answer).as_str()), (400, "invalid_request_error"));
}

#[tokio::test]
async fn what_anthropic_refuses_is_refused() {
    let simulator = Simulator::start().await;
    let call = json!({"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]});
    let result = json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]});
    let user = json!({"role": "user", "content": "Hi"});
    for (member, value, words) in [
        ("max_tokens", Value::Null, "max_tokens"),
        ("frequency_penalty", json!(0), "Extra inputs"),
        ("temperature", json!(1.5), "temperature"),
        ("metadata", json!({"sim": "{}"}), "metadata"),
        ("tools", json!([{"name": "f"}]), "input_schema"),
        ("tool_choice", json!({"type": "auto"}), "tool_choice"),
        ("messages", json!([]), "at least one"),
        ("messages", json!([{"role": "system", "content": "x"}]), "first message"),
        ("messages", json!([user, {"role": "tool", "content": "x"}]), "role"),
        ("messages", json!([{"role": "user", "content": ""}]), "non-empty"),
        ("messages", json!([{"role": "user", "content": [{"type": "text", "text": ""}]}]), "non-empty"),
        ("messages", json!([user, call, user]), "tool_result"),
        ("messages", json!([user, result]), "tool_result"),
    ] {
        let mut request = request(false, "m", json!({}));
        request[member] = value;
        let answer = ask(simulator, HEADERS, &request).await;
        let message = answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!(answer.status, 400, "{request}");
        assert!(message.contains(words), "{message}");
    }
    let mut request = request(false, "m", json!({}));
    request["messages"] = json!([user, call, result]);
    assert_eq!(ask(simulator, HEADERS, &request).await.status, 200);
}
