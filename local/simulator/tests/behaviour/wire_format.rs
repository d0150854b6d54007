use serde_json::{Value, json};

use crate::client::{Answer, Simulator, chat_request};

/// Puts constants where the id and the time are.
fn still(text: &str) -> String {
    let mut text = text.to_owned();
    for name in ["\"id\":\"chatcmpl-", "\"created\":"] {
        let mut from = 0;
        while let Some(at) = text[from..].find(name) {
            let start = from + at + name.len();
            let end = start + text[start..].find(['"', ',']).unwrap();
            text.replace_range(start..end, "0");
            from = start;
        }
    }
    text
}

async fn send(request: Value) -> Answer {
    Simulator::start().await.send("POST", "/v1/chat/completions", request.to_string().as_bytes()).await
}

const USAGE: &str = r#"{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#;

#[tokio::test]
async fn a_completion_is_the_json_object_of_openai() {
    let answer = send(chat_request(false, json!({"text": "Hi \"you\""}))).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let expected = r#"{"id":"chatcmpl-0","object":"chat.completion","created":0,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi \"you\"","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":USAGE,"service_tier":"default","system_fingerprint":"fp_simulator1"}"#;
    assert_eq!(still(&answer.text()), expected.replace("USAGE", USAGE));
}

fn chunk(choices: &str, rest: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-0\",\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":\"m\",\
         \"service_tier\":\"default\",\"system_fingerprint\":\"fp_simulator1\",\"choices\":[{choices}]{rest}}}\n\n"
    )
}

fn choice(delta: &str, reason: &str) -> String {
    format!("{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{reason}}}")
}

#[tokio::test]
async fn a_stream_is_the_chunks_of_openai() {
    let answer = send(chat_request(true, json!({"text": "Hi ž"}))).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(answer.header("content-length"), None);
    let expected = [
        chunk(&choice(r#"{"role":"assistant","content":"","refusal":null}"#, "null"), ""),
        chunk(&choice(r#"{"content":"Hi"}"#, "null"), ""),
        chunk(&choice(r#"{"content":" ž"}"#, "null"), ""),
        chunk(&choice("{}", r#""stop""#), ""),
        "data: [DONE]\n\n".to_owned(),
    ];
    assert_eq!(still(&answer.text()), expected.concat());
}

#[tokio::test]
async fn usage_comes_in_a_last_chunk_when_asked_for_and_is_null_before() {
    let mut request = chat_request(true, json!({"text": "Hi ž"}));
    request["stream_options"] = json!({"include_usage": true});
    let text = still(&send(request).await.text());
    let usage = chunk("", &format!(",\"usage\":{USAGE}"));
    assert!(text.ends_with(&format!("{usage}data: [DONE]\n\n")), "{text}");
    assert_eq!(text.matches(",\"usage\":null}\n\n").count(), 4);
}

#[tokio::test]
async fn every_answer_has_the_fields_of_openai() {
    let simulator = Simulator::start().await;
    for stream in [false, true] {
        let answer = simulator.chat(stream, json!({})).await;
        for name in ["x-request-id", "openai-processing-ms", "x-ratelimit-limit-requests", "x-ratelimit-reset-tokens"] {
            assert!(answer.header(name).is_some(), "{name} is missing");
        }
    }
}

#[tokio::test]
async fn the_same_question_has_the_same_answer_streamed_or_not() {
    let simulator = Simulator::start().await;
    let whole = simulator.chat(false, json!({"tokens": 60})).await.json();
    let streamed = simulator.chat(true, json!({"tokens": 60})).await.chunks();
    let pieces: String = streamed.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(whole["choices"][0]["message"]["content"], pieces);
    assert!(pieces.contains("“Hello there”"), "{pieces}");
    assert_eq!(whole["usage"]["completion_tokens"], 60);
}

#[tokio::test]
async fn parallel_tool_calls_have_dense_indexes_and_their_id_once() {
    let mut request = chat_request(true, json!({"tool_calls": 2}));
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    request["tools"] = json!([{"type": "function", "function": {"name": "weather", "parameters": parameters}}]);
    let chunks = send(request).await.chunks();
    let calls: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0]).collect();
    for index in 0..2 {
        let mine: Vec<&&Value> = calls.iter().filter(|call| call["index"] == index).collect();
        let arguments: String = mine.iter().filter_map(|call| call["function"]["arguments"].as_str()).collect();
        assert_eq!(arguments, r#"{"city":"example"}"#);
        assert_eq!(mine.iter().filter(|call| call["id"].is_string()).count(), 1);
        assert_eq!(mine[0]["function"]["name"], "weather");
    }
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn structured_output_is_an_object_of_its_schema() {
    let mut request = chat_request(false, json!({}));
    let schema = json!({"type": "object", "properties": {"steps": {"type": "array", "items": {"type": "integer"}}}});
    request["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "s", "schema": schema}});
    let content = send(request).await.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    assert_eq!(serde_json::from_str::<Value>(&content).unwrap(), json!({"steps": [42]}));
}

#[tokio::test]
async fn usage_can_be_missing_zero_given_early_or_on_the_last_content_chunk() {
    let simulator = Simulator::start().await;
    let usages = async |behaviour: Value| -> Vec<Value> {
        let chunks = simulator.chat(true, behaviour).await.chunks();
        chunks.into_iter().filter(|chunk| chunk["usage"].is_object()).collect()
    };
    assert!(usages(json!({})).await.is_empty());
    let always = usages(json!({"usage": "always"})).await;
    assert_eq!((always.len(), &always[0]["choices"]), (1, &json!([])));
    let last = usages(json!({"usage": "last_content"})).await;
    assert_eq!((last.len(), &last[0]["choices"][0]["finish_reason"]), (1, &json!("stop")));
    let json = async |behaviour: Value| simulator.chat(false, behaviour).await.json()["usage"].clone();
    assert_eq!(json(json!({"usage": "missing"})).await, Value::Null);
    assert_eq!(json(json!({"usage": "zero"})).await["completion_tokens"], 0);
    assert_eq!(json(json!({"usage": {"prompt_tokens": 7}})).await, json!({"prompt_tokens": 7}));
}

#[tokio::test]
async fn azure_adds_filter_chunks_that_have_no_choice_or_no_delta() {
    let chunks = Simulator::start().await.chat(true, json!({"azure": true})).await.chunks();
    assert_eq!(chunks[0]["choices"], json!([]));
    assert!(chunks[0]["prompt_filter_results"].is_array());
    assert!(chunks[2]["choices"][0]["content_filter_results"].is_object());
    let late = &chunks.last().unwrap()["choices"][0];
    assert!(late.get("delta").is_none() && late["content_filter_offsets"].is_object());
}

#[tokio::test]
async fn lists_models_and_embeds_text() {
    let simulator = Simulator::start().await;
    let models = simulator.get("/v1/models").await;
    let first = models["data"][0]["id"].as_str().unwrap();
    assert_eq!(simulator.get(&format!("/v1/models/{first}")).await["object"], "model");
    assert_eq!(simulator.get("/v1/models/none").await["error"]["code"], "model_not_found");
    let embedded = simulator.post("/v1/embeddings", json!({"model": "m", "input": ["a", "b"]})).await;
    assert_eq!(embedded["data"][1]["embedding"].as_array().unwrap().len(), 16);
}

#[tokio::test]
async fn an_answer_can_be_many_megabytes() {
    let simulator = Simulator::start().await;
    for stream in [false, true] {
        let answer = simulator.chat(stream, json!({"body_mb": 8})).await;
        assert!(answer.body().len() > 8 << 20);
    }
}
