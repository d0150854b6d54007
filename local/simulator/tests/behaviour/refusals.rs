use llm_simulator::Options;
use serde_json::{Value, json};

use crate::client::{End, Simulator, chat_request};

#[tokio::test]
async fn every_status_comes_with_an_error_of_openai() {
    let simulator = Simulator::start().await;
    for (status, code) in [
        (400, json!(null)),
        (401, json!("invalid_api_key")),
        (402, json!("insufficient_credits")),
        (403, json!("unsupported_country_region_territory")),
        (404, json!("model_not_found")),
        (429, json!("rate_limit_exceeded")),
        (500, json!(null)),
        (503, json!("overloaded")),
    ] {
        let answer = simulator.chat(true, json!({"status": status})).await;
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["code"]), (status, &code));
        assert!(error["message"].is_string() && error["type"].is_string() && error.get("param").is_some(), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_says_what_the_test_wants_it_to_say() {
    let simulator = Simulator::start().await;
    let answer = simulator.chat(false, json!({"status": 429, "retry_after": 1, "retry_after_ms": 1200})).await;
    assert_eq!((answer.header("retry-after"), answer.header("retry-after-ms")), (Some("1"), Some("1200")));
    let answer = simulator.chat(false, json!({"status": 400, "code": "context_length_exceeded"})).await;
    assert_eq!(answer.json()["error"]["code"], "context_length_exceeded");
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("maximum context length"));
    let words = json!({"status": 418, "message": "m", "type": "t", "param": "p", "code": "c"});
    let error = simulator.chat(false, words).await.json()["error"].clone();
    assert_eq!(error, json!({"message": "m", "type": "t", "param": "p", "code": "c"}));
}

#[tokio::test]
async fn a_key_must_be_there_and_must_be_the_one_that_was_set() {
    let body = chat_request(false, json!({})).to_string();
    let status = async |simulator: Simulator, key: Option<&str>| {
        let exchange = simulator.begin("POST", "/v1/chat/completions", key, body.as_bytes()).await;
        exchange.answer().await.unwrap().status
    };
    let open = Simulator::start().await;
    assert_eq!((status(open, None).await, status(open, Some("any")).await), (401, 200));
    let locked = Simulator::start_with(Options { api_key: Some("right".to_owned()), ..Options::default() }).await;
    assert_eq!((status(locked, Some("wrong")).await, status(locked, Some("right")).await), (401, 200));
}

#[tokio::test]
async fn a_request_that_cannot_be_understood_is_refused_with_the_reason() {
    let simulator = Simulator::start().await;
    let param = async |body: &str| -> (u16, Value) {
        let answer = simulator.send("POST", "/v1/chat/completions", body.as_bytes()).await;
        (answer.status, answer.json()["error"]["param"].clone())
    };
    assert_eq!(param("{").await, (400, Value::Null));
    assert_eq!(param("{}").await, (400, json!("model")));
    assert_eq!(param(r#"{"model":"m"}"#).await, (400, json!("messages")));
    assert_eq!(param(&chat_request(false, json!({"no_such_word": 1})).to_string()).await, (400, json!("metadata.sim")));
    assert_eq!(simulator.send("GET", "/v1/chat/completions", b"").await.status, 405);
    assert_eq!(simulator.send("POST", "/v1/none", b"{}").await.status, 404);
}

#[tokio::test]
async fn a_page_or_any_other_body_can_come_instead_of_an_answer() {
    let simulator = Simulator::start().await;
    let page = simulator.chat(true, json!({"html": true})).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let other = simulator.chat(false, json!({"body": "{\"a\":", "status": 502, "content_type": "text/plain"})).await;
    assert_eq!(
        (other.status, other.text().as_str(), other.header("content-type")),
        (502, "{\"a\":", Some("text/plain"))
    );
    let odd = simulator.chat(true, json!({"content_type": "application/json", "headers": {"x-odd": "1"}})).await;
    assert_eq!((odd.header("content-type"), odd.header("x-odd")), (Some("application/json"), Some("1")));
}

#[tokio::test]
async fn the_connection_can_end_instead_of_an_answer() {
    let simulator = Simulator::start().await;
    let end = async |behaviour: Value| simulator.begin_chat(false, behaviour).await.answer().await.unwrap_err();
    assert_eq!(end(json!({"reset": true})).await, End::Reset);
    assert_eq!(end(json!({"close": true})).await, End::Closed);
}
