use futures_util::stream::{self, StreamExt as _};
use platform::fakes::block_on;
use proptest::prelude::*;

use super::*;
use crate::relay::LONGEST_EVENT;

const START: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":12,"cache_creation_input_tokens":100,"cache_read_input_tokens":1000,"output_tokens":1}}}

"#;
const PING: &str = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
const DELTA: &str = r#"event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":34}}

"#;
const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// An event of a block.
fn event(kind: &str, index: u32, member: &str, value: Value) -> String {
    let mut data = json!({"type": kind, "index": index});
    if !member.is_empty() {
        data[member] = value;
    }
    format!("event: {kind}\ndata: {data}\n\n")
}

fn begin(index: u32, block: Value) -> String {
    event("content_block_start", index, "content_block", block)
}

fn delta(index: u32, delta: Value) -> String {
    event("content_block_delta", index, "delta", delta)
}

fn end(index: u32) -> String {
    event("content_block_stop", index, "", Value::Null)
}

fn tool(index: u32, id: &str, name: &str) -> String {
    begin(index, json!({"type": "tool_use", "id": id, "name": name, "input": {}}))
}

fn json_part(index: u32, part: &str) -> String {
    delta(index, json!({"type": "input_json_delta", "partial_json": part}))
}

/// Thinking, text, two tools with blocks of other kinds between them.
fn whole() -> Vec<String> {
    vec![
        START.to_owned(),
        begin(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(0, json!({"type": "thinking_delta", "thinking": "Hm."})),
        delta(0, json!({"type": "signature_delta", "signature": "x"})),
        end(0),
        PING.to_owned(),
        begin(1, json!({"type": "text", "text": ""})),
        delta(1, json!({"type": "text_delta", "text": "Let “me”"})),
        delta(1, json!({"type": "text_delta", "text": " see\n🦀"})),
        delta(1, json!({"type": "citations_delta", "citation": {"cited_text": "x"}})),
        end(1),
        tool(2, "toolu_1", "weather"),
        json_part(2, ""),
        json_part(2, "{\"at\": \"Be"),
        json_part(2, "rn\"}"),
        end(2),
        begin(3, json!({"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}})),
        json_part(3, "{\"query\": 1}"),
        end(3),
        tool(4, "toolu_2", "time"),
        json_part(4, ""),
        end(4),
        "event: from_the_future\ndata: {\"type\":\"from_the_future\"}\n\n".to_owned(),
        DELTA.to_owned(),
        STOP.to_owned(),
    ]
}

/// What becomes of a stream that arrives in these pieces, piece by piece.
fn translated<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let pieces: Vec<_> = pieces.into_iter().map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let body: ByteStream = Box::pin(stream::iter(pieces));
    let chunks: Vec<_> = block_on(events::translated(body, identity()).collect());
    chunks.into_iter().map(|chunk| String::from_utf8(chunk.unwrap().to_vec()).unwrap()).collect()
}

fn of(parts: &[String]) -> Vec<String> {
    translated(parts.iter().map(String::as_bytes))
}

/// The data of each chunk.
fn data(events: &str) -> Vec<Value> {
    let data = events.split_terminator("\n\n").filter_map(|event| event.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data))).collect()
}

fn chunk(choices: Value) -> Value {
    json!({"id": "msg_1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "claude-sonnet-4-5", "choices": choices})
}

fn told(delta: Value) -> Value {
    chunk(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}]))
}

fn call(index: u32, id: &str, name: &str) -> Value {
    told(
        json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}]}),
    )
}

fn arguments(index: u32, part: &str) -> Value {
    told(json!({"tool_calls": [{"index": index, "function": {"arguments": part}}]}))
}

#[test]
fn events_are_chunks_with_dense_tool_indexes_and_usage_at_the_end() {
    let mut usage = chunk(json!([]));
    usage["usage"] = json!({"prompt_tokens": 1112, "completion_tokens": 34, "total_tokens": 1146,
        "prompt_tokens_details": {"cached_tokens": 1000, "cache_write_tokens": 100}});
    let expected = [
        told(json!({"role": "assistant", "content": ""})),
        told(json!({"reasoning_content": "Hm."})),
        told(json!({"content": "Let “me”"})),
        told(json!({"content": " see\n🦀"})),
        call(0, "toolu_1", "weather"),
        arguments(0, "{\"at\": \"Be"),
        arguments(0, "rn\"}"),
        call(1, "toolu_2", "time"),
        arguments(1, "{}"),
        chunk(json!([{"index": 0, "delta": {}, "logprobs": null, "finish_reason": "tool_calls"}])),
        usage,
        json!("[DONE]"),
    ];
    let text = of(&whole()).concat();
    assert_eq!(data(&text), expected);
    assert_eq!(text.matches(": ping\n\n").count(), 1, "a sign of life");
}

#[test]
fn each_event_is_translated_when_it_is_complete() {
    let parts = whole();
    let pieces = of(&parts);
    assert_eq!(pieces.len(), parts.len());
    assert_eq!(data(&pieces[7]), [told(json!({"content": "Let “me”"}))]);
    assert_eq!(data(&pieces[23]), [] as [Value; 0], "the end is not told before it is there");
    assert_eq!(data(&pieces[24]).len(), 3);
}

#[test]
fn wherever_the_network_splits_a_stream_the_same_chunks_come_out() {
    let (stream, expected) = (whole().concat(), of(&whole()).concat());
    for at in 0..=stream.len() {
        let (head, tail) = stream.as_bytes().split_at(at);
        assert_eq!(translated([head, tail]).concat(), expected, "split at {at}");
    }
    for other in [stream.replace('\n', "\r\n"), stream.replace("data: ", "data:")] {
        assert_eq!(translated(other.as_bytes().chunks(1)).concat(), expected);
    }
}

proptest! {
    #[test]
    fn any_pieces_give_the_same_chunks(cuts in proptest::collection::vec(0_usize..4_000, 0..40)) {
        let stream = whole().concat();
        let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < stream.len()).chain([0, stream.len()]).collect();
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| &stream.as_bytes()[cut[0]..cut[1]]);
        prop_assert_eq!(translated(pieces).concat(), of(&whole()).concat());
    }

    #[test]
    fn whatever_comes_no_line_is_left_open(stream in "(event: [a-z_]{0,9}\n|data: [{}\":a-z0-9,]{0,30}\n|\n){0,30}") {
        let text = translated([stream.as_bytes()]).concat();
        prop_assert!(text.is_empty() || text.ends_with("\n\n"));
        prop_assert!(!text.contains("[DONE]"));
    }
}

#[test]
fn a_stream_without_its_end_has_no_reason_and_no_done() {
    let parts = whole();
    for kept in 0..parts.len() {
        let text = of(&parts[..kept]).concat();
        assert!(!text.contains("[DONE]") && !text.contains("\"finish_reason\":\""), "after {kept} events");
    }
}

#[test]
fn an_end_without_a_reason_is_not_made_one() {
    let text = of(&[START.to_owned(), STOP.to_owned()]).concat();
    assert_eq!(data(&text)[1..], [json!("malformed")]);
}

#[test]
fn an_error_in_the_stream_is_openais() {
    let error = "event: error\ndata: {\"type\":\"error\",\ndata: \"error\":{\"type\":\"overloaded_error\",\ndata: \"message\":\"Overloaded\"}}\n\n";
    let text = of(&[START.to_owned(), error.to_owned()]).concat();
    assert_eq!(data(&text)[1..], [json!({"error": {"type": "overloaded_error", "message": "Overloaded"}})]);
}

#[test]
fn what_is_no_event_is_passed_on_as_such() {
    for broken in [
        "data: {\"type\":\n\n",
        "data: [DONE]\n\n",
        "data: {\"type\":\"content_block_delta\"}\n\n",
        "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\"}}\n\n",
        "data: \u{fffd}\n\n",
    ] {
        assert_eq!(of(&[broken.to_owned()]), ["data: malformed\n\n"], "{broken}");
    }
    let endless = ["data: ".as_bytes(), &vec![b'x'; LONGEST_EVENT]];
    assert_eq!(translated(endless).concat(), "data: malformed\n\n");
}

#[test]
fn a_call_that_begins_with_its_input_has_it() {
    let parts =
        [START.to_owned(), begin(0, json!({"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}})), end(0)];
    let chunks = data(&of(&parts).concat());
    assert_eq!(chunks[1]["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"], r#"{"a":1}"#);
    assert_eq!(chunks.len(), 2);
}

#[test]
fn a_stream_without_names_has_ours() {
    let endless = "x".repeat(1_000);
    for message in [json!({}), json!({"id": null, "model": ""}), json!({"id": endless, "model": endless})] {
        let start = json!({"type": "message_start", "message": message});
        let text = of(&[format!("data: {start}\n\n")]).concat();
        assert_eq!(data(&text)[0]["id"], "chatcmpl-00000000000000000000000000000007");
        assert_eq!(data(&text)[0]["model"], "claude");
    }
}
