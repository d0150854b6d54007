use std::sync::Barrier;
use std::thread;

use conformance::{EventStream, Events, Rig, marker, wait_until};
use serde_json::{Value, json};

super::list![
    a_stream_brings_what_the_provider_sent_event_by_event,
    the_usage_chunk_comes_only_when_asked_for,
    events_are_not_held_back,
    any_split_of_the_bytes_gives_the_same_events,
    other_framings_are_understood,
    parallel_tool_calls_keep_their_indexes,
    azures_filter_chunks_pass,
    hanging_up_cancels_the_provider_and_leaves_one_row,
    closing_at_done_is_a_success,
    of_512_paced_streams_each_has_every_event_once,
];

const PATH: &str = "/v1/chat/completions";

/// The `data` of each event, without what differs from call to call.
fn timeless(events: &[String]) -> Vec<String> {
    let strip = |data: &String| match serde_json::from_str::<Value>(data) {
        Ok(mut chunk) => {
            chunk["id"].take();
            chunk["created"].take();
            chunk.to_string()
        }
        Err(_) => data.clone(),
    };
    events.iter().map(strip).collect()
}

fn a_stream_brings_what_the_provider_sent_event_by_event(rig: &Rig) {
    let mut body = Rig::chat(&marker("through"), &json!({"tokens": 20}), true);
    body["stream_options"] = json!({"include_usage": true});
    let through = rig.stream(&body);
    assert_eq!(through.status, 200);
    assert!(through.head.contains("content-type: text/event-stream"), "{}", through.head);
    assert!(!through.head.contains("content-length") && !through.head.contains("content-encoding"), "{}", through.head);
    let through = through.read_to_end();
    body["model"] = json!("sim-1");
    let simulator = &rig.stack.simulator.as_ref().unwrap().url;
    let direct = EventStream::post(simulator, PATH, "sk-canary-provider-key", &body).read_to_end();
    assert_eq!(timeless(&through.data), timeless(&direct.data));
    assert!(through.complete && through.done());
}

fn the_usage_chunk_comes_only_when_asked_for(rig: &Rig) {
    let usage = |options: Value| {
        let mut body = Rig::chat(&marker("usage-chunk"), &json!({"tokens": 5}), true);
        body["stream_options"] = options;
        let events = rig.stream(&body).read_to_end();
        assert!(events.done(), "{events:?}");
        events.chunks().iter().filter(|chunk| chunk["usage"].is_object()).count()
    };
    assert_eq!(usage(json!({"include_usage": true})), 1);
    assert_eq!(usage(json!({"include_usage": false})), 0);
    assert_eq!(usage(json!(null)), 0);
}

/// The provider stops after four frames and waits; the caller must have all four while it waits.
fn events_are_not_held_back(rig: &Rig) {
    let body = Rig::chat(&marker("held"), &json!({"tokens": 9, "stall_after": 4}), true);
    let events = rig.stream(&body).read_then_hang_up(4);
    assert_eq!(events.len(), 4);
}

fn any_split_of_the_bytes_gives_the_same_events(rig: &Rig) {
    let text = "naïve café — 日本語 😀 done";
    let whole = rig.stream(&Rig::chat(&marker("whole"), &json!({"text": text}), true)).read_to_end();
    assert_eq!(whole.text(), text);
    for behaviour in [
        json!({"split_every": 3, "write_gap_ms": 0}),
        json!({"split_every": 7}),
        json!({"split_utf8": true}),
        json!({"frames_per_write": 3}),
    ] {
        let mut behaviour = behaviour;
        behaviour["text"] = json!(text);
        let split = rig.stream(&Rig::chat(&marker("split"), &behaviour, true)).read_to_end();
        assert_eq!(timeless(&split.data), timeless(&whole.data), "{behaviour}");
    }
}

fn other_framings_are_understood(rig: &Rig) {
    let plain = rig.stream(&Rig::chat(&marker("plain"), &json!({"tokens": 6}), true)).read_to_end();
    for framing in ["no_space", "comments"] {
        let behaviour = json!({"tokens": 6, framing: true});
        let events = rig.stream(&Rig::chat(&marker("framing"), &behaviour, true)).read_to_end();
        assert_eq!(timeless(&events.data), timeless(&plain.data), "{framing}");
    }
    let marker = marker("crlf");
    let body = Rig::chat(&marker, &json!({"tokens": 6, "crlf": true, "multi_line": true}), true);
    let request_id = format!("crlf-{marker}");
    let answer = rig.user().send(
        "POST",
        PATH,
        &[("content-type", "application/json"), ("x-request-id", &request_id)],
        Some(body.to_string().into_bytes()),
    );
    assert!(answer.text().contains("[DONE]"), "{}", answer.text());
    let row = rig.usage_row(&request_id);
    assert_eq!((&row["status"], &row["usage_source"]), (&json!("success"), &json!("provider")), "{row}");
}

fn parallel_tool_calls_keep_their_indexes(rig: &Rig) {
    let tool = |name| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}});
    let mut body = Rig::chat(&marker("tools"), &json!({"tool_calls": 2}), true);
    body["tools"] = json!([tool("weather"), tool("time")]);
    let events = rig.stream(&body).read_to_end();
    let calls: Vec<_> = events
        .chunks()
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0].as_object().cloned())
        .collect();
    let begun: Vec<_> = calls.iter().filter(|call| call.contains_key("id")).map(|call| call["index"].clone()).collect();
    assert_eq!(begun, [json!(0), json!(1)]);
    assert!(events.done());
}

fn azures_filter_chunks_pass(rig: &Rig) {
    let events = rig.stream(&Rig::chat(&marker("azure"), &json!({"tokens": 4, "azure": true}), true)).read_to_end();
    assert!(events.chunks().iter().any(|chunk| chunk["prompt_filter_results"].is_array()), "{events:?}");
    assert!(events.done() && events.error().is_none(), "{events:?}");
}

fn hanging_up_cancels_the_provider_and_leaves_one_row(rig: &Rig) {
    let marker = marker("hang-up");
    let body = Rig::chat(&marker, &json!({"tokens": 400, "interval_ms": 20}), true);
    let stream = rig.stream(&body);
    let request_id = stream.request_id();
    stream.read_then_hang_up(6);
    let counters = wait_until("the provider sees the cancellation", || {
        let counters = rig.seen(&marker);
        (counters["cancelled"] == 1).then_some(counters)
    });
    assert_eq!(counters["finished"], 0, "{counters}");
    let row = rig.usage_row(&request_id);
    assert_eq!((&row["status"], &row["usage_source"]), (&json!("client_closed"), &json!("estimated")), "{row}");
    assert!(row["output_tokens"].as_i64().unwrap() > 0, "{row}");
    assert_eq!(rig.usage_rows(&request_id).len(), 1);
}

fn closing_at_done_is_a_success(rig: &Rig) {
    let marker = marker("done");
    let stream = rig.stream(&Rig::chat(&marker, &json!({"tokens": 3}), true));
    let request_id = stream.request_id();
    let events = stream.read_then_hang_up(6); // role, three tokens, finish reason, [DONE]
    assert_eq!(events.last().unwrap(), "[DONE]", "{events:?}");
    let row = rig.usage_row(&request_id);
    assert_eq!((&row["status"], &row["usage_source"]), (&json!("success"), &json!("provider")), "{row}");
}

/// How many streams at the same time, and how many events with text each has, a quarter of a second apart.
const STREAMS: usize = 512;
const WORDS: usize = 24;

/// Every stream has a text of its own, so that an event that is lost, comes twice or gets into another stream shows.
fn of_512_paced_streams_each_has_every_event_once(rig: &Rig) {
    let patient = ["HEADERS", "FIRST_TOKEN", "IDLE"].map(|limit| (format!("LLM_{limit}_TIMEOUT_MS"), "120000".into()));
    let edge = rig.edge_with(&patient);
    let name = marker("paced");
    let request = |number: usize| {
        let words: Vec<_> = (0..WORDS).map(|word| format!("{}-{word}", stamp(number))).collect();
        let mut body = Rig::chat(&name, &json!({"text": words.join(" "), "interval_ms": 250}), true);
        body["stream_options"] = json!({"include_usage": true});
        body
    };
    let mut direct = request(0);
    direct["model"] = json!("sim-1");
    let simulator = &rig.stack.simulator.as_ref().unwrap().url;
    let sent = anonymous(&EventStream::post(simulator, PATH, "sk-canary-provider-key", &direct).read_to_end());
    assert_eq!(sent.len(), WORDS + 4, "the role, the words, the finish reason, the usage, [DONE]: {sent:?}");
    let at_once = Barrier::new(STREAMS);
    let read = |number: usize| {
        at_once.wait();
        let token = &rig.stack.demo.access_token;
        let stream = EventStream::post_until_decided(&edge.url, PATH, token, &request(number));
        assert_eq!(stream.status, 200, "{}", stream.head);
        stream.read_to_end()
    };
    let all: Vec<_> = thread::scope(|scope| {
        let small = || thread::Builder::new().stack_size(256 * 1024);
        let reading = (0..STREAMS).map(|number| small().spawn_scoped(scope, move || read(number)).unwrap());
        reading.collect::<Vec<_>>().into_iter().map(|stream| stream.join().unwrap()).collect()
    });
    for (number, events) in all.iter().enumerate() {
        let expected: Vec<_> = sent.iter().map(|data| data.replace(&stamp(0), &stamp(number))).collect();
        assert_eq!(anonymous(events), expected, "stream {number}");
        assert!(events.complete, "stream {number}");
    }
    let seen = wait_until("the provider has seen all of them end", || {
        let seen = rig.seen(&name);
        (seen["finished"] == STREAMS + 1).then_some(seen)
    });
    assert_eq!(seen["cancelled"], 0, "{seen}");
}

/// The beginning of each word of a stream's text.
fn stamp(number: usize) -> String {
    format!("s{number:04}")
}

/// The `data` of each event, byte for byte but for the answer's id and time, which must be the same in all of them.
fn anonymous(events: &Events) -> Vec<String> {
    let first: Value = serde_json::from_str(&events.data[0]).unwrap();
    let (id, created) = (first["id"].to_string(), format!("\"created\":{}", first["created"]));
    let strip = |data: &String| data.replace(&id, "\"\"").replace(&created, "\"created\":0");
    events.data.iter().map(strip).collect()
}
