//! Responses: the same answers and faults in other words.

use serde_json::{Value, json};

use crate::client::{Answer, End, Simulator};

async fn ask(path: &str, mut body: Value, behaviour: Value) -> Answer {
    body["model"] = json!("m");
    body["metadata"] = json!({"sim": behaviour.to_string()});
    Simulator::start().await.send("POST", path, body.to_string().as_bytes()).await
}

async fn responses(stream: bool, behaviour: Value) -> Answer {
    ask("/v1/responses", json!({"input": "Hello there", "stream": stream}), behaviour).await
}

fn kinds(answer: &Answer) -> Vec<String> {
    answer.chunks().iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_response_says_in_one_piece_what_its_events_say() {
    let whole = responses(false, json!({"tokens": 5})).await.json();
    let streamed = responses(true, json!({"tokens": 5})).await;
    let events = streamed.chunks();
    assert_eq!(
        kinds(&streamed),
        [
            &["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]
                [..],
            &["response.output_text.delta"; 5],
            &[
                "response.output_text.done",
                "response.content_part.done",
                "response.output_item.done",
                "response.completed"
            ],
        ]
        .concat()
    );
    let text: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    let last = &events.last().unwrap()["response"];
    assert_eq!((&whole["output"], &whole["usage"]), (&last["output"], &last["usage"]));
    assert_eq!(
        (text.as_str().into(), whole["usage"]["output_tokens"].as_u64()),
        (whole["output"][0]["content"][0]["text"].clone(), Some(5))
    );
    assert!(events.iter().enumerate().all(|(at, event)| event["sequence_number"] == at));
    assert!(streamed.text().contains("event: response.completed\ndata: {") && !streamed.text().contains("[DONE]"));
}

#[tokio::test]
async fn tools_are_called_in_its_words() {
    let tool = json!([{"type": "function", "name": "f", "parameters": {"type": "object"}}]);
    let body =
        json!({"input": [{"role": "user", "content": [{"type": "input_text", "text": "#tools"}]}], "tools": tool});
    let response = ask("/v1/responses", body, json!({})).await.json();
    assert_eq!(
        (&response["output"][0]["type"], &response["output"][0]["name"]),
        (&json!("function_call"), &json!("f"))
    );
}

#[tokio::test]
async fn a_limit_leaves_an_answer_incomplete() {
    let response = ask("/v1/responses", json!({"input": "Hello", "max_output_tokens": 3}), json!({})).await.json();
    assert_eq!(
        (&response["status"], &response["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("max_output_tokens"))
    );
}

#[tokio::test]
async fn faults_break_its_stream_too() {
    let answer = responses(true, json!({"cut_after": 6})).await;
    assert_eq!((answer.chunks().len(), answer.end), (6, End::Closed));
    assert_eq!(
        kinds(&responses(true, json!({"no_finish_reason": true})).await).last().unwrap(),
        "response.output_item.done"
    );
    let failed = responses(true, json!({"error_after": 6, "message": "boom"})).await;
    assert!(failed.text().contains("event: error\ndata: {"), "{}", failed.text());
    assert_eq!((&failed.chunks()[6]["type"], &failed.chunks()[6]["sequence_number"]), (&json!("error"), &json!(6)));
    assert_eq!(failed.chunks()[6]["message"], "boom");
}

#[tokio::test]
async fn usage_can_be_kept_back_or_given() {
    assert_eq!(responses(false, json!({"usage": "missing"})).await.json()["usage"], Value::Null);
    let given = json!({"usage": {"input_tokens": 7, "output_tokens": 1}});
    assert_eq!(responses(false, given.clone()).await.json()["usage"], given["usage"]);
}

#[tokio::test]
async fn what_is_missing_is_said() {
    assert_eq!(ask("/v1/responses", json!({}), json!({})).await.json()["error"]["param"], "input");
}

#[tokio::test]
async fn its_progress_is_counted() {
    let simulator = Simulator::start().await;
    let body =
        json!({"model": "m", "input": "x", "stream": true, "metadata": {"marker": "a", "sim": "{\"tokens\":3}"}});
    simulator.send("POST", "/v1/responses", body.to_string().as_bytes()).await;
    let counters = simulator.wait_for("/__sim/counters?marker=a", |counters| counters["finished"] == 1).await;
    assert_eq!((&counters["requests"]["responses"], &counters["tokens"]), (&json!(1), &json!(3)));
}
