use futures_util::{FutureExt as _, StreamExt as _, stream};
use platform::BodyError;

use super::*;

/// The pieces in which events come when the stream comes in `parts`, and how it ends.
fn read_pieces(parts: Vec<Vec<u8>>) -> (Vec<String>, Option<BodyError>) {
    let parts = parts.into_iter().map(|part| Ok(Bytes::from(part)));
    let mut events = events::Events::of(Box::pin(stream::iter(parts)), &identity());
    let mut pieces = Vec::new();
    while let Some(piece) = events.next().now_or_never().unwrap() {
        match piece {
            Ok(bytes) => pieces.push(String::from_utf8(bytes.to_vec()).unwrap()),
            Err(error) => return (pieces, Some(error)),
        }
    }
    (pieces, None)
}

fn read(parts: Vec<Vec<u8>>) -> (String, Option<BodyError>) {
    let (pieces, error) = read_pieces(parts);
    (pieces.concat(), error)
}

/// What each event says: its chunk, or `[DONE]`.
fn chunks(events: &str) -> Vec<Value> {
    let data = events.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap());
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| data.into())).collect()
}

fn deltas(events: &str) -> Vec<Value> {
    chunks(events)
        .into_iter()
        .map(|chunk| chunk["choices"][0]["delta"].clone())
        .filter(|delta| !delta.is_null())
        .collect()
}

fn start() -> Vec<u8> {
    event("messageStart", &json!({"role": "assistant", "p": "abcdef"}))
}

fn text(index: u64, text: &str) -> Vec<u8> {
    event("contentBlockDelta", &json!({"contentBlockIndex": index, "delta": {"text": text}, "p": "ab"}))
}

fn block_stop(index: u64) -> Vec<u8> {
    event("contentBlockStop", &json!({"contentBlockIndex": index}))
}

fn tool(index: u64, id: &str, name: &str) -> Vec<u8> {
    event(
        "contentBlockStart",
        &json!({"contentBlockIndex": index, "start": {"toolUse": {"toolUseId": id, "name": name}}}),
    )
}

fn input(index: u64, text: &str) -> Vec<u8> {
    event("contentBlockDelta", &json!({"contentBlockIndex": index, "delta": {"toolUse": {"input": text}}}))
}

fn stop(reason: &str) -> Vec<u8> {
    event("messageStop", &json!({"stopReason": reason}))
}

fn metadata() -> Vec<u8> {
    let usage = json!({"inputTokens": 10, "outputTokens": 4, "totalTokens": 17, "cacheReadInputTokens": 2, "cacheWriteInputTokens": 1});
    event("metadata", &json!({"usage": usage, "metrics": {"latencyMs": 9}}))
}

fn hello() -> Vec<Vec<u8>> {
    vec![start(), text(0, "Hel"), text(0, "lo."), block_stop(0), stop("end_turn"), metadata()]
}

fn without_a_call() -> String {
    read(hello()).0
}

#[test]
fn every_message_is_one_chunk_at_once() {
    let head = r#"{"id":"chatcmpl-000000000000000000000000000000ab","object":"chat.completion.chunk","created":1700000000,"model":"anthropic.claude-sonnet-4-5-20250929-v1:0","choices":["#;
    let (pieces, error) = read_pieces(hello());
    assert_eq!(error, None);
    let chunk = |choice: &str| format!("data: {head}{choice}]}}\n\n");
    let said = |delta: &str| chunk(&format!(r#"{{"delta":{delta},"finish_reason":null,"index":0,"logprobs":null}}"#));
    assert_eq!(
        pieces,
        [
            said(r#"{"content":"","role":"assistant"}"#),
            said(r#"{"content":"Hel"}"#),
            said(r#"{"content":"lo."}"#),
            chunk(r#"{"delta":{},"finish_reason":"stop","index":0,"logprobs":null}"#),
            format!(
                "data: {head}],\"usage\":{{\"completion_tokens\":4,\"prompt_tokens\":13,\"prompt_tokens_details\":{{\"cache_write_tokens\":1,\"cached_tokens\":2}},\"total_tokens\":17}}}}\n\ndata: [DONE]\n\n"
            ),
        ]
    );
}

#[test]
fn any_split_gives_the_same_events() {
    let bytes = hello().concat();
    let whole = without_a_call();
    assert_eq!(read(vec![bytes.clone()]), (whole.clone(), None));
    for at in 0..bytes.len() {
        assert_eq!(read(vec![bytes[..at].to_vec(), bytes[at..].to_vec()]), (whole.clone(), None), "split at {at}");
    }
}

#[test]
fn calls_are_counted_from_zero_whatever_their_blocks() {
    let (events, error) = read(vec![
        start(),
        text(0, "Let me see."),
        block_stop(0),
        tool(1, "tooluse_1", "weather"),
        input(1, "{\"ci"),
        tool(3, "tooluse_2", "time"),
        input(3, "{}"),
        input(1, "ty\":1}"),
        block_stop(1),
        block_stop(3),
        stop("tool_use"),
        metadata(),
    ]);
    assert_eq!(error, None);
    let opened = |index: u32, id: &str, name: &str| json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}]});
    let more =
        |index: u32, arguments: &str| json!({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]});
    assert_eq!(
        deltas(&events)[2..],
        [
            opened(0, "tooluse_1", "weather"),
            more(0, "{\"ci"),
            opened(1, "tooluse_2", "time"),
            more(1, "{}"),
            more(0, "ty\":1}"),
            json!({}),
        ]
    );
    assert!(events.contains(r#""finish_reason":"tool_calls""#) && events.ends_with("data: [DONE]\n\n"));
}

#[test]
fn thoughts_are_told_and_their_signatures_are_not() {
    let thought = |delta: Value| {
        event("contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": {"reasoningContent": delta}}))
    };
    let (events, _) = read(vec![
        start(),
        thought(json!({"text": "Hm."})),
        thought(json!({"signature": "s"})),
        thought(json!({"redactedContent": "AA=="})),
    ]);
    assert_eq!(deltas(&events)[1..], [json!({"reasoning_content": "Hm."})]);
}

#[test]
fn messages_that_are_not_known_are_passed_over() {
    let mut parts = hello();
    parts.insert(0, event("initial-response", &json!({})));
    parts.insert(2, event("somethingNew", &json!({"contentBlockIndex": "not a number"})));
    assert_eq!(read(parts), (without_a_call(), None));
}

#[test]
fn an_exception_ends_the_stream_in_openais_words() {
    for (kind, expected_type, code) in [
        ("throttlingException", "requests", "rate_limit_exceeded"),
        ("modelStreamErrorException", "server_error", "model_error"),
        ("serviceUnavailableException", "server_error", "service_unavailable"),
        ("internalServerException", "server_error", "server_error"),
        ("validationException", "invalid_request_error", "invalid_request"),
        ("aNewException", "server_error", "server_error"),
    ] {
        let (events, error) =
            read(vec![start(), text(0, "Hel"), exception(kind, "account 123 is over"), stop("end_turn"), metadata()]);
        assert_eq!(error, None);
        let last = chunks(&events).pop().unwrap();
        assert_eq!((&last["error"]["type"], &last["error"]["code"]), (&json!(expected_type), &json!(code)), "{kind}");
        assert!(!events.contains("[DONE]") && !events.contains("123") && !events.contains("stop"), "{events}");
    }
    let (events, _) = read(vec![start(), exception("validationException", "Input is too long for requested model.")]);
    assert_eq!(chunks(&events)[1]["error"]["code"], "context_length_exceeded");
    let error = message(&[(":message-type", "error"), (":error-code", "500"), (":error-message", "x")], &json!({}));
    assert_eq!(chunks(&read(vec![start(), error]).0)[1]["error"]["code"], "server_error");
}

#[test]
fn a_model_that_spoilt_its_answer_has_failed() {
    let (events, _) = read(vec![start(), text(0, "{"), stop("malformed_tool_use"), metadata()]);
    assert_eq!(chunks(&events)[2]["error"]["code"], "model_error");
    assert!(!events.contains("[DONE]") && !events.contains("usage"));
}

#[test]
fn a_cut_stream_is_never_whole() {
    let parts = hello();
    let bytes = parts.concat();
    let last_at = bytes.len() - parts.last().unwrap().len();
    let boundaries: Vec<usize> = parts
        .iter()
        .scan(0, |at, part| {
            *at += part.len();
            Some(*at)
        })
        .collect();
    for at in 0..bytes.len() {
        let (events, error) = read(vec![bytes[..at].to_vec()]);
        assert!(!events.contains("[DONE]"), "cut at {at}");
        assert_eq!(error.is_some(), at > 0 && !boundaries.contains(&at), "cut at {at}");
        assert_eq!(events.contains(r#""finish_reason":"stop""#), at >= last_at, "cut at {at}");
    }
}

#[test]
fn a_flipped_bit_breaks_the_stream_after_what_was_whole() {
    let mut bytes = hello().concat();
    let second = start().len() + 40;
    bytes[second] ^= 1;
    let (events, error) = read(vec![bytes]);
    assert_eq!(chunks(&events).len(), 1);
    assert!(matches!(error, Some(BodyError::Interrupted(_))));
}

#[test]
fn what_makes_no_sense_breaks_the_stream() {
    for nonsense in [
        event("contentBlockDelta", &json!({"contentBlockIndex": 0})),
        event("contentBlockDelta", &json!({"contentBlockIndex": -1, "delta": {"text": "x"}})),
        event("messageStop", &json!({})),
        event("messageStart", &json!([1])),
        input(5, "for a call that never began"),
        message(&[], &json!({})),
        message(&[(":message-type", "event")], &json!({})),
        message(&[(":message-type", "other")], &json!({})),
    ] {
        let (events, error) = read(vec![start(), nonsense, text(0, "after")]);
        assert!(error.is_some() && !events.contains("after"), "{events}");
    }
}

#[test]
fn the_order_of_end_and_usage_does_not_matter() {
    let (events, error) = read(vec![start(), text(0, "x"), metadata(), stop("end_turn")]);
    assert_eq!(error, None);
    assert!(events.ends_with("data: [DONE]\n\n"));
}

#[test]
fn a_failure_of_the_connection_is_passed_on() {
    let parts = vec![Ok(Bytes::from(start())), Err(BodyError::Interrupted("reset".to_owned()))];
    let events = events::Events::of(Box::pin(stream::iter(parts)), &identity());
    let all: Vec<_> = events.collect().now_or_never().unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[1], Err(BodyError::Interrupted("reset".to_owned())));
}
