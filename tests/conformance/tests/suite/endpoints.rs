//! Embeddings, responses and messages: what holds for chat completions, in their words.

use conformance::{Answer, Client, EventStream, Events, Rig, marker, wait_until};
use serde_json::{Value, json};

use super::failover::two_providers;

super::list![
    answers_are_byte_for_byte_what_the_provider_sent,
    requests_reach_the_provider_byte_for_byte,
    streams_are_byte_for_byte_what_the_provider_sent,
    streams_say_what_they_say_direct,
    every_form_of_input_is_embedded,
    calls_leave_rows_of_their_operation,
    another_route_answers_before_the_first_text,
    a_cut_stream_ends_with_an_error_of_its_kind,
    hanging_up_cancels_the_provider_and_leaves_one_row,
    errors_have_the_callers_shape,
    a_limit_is_told_in_the_callers_shape,
    state_that_a_provider_would_keep_is_refused,
    a_model_is_only_where_a_provider_of_it_is,
    one_model_is_what_the_list_says_of_it,
];

const EMBEDDINGS: &str = "/v1/embeddings";
const RESPONSES: &str = "/v1/responses";
const MESSAGES: &str = "/v1/messages";
const PATHS: [&str; 3] = [EMBEDDINGS, RESPONSES, MESSAGES];
const STREAMS: [&str; 2] = [RESPONSES, MESSAGES];

/// A request that the simulator answers as `behaviour` says.
fn request(path: &str, marker: &str, behaviour: &Value, stream: bool) -> Value {
    let metadata = json!({"marker": marker, "sim": behaviour.to_string()});
    let mut request = json!({"model": "sim-1", "metadata": metadata});
    match path {
        MESSAGES => {
            request["metadata"] = json!({"user_id": metadata.to_string()});
            request["messages"] = json!([{"role": "user", "content": "Say something about edges."}]);
            request["max_tokens"] = json!(500);
        }
        _ => request["input"] = json!("Say something about edges."),
    }
    if path != EMBEDDINGS {
        request["stream"] = json!(stream);
    }
    request
}

fn ask(rig: &Rig, path: &str, name: &str, behaviour: &Value) -> Answer {
    rig.user().post(path, &request(path, &marker(name), behaviour, false))
}

fn stream(rig: &Rig, path: &str, name: &str, behaviour: &Value) -> EventStream {
    let body = request(path, &marker(name), behaviour, true);
    EventStream::post(&rig.edge.base, path, &rig.stack.demo.access_token, &body)
}

/// The same without the edge. The simulator's answers are not checked for the edge's headers.
fn direct(rig: &Rig, path: &str, body: &Value) -> EventStream {
    let simulator = &rig.stack.simulator.as_ref().unwrap().url;
    let version = if path == MESSAGES { "anthropic-version: 2023-06-01\r\n" } else { "" };
    EventStream::post_with(simulator, path, "sk-canary-provider-key", version, body)
}

/// What differs from call to call.
const TIMELY: [&str; 3] = ["id", "created_at", "created"];

fn timeless(mut value: Value) -> Value {
    for place in ["", "/response", "/message"] {
        if let Some(object) = value.pointer_mut(place).and_then(Value::as_object_mut) {
            object.retain(|name, _| !TIMELY.contains(&name.as_str()));
        }
    }
    value
}

fn frozen(path: &str) -> &'static str {
    match path {
        EMBEDDINGS => {
            r#" {"object":"list","data":[{"object":"embedding","index":0,"embedding":[1.50,-0.0,1e-3]}],"model":"sim-1","usage":{"prompt_tokens":3,"total_tokens":3},"x":null}"#
        }
        RESPONSES => {
            r#" {"id":"resp_1","object":"response","status":"completed","error":null,"model":"sim-1","output":[{"type":"message","content":[{"type":"output_text","text":"\u00fc 1.0"}]}],"usage":{"input_tokens":3,"output_tokens":2},"x":1.50}"#
        }
        _ => {
            r#" {"id":"msg_1","type":"message","model":"sim-1","content":[{"type":"text","text":"\u00fc"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":2},"x":1.50}"#
        }
    }
}

fn answers_are_byte_for_byte_what_the_provider_sent(rig: &Rig) {
    // Where the edge speaks for itself, and what of a provider concerns the edge alone.
    const OURS: [&str; 9] =
        ["access-control-", "anthropic-", "connection", "date", "openai-", "ratelimit", "server-timing", "vary", "x-"];
    let theirs = |answer: &Answer| -> Vec<String> {
        let kept = answer.headers.iter().filter(|(name, _)| !OURS.iter().any(|ours| name.as_str().starts_with(ours)));
        let mut kept: Vec<_> = kept.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        kept.retain(|field| {
            !["cache-control", "strict-", "request-id", "keep-alive", "transfer-"]
                .iter()
                .any(|own| field.starts_with(own))
        });
        kept.sort();
        kept
    };
    for path in PATHS {
        let answer = ask(rig, path, "bytes", &json!({"body": frozen(path)})).expect(200);
        assert_eq!(answer.text(), frozen(path));
        let expected = ["content-length", "content-type"].map(|name| match name {
            "content-length" => format!("{name}: {}", frozen(path).len()),
            _ => format!("{name}: application/json"),
        });
        assert_eq!(theirs(&answer), expected, "{path}");
        assert_eq!((answer.header("x-qlp-provider"), answer.header("x-qlp-model")), ("simulator", "sim-1"));
        assert!(!answer.header("x-upstream-request-id").is_empty(), "{path}");
        assert!(!answer.header("x-qlp-cost-usd").is_empty(), "{path}");
    }
}

fn requests_reach_the_provider_byte_for_byte(rig: &Rig) {
    for path in PATHS {
        let marker = marker("members");
        let members = match path {
            // Anthropic refuses what it does not know.
            MESSAGES => format!(
                r#""top_p": 1.0,	"max_tokens": 9, "messages": [{{"role": "user", "content": "a\u00e9"}}], "metadata": {{"user_id": "{{\"marker\":\"{marker}\"}}"}}"#
            ),
            _ => format!(
                r#""x_new": {{"b": 1, "a": 2e0}},	"input": "a\u00e9", "seed": 12345678901234567890123, "metadata": {{"marker": "{marker}"}}"#
            ),
        };
        let body = format!(r#" {{"model": "sim-1", {members} }}"#);
        let headers =
            [("content-type", "application/json"), ("x-custom", "secret"), ("anthropic-beta", "some-feature")];
        rig.user().send("POST", path, &headers, Some(body.clone().into_bytes())).expect(200);
        let received = rig.simulator().get(&format!("/__sim/requests?marker={marker}"))["requests"][0].clone();
        assert_eq!(received["body"], body, "{path}");
        assert_eq!(received["target"], path);
        let sent = received["headers"].to_string();
        assert_eq!(sent.contains("some-feature"), path == MESSAGES, "{sent}");
        for word in ["x-custom", rig.stack.demo.access_token.as_str()] {
            assert!(!sent.contains(word), "{word} in {sent}");
        }
    }
}

fn frames(path: &str) -> Vec<&'static str> {
    if path == RESPONSES {
        return vec![
            "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"model\":\"sim-1\"}}\n\n",
            "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"ü 日本 😀\",\"x\":1.50}\n\n",
            "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"usage\":{\"input_tokens\":3,\"output_tokens\":2}}}\n\n",
        ];
    }
    vec![
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"sim-1\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n",
        "event: ping\ndata: {\"type\": \"ping\"}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"ü 日本 😀\"},\"x\":1.50}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    ]
}

fn streams_are_byte_for_byte_what_the_provider_sent(rig: &Rig) {
    for path in STREAMS {
        let frames = frames(path);
        for split in [
            json!({}),
            json!({"frames_per_write": 0, "split_every": 1, "write_gap_ms": 0}),
            json!({"split_utf8": true}),
        ] {
            let mut behaviour = json!({"frames": frames});
            behaviour.as_object_mut().unwrap().extend(split.as_object().unwrap().clone());
            let id = marker("frames");
            let body = request(path, &id, &behaviour, true).to_string().into_bytes();
            let headers = [("content-type", "application/json"), ("x-request-id", id.as_str())];
            let answer = rig.user().send("POST", path, &headers, Some(body)).expect(200);
            assert_eq!(answer.text(), frames.concat(), "{path} {split}");
            assert!(answer.header("content-type").starts_with("text/event-stream"));
            let row = rig.usage_row(&id);
            assert_eq!(
                (&row["status"], &row["input_tokens"], &row["output_tokens"]),
                (&json!("success"), &json!(3), &json!(2))
            );
        }
    }
}

fn streams_say_what_they_say_direct(rig: &Rig) {
    let tool =
        json!({"type": "function", "name": "f", "parameters": {"type": "object"}, "input_schema": {"type": "object"}});
    for path in STREAMS {
        for (behaviour, tools) in
            [(json!({"tokens": 9, "reasoning": 3}), json!(null)), (json!({"tool_calls": 2}), json!([tool]))]
        {
            let mut body = request(path, &marker("direct"), &behaviour, true);
            if !tools.is_null() {
                body["tools"] = tools;
            }
            let through = EventStream::post(&rig.edge.base, path, &rig.stack.demo.access_token, &body).read_to_end();
            let expected = direct(rig, path, &body).read_to_end();
            let events = |events: Events| events.chunks().into_iter().map(timeless).collect::<Vec<_>>();
            assert!(through.complete && !through.data.is_empty());
            assert_eq!(events(through), events(expected), "{path} {behaviour}");
        }
    }
}

fn every_form_of_input_is_embedded(rig: &Rig) {
    for (input, more, count) in [
        (json!("one text"), json!({}), 1),
        (json!(["one text", "another"]), json!({"dimensions": 8}), 2),
        (json!([11, 22, 33]), json!({}), 1),
        (json!([[11], [22, 33]]), json!({"encoding_format": "base64"}), 2),
        (json!("one text"), json!({"encoding_format": "float", "user": "u"}), 1),
    ] {
        let mut body = json!({"model": "sim-1", "input": input});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = rig.user().post(EMBEDDINGS, &body).expect(200).json();
        let key = [("authorization", "Bearer sk-canary-provider-key")];
        let expected = rig.simulator().post_with(EMBEDDINGS, &key, &body);
        assert_eq!(answer, expected, "{body}");
        assert_eq!(answer["data"].as_array().unwrap().len(), count);
    }
}

fn row_of(rig: &Rig, path: &str, behaviour: &Value, stream: bool) -> Value {
    let id = marker("operation");
    let headers = [("content-type", "application/json"), ("x-request-id", id.as_str())];
    let body = request(path, &id, behaviour, stream).to_string().into_bytes();
    rig.user().send("POST", path, &headers, Some(body));
    let row = rig.usage_row(&id);
    assert_eq!(rig.usage_rows(&id).len(), 1);
    row
}

fn calls_leave_rows_of_their_operation(rig: &Rig) {
    for path in PATHS {
        let row = row_of(rig, path, &json!({"tokens": 6}), false);
        let operation = if path == EMBEDDINGS { "embeddings" } else { "chat" };
        assert_eq!(
            (&row["operation"], &row["status"], &row["usage_source"]),
            (&json!(operation), &json!("success"), &json!("provider"))
        );
        assert_eq!(row["output_tokens"], if path == EMBEDDINGS { 0 } else { 6 }, "{row}");
        assert!(row["input_tokens"].as_i64().unwrap() > 0 && row["cost_nano_usd"].as_i64().unwrap() > 0, "{row}");
    }
    let cached = json!({"usage": {"input_tokens": 10, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 2, "output_tokens": 4}});
    let row = row_of(rig, MESSAGES, &cached, true);
    assert_eq!(
        (&row["input_tokens"], &row["cached_input_tokens"], &row["output_tokens"]),
        (&json!(42), &json!(30), &json!(4)),
        "{row}"
    );
    let cached =
        json!({"usage": {"input_tokens": 40, "input_tokens_details": {"cached_tokens": 30}, "output_tokens": 4}});
    let row = row_of(rig, RESPONSES, &cached, true);
    assert_eq!(
        (&row["input_tokens"], &row["cached_input_tokens"], &row["output_tokens"]),
        (&json!(40), &json!(30), &json!(4)),
        "{row}"
    );
}

fn another_route_answers_before_the_first_text(rig: &Rig) {
    let edge = rig.edge_with(&two_providers(rig, &[]));
    let user = Client::new(&edge.url).bearer(&rig.stack.demo.access_token);
    for (path, behaviours, attempts) in [
        (EMBEDDINGS, json!([{"status": 503}, {"status": 503}, {}]), "3"),
        (RESPONSES, json!([{"reset": true}, {"reset": true}, {}]), "3"),
        (RESPONSES, json!([{"hang": true}, {}]), "2"),
    ] {
        let mut body = request(path, &marker("failover"), &behaviours, false);
        body["model"] = json!("default");
        let answer = user.post(path, &body).expect(200);
        assert_eq!(
            (answer.header("x-qlp-provider"), answer.header("x-qlp-attempts")),
            ("simulator", attempts),
            "{path}"
        );
    }
    for path in STREAMS {
        // A stream begins with three or four events that say nothing yet.
        for broken in
            [json!({"error_after": 3}), json!({"cut_after": 2}), json!({"malformed_after": 1}), json!({"eof_after": 3})]
        {
            let id = marker("again");
            let body = request(path, &id, &json!([broken, {"tokens": 5}]), true);
            let stream = EventStream::post(&rig.edge.base, path, &rig.stack.demo.access_token, &body);
            assert!(stream.head.contains("x-qlp-attempts: 2"), "{path} {broken}: {}", stream.head);
            let events = stream.read_to_end();
            assert!(events.error().is_none() && events.complete, "{events:?}");
            let counter = if path == MESSAGES { "chat" } else { "responses" };
            assert_eq!(rig.seen(&id)["requests"][counter], 2);
        }
    }
}

/// An answer that has begun, its error event, and its row.
fn assert_broken(rig: &Rig, path: &str, behaviour: &Value, status: &str) {
    let stream = stream(rig, path, "broken", behaviour);
    assert_eq!(stream.status, 200, "{}", stream.head);
    let id = stream.request_id();
    let events = stream.read_to_end();
    let (last, kinds) = (events.chunks().pop().unwrap(), events.kinds());
    assert_eq!(last["type"], "error", "{events:?}");
    assert!(last["error"]["message"].is_string() && last["error"]["type"].is_string(), "{last}");
    if path == RESPONSES {
        assert!(last["code"].is_string() && last["message"].is_string() && last["sequence_number"].is_u64(), "{last}");
    }
    assert!(
        !kinds.iter().any(|kind| ["response.completed", "message_delta", "message_stop"].contains(&kind.as_str())),
        "{kinds:?}"
    );
    let row = rig.usage_row(&id);
    assert_eq!(row["status"], status, "{row}");
    assert!(row["output_tokens"].as_i64().unwrap() > 0 && row["input_tokens"].as_i64().unwrap() > 0, "{row}");
}

fn a_cut_stream_ends_with_an_error_of_its_kind(rig: &Rig) {
    for path in STREAMS {
        for (fault, status) in [
            ("cut_after", "truncated"),
            ("reset_after", "truncated"),
            ("eof_after", "truncated"),
            ("stall_after", "timeout"),
            ("malformed_after", "upstream_error"),
            ("error_after", "upstream_error"),
        ] {
            assert_broken(rig, path, &json!({"tokens": 20, fault: 9}), status);
        }
    }
    assert_broken(rig, RESPONSES, &json!({"tokens": 5, "no_finish_reason": true}), "truncated");
    let id = marker("no-stop");
    let body = request(MESSAGES, &id, &json!({"tokens": 5, "no_done": true}), true);
    let stream = EventStream::post(&rig.edge.base, MESSAGES, &rig.stack.demo.access_token, &body);
    let request_id = stream.request_id();
    let events = stream.read_to_end();
    assert!(events.complete && events.error().is_none(), "it had said why it stops: {events:?}");
    assert_eq!(rig.usage_row(&request_id)["status"], "success");
}

fn hanging_up_cancels_the_provider_and_leaves_one_row(rig: &Rig) {
    for path in STREAMS {
        let marker = marker("hang-up");
        let body = request(path, &marker, &json!({"tokens": 400, "interval_ms": 20}), true);
        let stream = EventStream::post(&rig.edge.base, path, &rig.stack.demo.access_token, &body);
        let request_id = stream.request_id();
        stream.read_then_hang_up(8);
        wait_until("the provider sees the cancellation", || (rig.seen(&marker)["cancelled"] == 1).then_some(()));
        let row = rig.usage_row(&request_id);
        assert_eq!((&row["status"], &row["usage_source"]), (&json!("client_closed"), &json!("estimated")), "{row}");
        assert!(row["output_tokens"].as_i64().unwrap() > 0, "{row}");
        assert_eq!(rig.usage_rows(&request_id).len(), 1);
    }
}

/// `type` and message of an error in Anthropic's shape.
fn anthropic_error(answer: &Answer) -> (String, String) {
    let error = answer.json()["error"].clone();
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    (text("type"), text("message"))
}

fn errors_have_the_callers_shape(rig: &Rig) {
    for (status, expected, kind) in [
        (400, 400, "invalid_request_error"),
        (401, 502, "api_error"),
        (404, 404, "not_found_error"),
        (413, 413, "request_too_large"),
        (429, 429, "rate_limit_error"),
        (500, 502, "api_error"),
        (529, 503, "overloaded_error"),
    ] {
        let behaviour = json!({"status": status, "message": "sk-canary of the provider", "retry_after": 60});
        let answer = ask(rig, MESSAGES, "refused", &behaviour).expect(expected);
        assert_eq!(anthropic_error(&answer).0, kind, "{status}");
        assert_eq!(answer.header("retry-after").is_empty(), status == 401, "{status}");
        assert!(
            expected < 500 && status != 429 && status != 404 || !answer.text().contains("sk-canary"),
            "{}",
            answer.text()
        );
        ask(rig, RESPONSES, "refused", &behaviour).expect(if status == 529 { 502 } else { expected });
    }
    let user = rig.user();
    for (path, body, param) in [
        (EMBEDDINGS, json!({"model": "sim-1"}), "input"),
        (EMBEDDINGS, json!({"input": "x"}), "model"),
        (RESPONSES, json!({"model": "sim-1", "input": "x", "stream": "yes"}), "stream"),
        (MESSAGES, json!({"model": "sim-1", "max_tokens": 1}), "messages"),
    ] {
        let answer = user.post(path, &body).expect(400);
        if path == MESSAGES {
            assert!(anthropic_error(&answer).1.contains(param));
        } else {
            assert_eq!(answer.json()["error"]["param"], param);
        }
    }
    for path in PATHS {
        let mut unknown = request(path, "", &json!({}), false);
        unknown["model"] = json!("nothing");
        user.post(path, &unknown).expect(404);
        let answer = user.send("GET", path, &[], None).expect(405);
        assert_eq!(answer.header("allow"), "POST");
        user.send("POST", path, &[("content-type", "text/plain")], Some(b"{}".to_vec())).expect(415);
        user.send("POST", path, &[("content-type", "application/json")], Some(b"{".to_vec())).expect(400);
        rig.edge.post(path, &json!({})).expect(401);
    }
}

fn a_limit_is_told_in_the_callers_shape(rig: &Rig) {
    let edge = rig.edge_with(&[("LLM_USER_REQUESTS_PER_HOUR".to_owned(), "2".to_owned())]);
    let edge = Client::new(&edge.url);
    let account = json!({"email": format!("{}@example.com", marker(rig.host)), "password": conformance::PASSWORD});
    let session = edge.post("/auth/signup", &account).expect(200).json();
    let user = edge.bearer(session["access_token"].as_str().unwrap());
    let call = |path: &str| user.post(path, &request(path, &marker("limit"), &json!({}), false));
    assert!(call(EMBEDDINGS).expect(200).header("ratelimit").contains("r=1"));
    call(MESSAGES).expect(200);
    let refused = call(MESSAGES).expect(429);
    assert_eq!(anthropic_error(&refused).0, "rate_limit_error");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    call(RESPONSES).expect_openai_error(429, "rate_limited");
    call(EMBEDDINGS).expect_openai_error(429, "rate_limited");
}

fn state_that_a_provider_would_keep_is_refused(rig: &Rig) {
    for (name, value) in
        [("previous_response_id", json!("resp_1")), ("conversation", json!("conv_1")), ("background", json!(true))]
    {
        let marker = marker("state");
        let mut body = request(RESPONSES, &marker, &json!({}), false);
        body[name] = value;
        let error = rig.user().post(RESPONSES, &body).expect_openai_error(400, "invalid_request");
        assert_eq!(error["param"], name);
    }
}

fn a_model_is_only_where_a_provider_of_it_is(rig: &Rig) {
    let simulator = &rig.stack.simulator.as_ref().unwrap().url;
    let base = format!("{simulator}/v1");
    let together =
        [("TOGETHER_API_KEY", "sk-canary-provider-key"), ("TOGETHER_BASE_URL", &base), ("LLM_SIMULATOR_URL", "")];
    let together = together.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let edge = rig.edge_with(&together);
    let user = Client::new(&edge.url).bearer(&rig.stack.demo.access_token);
    for (path, status) in [(EMBEDDINGS, 200), (RESPONSES, 400), (MESSAGES, 400)] {
        let mut body = request(path, &marker("nowhere"), &json!({}), false);
        body["model"] = json!("default");
        let answer = user.post(path, &body).expect(status);
        let told = answer.text();
        assert!(
            status == 200 || told.contains(path) && told.contains("`/v1/chat/completions` or `/v1/embeddings`"),
            "{told}"
        );
    }
}

fn one_model_is_what_the_list_says_of_it(rig: &Rig) {
    let list = rig.user().get("/v1/models").expect(200).json();
    let listed = list["data"].as_array().unwrap().iter().find(|model| model["id"] == "sim-1").unwrap();
    assert_eq!(&rig.user().get("/v1/models/sim-1").expect(200).json(), listed);
    rig.user().get("/v1/models/nothing").expect_openai_error(404, "model_not_found");
    let answer = rig.user().send("DELETE", "/v1/models/sim-1", &[], None).expect(405);
    assert_eq!(answer.header("allow"), "GET, HEAD");
}
