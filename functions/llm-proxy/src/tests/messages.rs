use super::*;

const PATH: &str = "/v1/messages";
const REQUEST: &str =
    r#"{"model":"claude","max_tokens":9,"messages":[{"role":"user","content":"hello there"}],"stream":true}"#;

const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x-1\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":10,\"cache_creation_input_tokens\":20,\"cache_read_input_tokens\":30,\"output_tokens\":1}}}\n\n";
const BLOCK: &str = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n";
const HELLO: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello é🦀\"}}\n\n";
const TOOL: &str = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"f\",\"input\":{}}}\n\n";
const DELTA: &str = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":7}}\n\n";
const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const OVERLOADED: &str =
    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"secret\"}}\n\n";

fn scene() -> Scene {
    Scene::with(&[("ANTHROPIC_API_KEY", KEY), ("ANTHROPIC_BASE_URL", "http://simulator.test")])
}

fn relayed(parts: &[&str]) -> (String, Value) {
    let parts: Vec<_> = parts.iter().map(|part| part.as_bytes()).collect();
    scene().relay(PATH, REQUEST, &parts)
}

fn fields(event: &Value) -> Value {
    let names =
        ["status", "input_tokens", "output_tokens", "cached_input_tokens", "usage_source", "finish_reason", "model"];
    names.iter().map(|name| event[*name].clone()).collect()
}

fn error_of(relayed: &str, before: &str) -> Value {
    let event = relayed.strip_prefix(before).unwrap().strip_prefix("event: error\ndata: ").unwrap();
    serde_json::from_str(event).unwrap()
}

/// A problem as the caller sees it.
fn told(problem: Problem) -> (u16, Value) {
    let response = problem.into_response(Dialect::Anthropic, "request-1");
    (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
}

#[test]
fn a_message_passes_unchanged_with_the_headers_that_choose_its_version() {
    let whole = r#"{ "id":"msg_1","type":"message","role":"assistant","model":"claude-x-1","content":[{"type":"text","text":"Hi."}],"stop_reason":"end_turn","usage":{"input_tokens":10,"cache_creation_input_tokens":20,"cache_read_input_tokens":30,"output_tokens":7},"container":null}"#;
    let scene = scene();
    scene.provider_json(whole);
    let body = r#"{"max_tokens":9,"model":"claude","thinking":{"type":"disabled"},"messages":[{"role":"user","content":"hi"}]}"#;
    let mut request = post_to(PATH, body);
    for (name, value) in [
        ("anthropic-version", "2024-02-29"),
        ("anthropic-beta", "files-api-2025-04-14"),
        ("x-api-key", "qlp_live_x"),
        ("anthropic-dangerous-direct-browser-access", "true"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let answer = scene.call(request).unwrap();
    // 30 fresh tokens, 30 from the cache, 7 of output.
    assert_eq!(answer.headers()["x-qlp-cost-usd"], "0.00001095");
    assert_eq!(text(&scene, answer), whole);
    let sent = scene.sent();
    assert_eq!(sent.text(), body.replace("claude", "claude-x"));
    assert_eq!(sent.uri, "http://simulator.test/v1/messages");
    let names = ["anthropic-version", "anthropic-beta", "x-api-key", "anthropic-dangerous-direct-browser-access"];
    assert_eq!(
        names.map(|name| sent.header(name)),
        [Some("2024-02-29"), Some("files-api-2025-04-14"), Some(KEY), None]
    );
    assert_eq!(fields(&scene.event()), json!(["success", 60, 7, 30, "provider", "end_turn", "claude-x-1"]));
}

/// What was written into the cache for an hour is told at the start only; 10 tokens are fresh, 30 from the cache, 7 of output.
#[test]
fn what_was_written_for_an_hour_is_counted_and_is_not_more_than_all() {
    const HOUR: &str = r#"{"ephemeral_5m_input_tokens":5,"ephemeral_1h_input_tokens":15}"#;
    let written = |told: &str| format!(r#""cache_creation_input_tokens":20,"cache_creation":{told}"#);
    let start = |told: &str| START.replace(r#""cache_creation_input_tokens":20"#, &written(told));
    let all = DELTA.replace(r#""usage":{"#, r#""usage":{"input_tokens":10,"cache_creation_input_tokens":20,"#);
    let later = DELTA.replace(r#""usage":{"#, &format!(r#""usage":{{"input_tokens":10,{},"#, written(HOUR)));
    for (start, delta, hour) in [
        (start(HOUR), DELTA, 15),
        (start(HOUR), &all, 15),
        (START.to_owned(), &later, 15),
        (start(r#"{"ephemeral_1h_input_tokens":99}"#), DELTA, 20),
        (start(r#"{"ephemeral_1h_input_tokens":-1}"#), &all, 0),
        (start(r#"{"ephemeral_1h_input_tokens":18446744073709551615}"#), &all, 20),
        (start("null"), &all, 0),
        (start("7"), &all, 0),
    ] {
        let (_, event) = relayed(&[&start, BLOCK, HELLO, delta, STOP]);
        let counts = (&event["cache_write_tokens"], &event["cache_write_1h_tokens"], &event["usage_source"]);
        assert_eq!(counts, (&json!(20), &json!(hour), &json!("provider")), "{start} {delta}");
    }
}

#[test]
fn wherever_the_network_splits_a_stream_the_same_bytes_and_usage_come_out() {
    let plain = [START, BLOCK, HELLO, TOOL, DELTA, STOP].concat();
    let others = [plain.replace('\n', "\r\n"), plain.replace("data: ", "data:")];
    for (stream, every) in others.into_iter().map(|stream| (stream, 7)).chain([(plain, 1)]) {
        for at in (0..=stream.len()).step_by(every) {
            let (head, tail) = stream.as_bytes().split_at(at);
            let (relayed, event) = scene().relay(PATH, REQUEST, &[head, tail]);
            assert_eq!(relayed, stream, "split at {at}");
            assert_eq!(fields(&event), json!(["success", 60, 7, 30, "provider", "end_turn", "claude-x-1"]));
        }
    }
}

#[test]
fn an_end_after_the_reason_to_stop_is_complete() {
    let (relayed, event) = relayed(&[START, HELLO, DELTA]);
    assert_eq!((relayed, event["status"].as_str()), ([START, HELLO, DELTA].concat(), Some("success")));
}

#[test]
fn a_last_report_that_counts_all_takes_the_place_of_the_first() {
    let all = DELTA.replace("\"output_tokens\"", "\"input_tokens\":11,\"cache_read_input_tokens\":1,\"output_tokens\"");
    assert_eq!(fields(&relayed(&[START, HELLO, &all, STOP]).1)[1], 12);
}

#[test]
fn a_stream_that_breaks_ends_with_an_error_of_its_kind_and_what_came_is_billed() {
    let begun = [START, BLOCK, HELLO].concat();
    for (bad, kind, status) in [
        ("", "api_error", "truncated"),
        (&DELTA[..40], "api_error", "truncated"),
        (OVERLOADED, "overloaded_error", "upstream_error"),
        ("data: {\n\n", "api_error", "upstream_error"),
    ] {
        let (relayed, event) = relayed(&[START, BLOCK, HELLO, bad]);
        let error = error_of(&relayed, &begun);
        assert_eq!((&error["type"], &error["error"]["type"]), (&json!("error"), &json!(kind)));
        assert_eq!(error["request_id"], "request-1");
        assert!(!relayed.contains("secret") && !relayed.contains("message_stop"));
        // The input was told at the start; the output is estimated.
        assert_eq!(fields(&event), json!([status, 60, 3, 30, "estimated", null, "claude-x-1"]));
    }
}

#[test]
fn an_overloaded_provider_is_tried_again_before_the_first_text() {
    let (scene, calls) = (scene(), std::sync::atomic::AtomicUsize::new(0));
    scene.provider(move || {
        let first = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        let rest = if first { [OVERLOADED, ""] } else { [HELLO, STOP] };
        Ok(response(200, "text/event-stream", [START, BLOCK, &rest.concat()].concat()))
    });
    let answer = scene.ask(PATH, REQUEST).unwrap();
    assert_eq!(answer.headers()["x-qlp-attempts"], "2");
    assert_eq!(text(&scene, answer), [START, BLOCK, HELLO, STOP].concat());
}

#[test]
fn a_tool_that_has_been_called_is_a_beginning() {
    let (relayed, _) = relayed(&[START, TOOL]);
    assert_eq!(error_of(&relayed, &[START, TOOL].concat())["error"]["type"], "api_error");
}

#[test]
fn a_caller_without_a_version_has_one_and_an_overload_is_a_503() {
    let scene = scene();
    scene.provider_json("{}");
    let _ = scene.ask(PATH, r#"{"model":"claude","messages":[1]}"#);
    let sent = scene.host.http.requests().into_iter().find(|sent| sent.uri.host() == Some("simulator.test")).unwrap();
    assert_eq!(sent.header("anthropic-version"), Some("2023-06-01"));
    scene.provider(|| Ok(response(529, "application/json", "{}")));
    let (status, body) = told(scene.ask(PATH, r#"{"model":"claude","messages":[1]}"#).unwrap_err());
    assert_eq!((status, body["error"]["type"].as_str()), (503, Some("overloaded_error")));
}

#[test]
fn what_is_no_message_is_502() {
    for body in ["{}", r#"{"type":"error","error":{"type":"api_error","message":"secret"}}"#, r#"{"content":"x"}"#] {
        let scene = scene();
        scene.provider_json(body);
        let problem = scene.ask(PATH, &REQUEST.replace("true", "false")).unwrap_err();
        assert_eq!(told(problem).0, 502, "{body}");
    }
}

#[test]
fn errors_have_anthropics_shape_wherever_they_come_from() {
    let scene = scene();
    let error = r#"{"type":"error","error":{"type":"rate_limit_error","message":"org-9 is over its limit"}}"#;
    scene.provider(move || Ok(response(429, "application/json", error)));
    let answer = scene.ask(PATH, REQUEST).unwrap();
    assert_eq!(answer.status(), 429);
    let body: Value = serde_json::from_str(&text(&scene, answer)).unwrap();
    assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!("rate_limit_error")));
    assert!(!body.to_string().contains("org-9") && body["error"].get("code").is_none());
    let refused = scene.ask(PATH, r#"{"model":"claude","messages":[]}"#).unwrap_err();
    assert_eq!(told(refused).1["error"]["type"], "invalid_request_error");
}

#[test]
fn a_model_is_only_where_a_provider_of_it_is() {
    let base = ("TOGETHER_BASE_URL", "http://simulator.test/v1");
    let scene = Scene::with(&[("ANTHROPIC_API_KEY", KEY), ("TOGETHER_API_KEY", KEY), base]);
    scene.provider_json("{}");
    for (path, model, body, elsewhere) in [
        ("/v1/responses", "elsewhere", r#""input":"x""#, "`/v1/chat/completions` or `/v1/embeddings`"),
        (PATH, "elsewhere", r#""messages":[1]"#, "`/v1/chat/completions` or `/v1/embeddings`"),
        ("/v1/embeddings", "claude", r#""input":"x""#, "`/v1/chat/completions` or `/v1/messages`"),
        ("/v1/responses", "claude", r#""input":"x""#, "`/v1/chat/completions` or `/v1/messages`"),
    ] {
        let problem = scene.ask(path, &format!(r#"{{"model":"{model}",{body}}}"#)).unwrap_err();
        let (status, _, error) = refused(problem);
        assert_eq!((status, error["param"].as_str()), (400, Some("model")));
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(elsewhere) && message.contains(&format!("`{path}`")), "{message}");
    }
    let problem = scene.ask(PATH, r#"{"model":"nothing","messages":[1]}"#).unwrap_err();
    assert_eq!(told(problem).1["error"]["type"], "not_found_error");
    assert_eq!(scene.sent_count() + scene.events().len(), 0);
}
