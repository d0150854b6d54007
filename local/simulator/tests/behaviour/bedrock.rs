use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use llm_simulator::Options;
use serde_json::{Value, json};

use crate::client::{Answer, End, Simulator};

const WHOLE: &str = "/model/anthropic.claude-v1%3A0/converse";
const STREAM: &str = "/model/anthropic.claude-v1%3A0/converse-stream";

fn request(behaviour: Value) -> Value {
    json!({
        "messages": [{"role": "user", "content": [{"text": "Hello there"}]}],
        "inferenceConfig": {"maxTokens": 100},
        "requestMetadata": {"marker": "b-1", "sim": STANDARD.encode(behaviour.to_string())},
    })
}

async fn converse(simulator: Simulator, target: &str, request: &Value) -> Answer {
    simulator.send("POST", target, request.to_string().as_bytes()).await
}

/// The messages of a stream, each as its kind and its payload; those with a wrong checksum as `broken`.
fn messages(mut bytes: &[u8]) -> Vec<(String, Value)> {
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let (message, rest) = bytes.split_at(number(bytes));
        bytes = rest;
        assert_eq!(crc32fast::hash(&message[..8]) as usize, number(&message[8..]));
        let (content, checksum) = message.split_at(message.len() - 4);
        if crc32fast::hash(content) as usize != number(checksum) {
            messages.push(("broken".to_owned(), Value::Null));
            continue;
        }
        let (headers, payload) = content[12..].split_at(number(&message[4..]));
        messages.push((header(headers), serde_json::from_slice(payload).unwrap()));
    }
    messages
}

/// The kind of an event or exception, which its first header tells.
fn header(headers: &[u8]) -> String {
    let (name, rest) = headers[1..].split_at(headers[0].into());
    assert!([&b":event-type"[..], b":exception-type"].contains(&name), "{name:?}");
    assert_eq!(rest[0], 7);
    let length = usize::from(u16::from_be_bytes([rest[1], rest[2]]));
    String::from_utf8(rest[3..3 + length].to_vec()).unwrap()
}

fn kinds(messages: &[(String, Value)]) -> Vec<&str> {
    messages.iter().map(|(kind, _)| kind.as_str()).collect()
}

#[tokio::test]
async fn an_answer_has_amazons_shape_and_head() {
    let simulator = Simulator::start().await;
    let answer = converse(simulator, WHOLE, &request(json!({"text": "Hi.", "reasoning": 2}))).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("x-amzn-requestid").is_some() && answer.header("openai-version").is_none());
    let body = answer.json();
    assert_eq!(body["output"]["message"]["content"][1], json!({"text": "Hi."}));
    assert!(body["output"]["message"]["content"][0]["reasoningContent"]["reasoningText"]["text"].is_string());
    assert_eq!((&body["stopReason"], &body["usage"]["outputTokens"]), (&json!("end_turn"), &json!(3)));
    let seen = simulator.get("/__sim/requests?marker=b-1").await;
    assert!(seen.to_string().contains("anthropic.claude-v1:0"), "{seen}");
    assert_eq!(simulator.get("/__sim/counters?marker=b-1").await["requests"]["chat"], 1);
}

#[tokio::test]
async fn a_stream_has_amazons_messages() {
    let simulator = Simulator::start().await;
    let answer = converse(simulator, STREAM, &request(json!({"text": "Hi there."}))).await;
    assert_eq!(answer.header("content-type"), Some("application/vnd.amazon.eventstream"));
    let messages = messages(&answer.body());
    let delta = "contentBlockDelta";
    assert_eq!(kinds(&messages), ["messageStart", delta, delta, "contentBlockStop", "messageStop", "metadata"]);
    assert_eq!(messages[2].1["delta"], json!({"text": " there."}));
    assert_eq!(messages[5].1["usage"]["outputTokens"], 2);
    assert_eq!(answer.end, End::Complete);
}

#[tokio::test]
async fn tools_are_called_in_blocks_of_their_own() {
    let simulator = Simulator::start().await;
    let mut request = request(json!({"tool_calls": 2}));
    let tool = |name| json!({"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object"}}}});
    request["toolConfig"] = json!({"tools": [tool("a"), tool("b")]});
    let messages = messages(&converse(simulator, STREAM, &request).await.body());
    let starts: Vec<_> = messages.iter().filter(|(kind, _)| kind == "contentBlockStart").collect();
    let names: Vec<_> = starts.iter().map(|(_, start)| &start["start"]["toolUse"]["name"]).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!((&starts[0].1["contentBlockIndex"], &starts[1].1["contentBlockIndex"]), (&json!(0), &json!(1)));
    assert!(messages.iter().any(|(_, message)| message["stopReason"] == "tool_use"));
}

#[tokio::test]
async fn each_fault_has_its_form() {
    let simulator = Simulator::start().await;
    let stream = async |behaviour: Value| {
        let answer = converse(simulator, STREAM, &request(behaviour)).await;
        (answer.end, messages(&answer.body()))
    };
    let (end, failed) = stream(json!({"error_after": 2, "type": "throttlingException"})).await;
    assert_eq!(
        (end, kinds(&failed)),
        (End::Complete, vec!["messageStart", "contentBlockDelta", "throttlingException"])
    );
    let (_, failed) = stream(json!({"error_after": 1})).await;
    assert_eq!(kinds(&failed), ["messageStart", "internalServerException"]);
    let (_, broken) = stream(json!({"tokens": 1, "malformed_after": 1})).await;
    assert_eq!(kinds(&broken)[..3], ["messageStart", "broken", "contentBlockDelta"]);
    let (end, cut) = stream(json!({"cut_after": 3})).await;
    assert_eq!((end, cut.len()), (End::Closed, 3));
    let (end, early) = stream(json!({"tokens": 1, "no_done": true})).await;
    assert_eq!((end, *kinds(&early).last().unwrap()), (End::Complete, "messageStop"));
    let hour = json!([{"ttl": "1h", "inputTokens": 3}]);
    let given = json!({"inputTokens": 1, "cacheWriteInputTokens": 9, "cacheDetails": hour, "outputTokens": 2});
    assert_eq!(stream(json!({"usage": given})).await.1.last().unwrap().1["usage"], given);
}

#[tokio::test]
async fn refusals_are_amazons() {
    let simulator = Simulator::start().await;
    for (behaviour, status, kind) in [
        (json!({"status": 429}), 429, "ThrottlingException"),
        (json!({"status": 400, "code": "context_length_exceeded"}), 400, "ValidationException"),
        (json!({"status": 408}), 408, "ModelTimeoutException"),
        (json!({"status": 429, "type": "ModelNotReadyException"}), 429, "ModelNotReadyException"),
    ] {
        let answer = converse(simulator, WHOLE, &request(behaviour)).await;
        assert_eq!((answer.status, answer.header("x-amzn-errortype")), (status, Some(kind)));
        assert!(answer.json()["message"].is_string() && answer.json().get("error").is_none());
    }
}

#[tokio::test]
async fn what_amazon_does_not_take_is_not_taken() {
    let simulator = Simulator::start().await;
    let hello = json!({"role": "user", "content": [{"text": "Hi"}]});
    let used = json!({"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": []}}]});
    for wrong in [
        json!({}),
        json!({"messages": []}),
        json!({"messages": [hello, hello]}),
        json!({"messages": [{"role": "assistant", "content": [{"text": "Hi"}]}]}),
        json!({"messages": [{"role": "system", "content": [{"text": "Hi"}]}]}),
        json!({"messages": [{"role": "user", "content": []}]}),
        json!({"messages": [{"role": "user", "content": "Hi"}]}),
        json!({"messages": [{"role": "user", "content": [{"text": " "}]}]}),
        json!({"messages": [used]}),
        json!({"messages": [{"role": "user", "content": [{"image": {"format": "tiff", "source": {"bytes": "AAAA"}}}]}]}),
        json!({"messages": [{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": "A"}}}]}]}),
        json!({"messages": [hello], "model": "m"}),
        json!({"messages": [hello], "inferenceConfig": {"temperature": 1.5}}),
        json!({"messages": [hello], "toolConfig": {"tools": []}}),
        json!({"messages": [hello], "requestMetadata": {"sim": "{}"}}),
        json!({"messages": [hello], "requestMetadata": {"a": "x".repeat(257)}}),
    ] {
        let answer = converse(simulator, WHOLE, &wrong).await;
        assert_eq!((answer.status, answer.header("x-amzn-errortype")), (400, Some("ValidationException")), "{wrong}");
    }
}

#[tokio::test]
async fn a_credential_must_be_there_and_must_be_the_one_that_was_set() {
    let body = request(json!({})).to_string();
    let signed = |id: &str| {
        let signature = "0".repeat(64);
        format!(
            "AWS4-HMAC-SHA256 Credential={id}/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature={signature}"
        )
    };
    let status = async |simulator: Simulator, authorization: &str| {
        let headers = format!("authorization: {authorization}\r\nx-amz-date: 20260101T000000Z\r\n");
        simulator.begin_with("POST", WHOLE, &headers, body.as_bytes()).await.answer().await.unwrap().status
    };
    let open = Simulator::start().await;
    for (authorization, expected) in [
        ("Bearer k", 200),
        (signed("AKID").as_str(), 200),
        ("Basic x", 401),
        (signed("AKID").replace("bedrock", "s3").as_str(), 401),
        (signed("AKID").trim_end_matches('0'), 401),
    ] {
        assert_eq!(status(open, authorization).await, expected, "{authorization}");
    }
    let locked = Simulator::start_with(Options { api_key: Some("right".to_owned()), ..Options::default() }).await;
    for (authorization, expected) in
        [("Bearer right", 200), (signed("right").as_str(), 200), ("Bearer k", 401), (signed("AKID").as_str(), 401)]
    {
        assert_eq!(status(locked, authorization).await, expected, "{authorization}");
    }
}
