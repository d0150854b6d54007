//! Calls that Amazon Bedrock answers, played by the simulator: Amazon itself has not been called.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use conformance::{Answer, Client, EventStream, Events, Rig, marker, wait_until};
use serde_json::{Value, json};

super::list![a_model_on_bedrock_is_answered_as_openai_would];

const PATH: &str = "/v1/chat/completions";
const MODEL: &str = "global.anthropic.claude-sonnet-4-5-20250929-v1:0";

/// An edge with Bedrock, asked by one user.
struct Scene<'a> {
    rig: &'a Rig,
    user: Client,
    token: &'a str,
    url: &'a str,
}

type Scenario = fn(&Scene<'_>);

const SCENARIOS: [(&str, Scenario); 10] = [
    ("an answer in one piece", whole),
    ("a stream", stream),
    ("any split", splits),
    ("parallel calls of tools", tools),
    ("throttling, then success", throttling),
    ("a context that is too long", too_long),
    ("what Bedrock cannot do", refused),
    ("an exception in the middle", exception),
    ("a cut, a stall and a wrong checksum", broken),
    ("hanging up", hang_up),
];

/// With each kind of credential: the simulator takes either.
fn a_model_on_bedrock_is_answered_as_openai_would(rig: &Rig) {
    let key = super::SETTINGS.iter().find(|(name, _)| *name == "LLM_SIMULATOR_API_KEY").unwrap().1;
    let simulator = rig.stack.simulator.as_ref().unwrap().url.as_str();
    let address = [("BEDROCK_BASE_URL", simulator), ("AWS_REGION", "us-east-1")];
    let bearer = [("AWS_BEARER_TOKEN_BEDROCK", key)];
    let signing = [("AWS_ACCESS_KEY_ID", key), ("AWS_SECRET_ACCESS_KEY", "a-secret"), ("AWS_SESSION_TOKEN", "a-token")];
    for (credential, scenarios) in [(&bearer[..], &SCENARIOS[..]), (&signing, &SCENARIOS[..2])] {
        let variables = address.iter().chain(credential).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let edge = rig.edge_with(&variables.collect::<Vec<_>>());
        let token = rig.stack.demo.access_token.as_str();
        let scene = Scene { rig, user: Client::new(&edge.url).bearer(token), token, url: &edge.url };
        for (name, check) in scenarios {
            eprintln!("  {}: {name} ({})", rig.host, credential[0].0);
            check(&scene);
        }
    }
}

impl Scene<'_> {
    /// A call that meets `behaviour`, which Bedrock's metadata can carry only in base64.
    fn request(marker: &str, behaviour: &Value, stream: bool) -> Value {
        let mut body = Rig::chat(marker, behaviour, stream);
        body["model"] = json!("claude-sonnet-4-5");
        body["max_tokens"] = json!(500);
        body["metadata"]["sim"] = json!(STANDARD.encode(behaviour.to_string()));
        body
    }

    fn call(&self, behaviour: &Value) -> (Answer, String) {
        let marker = marker("bedrock");
        (self.user.post(PATH, &Self::request(&marker, behaviour, false)), marker)
    }

    fn open(&self, behaviour: &Value) -> (EventStream, String) {
        let marker = marker("bedrock");
        let stream = EventStream::post(self.url, PATH, self.token, &Self::request(&marker, behaviour, true));
        assert_eq!(stream.status, 200, "{}", stream.head);
        (stream, marker)
    }

    /// The events of a stream, and its usage row.
    fn events(&self, behaviour: &Value) -> (Events, Value) {
        let (stream, _) = self.open(behaviour);
        let id = stream.request_id();
        let events = stream.read_to_end();
        (events, self.rig.usage_row(&id))
    }
}

/// 10 tokens are fresh, 900 from the cache, 100 written into it, 60 of them for an hour, and 4 of output. No more than that
/// fits into an entry of the metadata.
fn cached() -> Value {
    let hour = json!([{"ttl": "1h", "inputTokens": 60}]);
    json!({"inputTokens": 10, "outputTokens": 4, "cacheReadInputTokens": 900, "cacheWriteInputTokens": 100, "cacheDetails": hour})
}

/// A million of them cost $3 fresh, $0.30 read, $3.75 written, $6 written for an hour, and $15 of output.
fn is_charged(row: &Value) {
    assert_eq!((&row["cache_write_tokens"], &row["cache_write_1h_tokens"]), (&json!(100), &json!(60)), "{row}");
    let cost = 10 * 3_000 + 900 * 300 + 40 * 3_750 + 60 * 6_000 + 4 * 15_000;
    assert_eq!(row["cost_nano_usd"], cost, "{row}");
}

fn whole(scene: &Scene<'_>) {
    let usage = cached();
    let (answer, marker) = scene.call(&json!({"text": "Hi there.", "reasoning": 3, "usage": usage}));
    assert_eq!((answer.status, answer.header("x-qlp-provider")), (200, "bedrock"), "{}", answer.text());
    assert!(answer.header("x-upstream-request-id").starts_with("req_"));
    let body = answer.json();
    let choice = &body["choices"][0];
    assert_eq!((&choice["message"]["content"], &choice["finish_reason"]), (&json!("Hi there."), &json!("stop")));
    assert!(choice["message"]["reasoning_content"].is_string(), "{body}");
    assert_eq!((&body["object"], &body["model"]), (&json!("chat.completion"), &json!(MODEL)));
    assert_eq!((&body["usage"]["prompt_tokens"], &body["usage"]["total_tokens"]), (&json!(1_010), &json!(1_014)));
    let row = scene.rig.usage_row(answer.header("x-request-id"));
    assert_eq!((&row["input_tokens"], &row["cached_input_tokens"]), (&json!(1_010), &json!(900)), "{row}");
    is_charged(&row);
    assert_eq!((&row["provider"], &row["model"], &row["output_tokens"]), (&json!("bedrock"), &json!(MODEL), &json!(4)));
    let seen = scene.rig.simulator().get(&format!("/__sim/requests?marker={marker}")).to_string();
    assert!(seen.contains("/model/global.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse\""), "{seen}");
}

fn stream(scene: &Scene<'_>) {
    let (stream, _) = scene.open(&json!({"text": "naïve café — 日本語", "usage": cached()}));
    assert!(stream.head.contains("content-type: text/event-stream"), "{}", stream.head);
    let id = stream.request_id();
    let events = stream.read_to_end();
    assert!(events.done() && events.complete && events.error().is_none(), "{events:?}");
    assert_eq!(events.text(), "naïve café — 日本語");
    let chunks = events.chunks();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "stop", "the usage was not asked for");
    let row = scene.rig.usage_row(&id);
    assert_eq!((&row["status"], &row["usage_source"]), (&json!("success"), &json!("provider")), "{row}");
    is_charged(&row);
    let mut asking = Scene::request(&marker("bedrock"), &json!({"tokens": 3}), true);
    asking["stream_options"] = json!({"include_usage": true});
    let events = EventStream::post(scene.url, PATH, scene.token, &asking).read_to_end();
    let last = events.chunks().pop().unwrap();
    assert_eq!((&last["choices"], &last["usage"]["completion_tokens"]), (&json!([]), &json!(3)));
}

fn splits(scene: &Scene<'_>) {
    for split in
        [json!({"split_every": 3, "write_gap_ms": 0}), json!({"split_every": 13}), json!({"frames_per_write": 3})]
    {
        let mut behaviour = split;
        behaviour["text"] = json!("One two, three.");
        let (events, _) = scene.events(&behaviour);
        assert!(events.done() && events.text() == "One two, three.", "{behaviour}: {events:?}");
    }
}

fn tools(scene: &Scene<'_>) {
    let tool = |name| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}});
    let mut body = Scene::request(&marker("bedrock"), &json!({"tool_calls": 2, "reasoning": 2}), true);
    body["tools"] = json!([tool("weather"), tool("time")]);
    let events = EventStream::post(scene.url, PATH, scene.token, &body).read_to_end();
    let chunks = events.chunks();
    let calls = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0].as_object());
    let mut arguments = [String::new(), String::new()];
    let mut begun = Vec::new();
    for call in calls {
        let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
        arguments[index].push_str(call["function"]["arguments"].as_str().unwrap());
        begun.extend(call.get("id").map(|_| (index, call["function"]["name"].clone())));
    }
    assert_eq!(begun, [(0, json!("weather")), (1, json!("time"))], "{events:?}");
    assert!(arguments.iter().all(|text| text == r#"{"city":"example"}"#), "{arguments:?}");
    assert!(chunks.iter().any(|chunk| chunk["choices"][0]["finish_reason"] == "tool_calls") && events.done());
    body["stream"] = json!(false);
    let answer = scene.user.post(PATH, &body).expect(200).json();
    assert_eq!(answer["choices"][0]["message"]["tool_calls"][1]["function"]["name"], "time", "{answer}");
}

fn throttling(scene: &Scene<'_>) {
    let (answer, _) = scene.call(&json!([{"status": 429}, {"text": "Hi."}]));
    assert_eq!((answer.status, answer.header("x-qlp-attempts")), (200, "2"), "{}", answer.text());
    let (answer, _) = scene.call(&json!({"status": 429}));
    answer.expect_openai_error(429, "rate_limit_exceeded");
}

fn too_long(scene: &Scene<'_>) {
    let (answer, marker) = scene.call(&json!({"status": 400, "code": "context_length_exceeded"}));
    answer.expect_openai_error(400, "context_length_exceeded");
    assert_eq!(scene.rig.seen(&marker)["requests"]["chat"], 1, "it is sent once");
}

fn refused(scene: &Scene<'_>) {
    let marker = marker("bedrock");
    let mut body = Scene::request(&marker, &json!({}), false);
    let image = json!({"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}});
    body["messages"] = json!([{"role": "user", "content": [image]}]);
    let error = scene.user.post(PATH, &body).expect_openai_error(400, "invalid_request");
    assert_eq!(error["param"], "messages[0].content[0].image_url.url", "{error}");
    assert_eq!(scene.rig.seen(&marker)["requests"]["chat"], 0, "nothing is sent");
}

fn exception(scene: &Scene<'_>) {
    for (kind, code) in [("throttlingException", "rate_limit_exceeded"), ("modelStreamErrorException", "model_error")] {
        let (events, row) = scene.events(&json!({"tokens": 20, "error_after": 6, "type": kind}));
        assert!(!events.done() && !events.text().is_empty(), "{events:?}");
        assert_eq!(events.error().unwrap()["code"], code);
        assert_eq!((&row["status"], &row["attempts"]), (&json!("upstream_error"), &json!(1)), "{row}");
        assert!(row["output_tokens"].as_u64().unwrap() > 0, "what came is billed: {row}");
    }
    let (events, row) = scene.events(&json!([{"error_after": 1}, {"tokens": 3}]));
    assert!(events.done() && events.error().is_none(), "before the first text another try answers: {events:?}");
    assert_eq!(row["attempts"], 2);
    for (kind, status, code, sent) in
        [("validationException", 400, "invalid_request", 1), ("throttlingException", 429, "rate_limit_exceeded", 2)]
    {
        let marker = marker("bedrock");
        let request = Scene::request(&marker, &json!({"error_after": 1, "type": kind}), true);
        scene.user.post(PATH, &request).expect_openai_error(status, code);
        assert_eq!(scene.rig.seen(&marker)["requests"]["chat"], sent, "{kind}");
    }
}

fn broken(scene: &Scene<'_>) {
    for (behaviour, status) in [
        (json!({"tokens": 20, "cut_after": 6}), "truncated"),
        (json!({"tokens": 20, "eof_after": 6}), "truncated"),
        (json!({"tokens": 20, "cut_after_bytes": 700}), "truncated"),
        (json!({"tokens": 20, "malformed_after": 6}), "truncated"),
        (json!({"tokens": 20, "stall_after": 6}), "timeout"),
    ] {
        let (events, row) = scene.events(&behaviour);
        assert!(events.error().is_some() && !events.done() && !events.text().is_empty(), "{behaviour}: {events:?}");
        assert_eq!((&row["status"], &row["attempts"]), (&json!(status), &json!(1)), "{behaviour}: {row}");
    }
    let (events, row) = scene.events(&json!({"tokens": 3, "no_done": true}));
    assert!(events.complete && events.error().is_none(), "only the usage is missing: {events:?}");
    assert_eq!((&row["status"], &row["usage_source"]), (&json!("success"), &json!("estimated")), "{row}");
}

fn hang_up(scene: &Scene<'_>) {
    let (stream, marker) = scene.open(&json!({"tokens": 400, "interval_ms": 20}));
    let id = stream.request_id();
    stream.read_then_hang_up(6);
    wait_until("the provider sees the cancellation", || (scene.rig.seen(&marker)["cancelled"] == 1).then_some(()));
    let row = scene.rig.usage_row(&id);
    assert_eq!((&row["status"], &row["usage_source"]), (&json!("client_closed"), &json!("estimated")), "{row}");
}
