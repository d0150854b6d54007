//! Providers whose protocol is not OpenAI's, or not quite, played by the simulator.

use conformance::{Answer, Client, EventStream, Events, Rig, marker, wait_until};
use local_stack::Edge;
use serde_json::{Value, json};

super::list![
    azure_answers_in_openais_words,
    anthropic_answers_in_openais_words,
    one_dialect_takes_over_for_another,
    what_anthropic_cannot_be_asked_is_asked_elsewhere,
];

const PATH: &str = "/v1/chat/completions";
const TEXT: &str = "naïve café — 日本語 😀 done";

/// A provider, and how its dialect tells that 40 of 43 tokens were cached and 5 produced.
struct Dialect {
    provider: &'static str,
    path: &'static str,
    key: &'static str,
    usage: fn() -> Value,
    cost: u64,
}

const AZURE: Dialect = Dialect {
    provider: "azure",
    path: "/azure/openai/v1/chat/completions",
    key: "api-key",
    usage: || json!({"prompt_tokens": 43, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 40}}),
    cost: 3 * 150 + 40 * 75 + 5 * 600,
};

const ANTHROPIC: Dialect = Dialect {
    provider: "anthropic",
    path: "/anthropic/v1/messages",
    key: "x-api-key",
    usage: || json!({"input_tokens": 3, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 0, "output_tokens": 5}),
    cost: 3 * 1_000 + 40 * 100 + 5 * 5_000,
};

/// An edge with these providers, and its user.
struct Scene<'a> {
    rig: &'a Rig,
    edge: Edge,
    user: Client,
}

impl<'a> Scene<'a> {
    /// The first of `providers` comes first; the simulator itself is the last if it is there.
    fn new(rig: &'a Rig, providers: &[&str], simulator: bool) -> Self {
        let url = &rig.stack.simulator.as_ref().unwrap().url;
        let key = super::SETTINGS.iter().find(|(name, _)| *name == "LLM_SIMULATOR_API_KEY").unwrap().1;
        let mut variables = Vec::new();
        if providers.contains(&"azure") {
            variables.push(("AZURE_OPENAI_ENDPOINT", format!("{url}/azure")));
            variables.push(("AZURE_OPENAI_API_KEY", key.to_owned()));
        }
        if providers.contains(&"anthropic") {
            variables.push(("ANTHROPIC_BASE_URL", format!("{url}/anthropic")));
            variables.push(("ANTHROPIC_API_KEY", key.to_owned()));
        }
        if !simulator {
            variables.push(("LLM_SIMULATOR_URL", String::new()));
        }
        let variables: Vec<_> = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let edge = rig.edge_with(&variables);
        let user = Client::new(&edge.url).bearer(&rig.stack.demo.access_token);
        Self { rig, edge, user }
    }

    fn call(&self, body: &Value) -> Answer {
        self.user.post(PATH, body)
    }

    fn stream(&self, body: &Value) -> EventStream {
        let stream = EventStream::post(&self.edge.url, PATH, &self.rig.stack.demo.access_token, body);
        assert_eq!(stream.status, 200, "{body}: {}", stream.head);
        stream
    }

    fn events(&self, behaviour: &Value) -> (Events, Value) {
        let stream = self.stream(&request(&marker("providers"), behaviour, true));
        let id = stream.request_id();
        let events = stream.read_to_end();
        (events, self.rig.usage_row(&id))
    }
}

/// A request whose behaviour is read in every dialect: Anthropic's has only the user.
fn request(marker: &str, behaviour: &Value, stream: bool) -> Value {
    let mut body = Rig::chat(marker, behaviour, stream);
    body["user"] = json!(json!({"marker": marker, "sim": behaviour}).to_string());
    body
}

fn azure_answers_in_openais_words(rig: &Rig) {
    let scene = Scene::new(rig, &["azure"], false);
    answers_in_openais_words(&scene, &AZURE);
    let answer = scene.call(&request(&marker("filter"), &json!({"status": 400, "code": "content_filter"}), false));
    answer.expect_openai_error(400, "content_filter");
    let (events, row) = scene.events(&json!({"tokens": 4, "azure": true}));
    let chunks = events.chunks();
    assert!(chunks[0]["prompt_filter_results"].is_array(), "{events:?}");
    assert!(chunks.iter().any(|chunk| chunk["choices"][0]["content_filter_offsets"].is_object()), "{events:?}");
    assert!(events.done() && events.error().is_none(), "{events:?}");
    assert_eq!(row["output_tokens"], 4);
}

fn anthropic_answers_in_openais_words(rig: &Rig) {
    let scene = Scene::new(rig, &["anthropic"], false);
    answers_in_openais_words(&scene, &ANTHROPIC);
    an_hour_in_the_cache(&scene);
    let marker = marker("overloaded");
    let answer =
        scene.call(&request(&marker, &json!([{"status": 529}, {"reasoning": 3, "tokens": 4}]), false)).expect(200);
    assert_eq!(answer.header("x-qlp-attempts"), "2");
    assert!(!answer.json()["choices"][0]["message"]["reasoning_content"].as_str().unwrap().is_empty());
}

/// A million tokens cost $1 fresh, $1.25 written into the cache, $2 written into it for an hour, and $5 of output.
fn an_hour_in_the_cache(scene: &Scene<'_>) {
    let written = json!({"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 60});
    let usage =
        json!({"input_tokens": 10, "cache_creation_input_tokens": 100, "cache_creation": written, "output_tokens": 5});
    let behaviour = json!({"tokens": 5, "usage": usage});
    let answer = scene.call(&request(&marker("hour"), &behaviour, false)).expect(200);
    let told = answer.json()["usage"]["prompt_tokens_details"].clone();
    assert_eq!((&told["cache_write_tokens"], &told["cache_write_1h_tokens"]), (&json!(100), &json!(60)), "{told}");
    let mut rows = vec![scene.rig.usage_row(answer.header("x-request-id")), scene.events(&behaviour).1];
    for stream in [false, true] {
        let mut body = Rig::chat("", &json!({}), stream);
        body["max_tokens"] = json!(500);
        body["metadata"] =
            json!({"user_id": json!({"marker": marker("hour"), "sim": behaviour.to_string()}).to_string()});
        let answer = scene.user.post("/v1/messages", &body).expect(200);
        rows.push(scene.rig.usage_row(answer.header("x-request-id")));
    }
    for row in rows {
        let tokens = ["input_tokens", "cache_write_tokens", "cache_write_1h_tokens"].map(|name| row[name].clone());
        assert_eq!(tokens, [json!(110), json!(100), json!(60)], "{row}");
        assert_eq!(row["cost_nano_usd"], 10 * 1_000 + 40 * 1_250 + 60 * 2_000 + 5 * 5_000, "{row}");
    }
}

fn answers_in_openais_words(scene: &Scene<'_>, dialect: &Dialect) {
    a_completion(scene, dialect);
    a_stream(scene, dialect);
    parallel_tools(scene);
    an_error_and_a_credential(scene);
    breaks_in_the_middle(scene);
    hanging_up(scene);
}

fn a_completion(scene: &Scene<'_>, dialect: &Dialect) {
    let marker = marker("whole");
    let answer = scene.call(&request(&marker, &json!({"text": TEXT, "usage": (dialect.usage)()}), false)).expect(200);
    let body = answer.json();
    assert_eq!((&body["object"], &body["choices"][0]["message"]["content"]), (&json!("chat.completion"), &json!(TEXT)));
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!((&body["usage"]["prompt_tokens"], &body["usage"]["completion_tokens"]), (&json!(43), &json!(5)));
    assert_eq!(answer.header("x-qlp-provider"), dialect.provider);
    assert!(answer.header("x-upstream-request-id").starts_with("req_"));
    let row = scene.rig.usage_row(answer.header("x-request-id"));
    assert_eq!((&row["provider"], &row["usage_source"]), (&json!(dialect.provider), &json!("provider")), "{row}");
    assert_eq!(
        (&row["input_tokens"], &row["cached_input_tokens"], &row["output_tokens"], &row["cost_nano_usd"]),
        (&json!(43), &json!(40), &json!(5), &json!(dialect.cost))
    );
    let seen = scene.rig.simulator().get(&format!("/__sim/requests?marker={marker}"));
    let sent = &seen["requests"][0];
    assert_eq!(sent["target"], dialect.path);
    let names: Vec<_> = sent["headers"].as_array().unwrap().iter().map(|header| header[0].as_str().unwrap()).collect();
    assert!(names.contains(&dialect.key) && !names.contains(&"authorization"), "{names:?}");
}

fn a_stream(scene: &Scene<'_>, dialect: &Dialect) {
    let splits = [
        json!({}),
        json!({"split_every": 7, "write_gap_ms": 0}),
        json!({"split_utf8": true}),
        json!({"comments": true}),
    ];
    for mut behaviour in splits {
        behaviour["text"] = json!(TEXT);
        behaviour["usage"] = (dialect.usage)();
        let mut body = request(&marker("stream"), &behaviour, true);
        body["stream_options"] = json!({"include_usage": true});
        let events = scene.stream(&body).read_to_end();
        assert!(events.complete && events.done() && events.error().is_none(), "{behaviour}: {events:?}");
        assert_eq!(events.text(), TEXT, "{behaviour}");
        let chunks = events.chunks();
        let roles = chunks.iter().filter(|chunk| chunk["choices"][0]["delta"]["role"].is_string());
        assert_eq!(roles.count(), 1, "{behaviour}");
        let usage = chunks.last().unwrap();
        assert_eq!((&usage["choices"], &usage["usage"]["prompt_tokens"]), (&json!([]), &json!(43)), "{behaviour}");
    }
    let (events, row) = scene.events(&json!({"tokens": 3, "usage": (dialect.usage)()}));
    assert!(events.chunks().iter().all(|chunk| !chunk["usage"].is_object()), "nobody asked: {events:?}");
    assert_eq!((&row["input_tokens"], &row["cached_input_tokens"]), (&json!(43), &json!(40)), "{row}");
}

fn parallel_tools(scene: &Scene<'_>) {
    let tool = |name: &str, properties: Value| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": properties}}});
    let mut body = request(&marker("tools"), &json!({"tool_calls": 2}), true);
    body["tools"] = json!([tool("weather", json!({"city": {"type": "string"}})), tool("time", json!({}))]);
    let events = scene.stream(&body).read_to_end();
    let chunks = events.chunks();
    let calls =
        || chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0]).filter(|call| call.is_object());
    let begun: Vec<_> =
        calls().filter(|call| call["id"].is_string()).map(|call| (&call["index"], &call["function"]["name"])).collect();
    assert_eq!(begun, [(&json!(0), &json!("weather")), (&json!(1), &json!("time"))]);
    let arguments = |index: u64| -> String {
        let parts = calls().filter(|call| call["index"] == index);
        parts.filter_map(|call| call["function"]["arguments"].as_str()).collect()
    };
    assert_eq!((arguments(0).as_str(), arguments(1).as_str()), (r#"{"city":"example"}"#, "{}"));
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
    body["stream"] = json!(false);
    let message = scene.call(&body).expect(200).json()["choices"][0]["message"].clone();
    assert_eq!((&message["content"], message["tool_calls"].as_array().unwrap().len()), (&Value::Null, 2));
    let results = message["tool_calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| json!({"role": "tool", "tool_call_id": call["id"], "content": "fine"}));
    let mut conversation = vec![body["messages"][0].clone(), message.clone()];
    conversation.extend(results);
    body["messages"] = json!(conversation);
    scene.call(&body).expect(200);
}

fn an_error_and_a_credential(scene: &Scene<'_>) {
    let long = marker("long");
    let answer = scene.call(&request(&long, &json!({"status": 400, "code": "context_length_exceeded"}), false));
    answer.expect_openai_error(400, "context_length_exceeded");
    assert_eq!(scene.rig.seen(&long)["requests"]["chat"], 1, "a wrong request is sent once");
    let answer =
        scene.call(&request(&marker("credential"), &json!({"status": 401, "message": "key sk-1 of org-2"}), false));
    let error = answer.expect_openai_error(502, "upstream_failed");
    assert!(!error.to_string().contains("org-2"), "{error}");
    let answer = scene.call(&request(&marker("limited"), &json!({"status": 429, "retry_after": 20}), false));
    assert_eq!(answer.header("retry-after"), "20");
    answer.expect_openai_error(429, "rate_limit_exceeded");
}

fn breaks_in_the_middle(scene: &Scene<'_>) {
    for (fault, status) in [
        (json!({"cut_after": 7}), "truncated"),
        (json!({"eof_after": 7}), "truncated"),
        (json!({"stall_after": 7}), "timeout"),
        (json!({"error_after": 7}), "upstream_error"),
        (json!({"malformed_after": 7}), "upstream_error"),
    ] {
        let mut behaviour = fault.clone();
        behaviour["tokens"] = json!(20);
        let (events, row) = scene.events(&behaviour);
        assert!(!events.text().is_empty() && events.error().is_some() && !events.done(), "{fault}: {events:?}");
        assert_eq!((&row["status"], &row["attempts"]), (&json!(status), &json!(1)), "{fault}");
    }
}

fn hanging_up(scene: &Scene<'_>) {
    let marker = marker("hang-up");
    let stream = scene.stream(&request(&marker, &json!({"tokens": 400, "interval_ms": 20}), true));
    let request_id = stream.request_id();
    stream.read_then_hang_up(6);
    let counters = wait_until("the provider sees the cancellation", || {
        let counters = scene.rig.seen(&marker);
        (counters["cancelled"] == 1).then_some(counters)
    });
    assert_eq!(counters["finished"], 0, "{counters}");
    let row = scene.rig.usage_row(&request_id);
    assert_eq!((&row["status"], &row["usage_source"]), (&json!("client_closed"), &json!("estimated")), "{row}");
}

fn one_dialect_takes_over_for_another(rig: &Rig) {
    let scene = Scene::new(rig, &["azure", "anthropic"], false);
    let behaviours = json!([{"status": 500}, {"status": 500}, {"text": TEXT}]);
    let answer = scene.call(&request(&marker("over"), &behaviours, false)).expect(200);
    assert_eq!((answer.header("x-qlp-provider"), answer.header("x-qlp-attempts")), ("anthropic", "3"));
    let body = answer.json();
    assert_eq!(body["choices"][0]["message"]["content"], TEXT);
    let row = rig.usage_row(answer.header("x-request-id"));
    assert_eq!((&row["model"], &row["provider"], &row["attempts"]), (&body["model"], &json!("anthropic"), &json!(3)));
    let cut = json!({"tokens": 9, "cut_after": 1});
    let (events, row) = scene.events(&json!([cut, cut, {"text": TEXT}]));
    assert!(events.done() && events.text() == TEXT, "{events:?}");
    assert_eq!((&row["provider"], &row["attempts"]), (&json!("anthropic"), &json!(3)));
}

fn what_anthropic_cannot_be_asked_is_asked_elsewhere(rig: &Rig) {
    let scene = Scene::new(rig, &["anthropic"], true);
    let ask = |name: &str, value: Value| {
        let mut body = request(&marker("else"), &json!({"tokens": 3}), false);
        body[name] = value;
        scene.call(&body)
    };
    assert_eq!(ask("max_tokens", json!(5)).expect(200).header("x-qlp-provider"), "anthropic");
    let answer = ask("logprobs", json!(true)).expect(200);
    assert_eq!((answer.header("x-qlp-provider"), answer.header("x-qlp-attempts")), ("simulator", "2"));
}
