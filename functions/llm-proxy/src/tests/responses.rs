use super::*;

const PATH: &str = "/v1/responses";
const REQUEST: &str = r#"{"model":"default","input":"hello there","stream":true}"#;

const CREATED: &str = "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"in_progress\",\"error\":null,\"incomplete_details\":null,\"model\":\"sim/large-0613\",\"output\":[],\"usage\":null}}\n\n";
const ADDED: &str = "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":1,\"output_index\":0,\"item\":{\"id\":\"msg_1\",\"type\":\"message\",\"status\":\"in_progress\",\"role\":\"assistant\",\"content\":[]}}\n\n";
const HELLO: &str = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":2,\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"delta\":\"Hello é🦀\",\"logprobs\":[]}\n\n";
const TOOL: &str = "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":3,\"output_index\":1,\"item\":{\"id\":\"fc_1\",\"type\":\"function_call\",\"name\":\"f\",\"arguments\":\"\",\"call_id\":\"c\"}}\n\n";
const COMPLETED: &str = "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":4,\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"completed\",\"error\":null,\"model\":\"sim/large-0613\",\"output\":[{\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"Hello é🦀\"}]}],\"usage\":{\"input_tokens\":10,\"input_tokens_details\":{\"cached_tokens\":4},\"output_tokens\":2,\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":12}}}\n\n";
const FAILED: &str = "event: response.failed\ndata: {\"type\":\"response.failed\",\"sequence_number\":4,\"response\":{\"id\":\"resp_1\",\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"secret\"},\"output\":[]}}\n\n";
const ERROR: &str = "event: error\ndata: {\"type\":\"error\",\"sequence_number\":4,\"code\":\"rate_limit_exceeded\",\"message\":\"secret\",\"param\":null}\n\n";

fn relayed(parts: &[&str]) -> (String, Value) {
    let parts: Vec<_> = parts.iter().map(|part| part.as_bytes()).collect();
    Scene::new().relay(PATH, REQUEST, &parts)
}

fn fields(event: &Value) -> Value {
    let names =
        ["status", "input_tokens", "output_tokens", "cached_input_tokens", "usage_source", "finish_reason", "model"];
    names.iter().map(|name| event[*name].clone()).collect()
}

/// The data of the error event at the end.
fn error_of(relayed: &str, before: &str) -> Value {
    let event = relayed.strip_prefix(before).unwrap().strip_prefix("event: error\ndata: ").unwrap();
    serde_json::from_str(event).unwrap()
}

#[test]
fn a_response_passes_unchanged() {
    let whole = r#"{ "id":"resp_1","object":"response","status":"incomplete","error":null,"incomplete_details":{"reason":"max_output_tokens"},"model":"sim/large-0613","output":[{"type":"message"}],"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":2},"x":1.50}"#;
    let scene = Scene::new();
    scene.provider_json(whole);
    let body = r#"{"store":false,"input":"hi","model":"default","x_new":{"a":1e0}}"#;
    let answer = scene.ask(PATH, body).unwrap();
    assert_eq!(answer.headers()["x-qlp-cost-usd"], "0.0000024");
    assert_eq!(text(&scene, answer), whole);
    assert_eq!(scene.sent().uri, "http://simulator.test/v1/responses");
    assert_eq!(scene.sent().text(), body.replace("default", "sim/large"));
    let event = scene.event();
    assert_eq!(fields(&event), json!(["success", 10, 2, 4, "provider", "max_output_tokens", "sim/large-0613"]));
    assert_eq!(event["operation"], "chat");
}

#[test]
fn what_is_no_ended_response_is_502() {
    for body in [
        "{}",
        r#"{"status":"failed","error":{"code":"server_error","message":"secret"},"output":[]}"#,
        r#"{"status":"completed","error":null}"#,
        r#"{"status":"in_progress","error":null,"output":[]}"#,
        r#"{"choices":[]}"#,
    ] {
        let scene = Scene::new();
        scene.provider_json(body);
        let (status, _, error) = refused(scene.ask(PATH, r#"{"model":"default","input":"x"}"#).unwrap_err());
        assert_eq!((status, error["code"].as_str()), (502, Some("upstream_failed")), "{body}");
    }
}

#[test]
fn wherever_the_network_splits_a_stream_the_same_bytes_and_usage_come_out() {
    let plain = [CREATED, ADDED, HELLO, TOOL, COMPLETED].concat();
    let others = [plain.replace('\n', "\r\n"), plain.replace("data: ", "data:")];
    for (stream, every) in others.into_iter().map(|stream| (stream, 7)).chain([(plain, 1)]) {
        for at in (0..=stream.len()).step_by(every) {
            let (head, tail) = stream.as_bytes().split_at(at);
            let (relayed, event) = Scene::new().relay(PATH, REQUEST, &[head, tail]);
            assert_eq!(relayed, stream, "split at {at}");
            assert_eq!(fields(&event), json!(["success", 10, 2, 4, "provider", "completed", "sim/large-0613"]));
        }
    }
}

#[test]
fn the_body_of_a_stream_is_the_callers_too() {
    let scene = Scene::new();
    scene.provider_stream().send(COMPLETED);
    scene.ask(PATH, REQUEST).unwrap();
    assert_eq!(scene.sent().text(), REQUEST.replace("default", "sim/large"));
}

#[test]
fn what_comes_before_the_first_text_is_held_back_and_tried_again() {
    for bad in [FAILED, ERROR, "", "data: {\n\n", "event: error\ndata: {\"error\":{\"code\":\"x\"}}\n\n"] {
        let (scene, calls) = (Scene::new(), std::sync::atomic::AtomicUsize::new(0));
        scene.provider(move || {
            let first = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
            let stream =
                if first { [CREATED, ADDED, bad].concat() } else { [CREATED, ADDED, HELLO, COMPLETED].concat() };
            Ok(response(200, "text/event-stream", stream))
        });
        let answer = scene.ask(PATH, REQUEST).unwrap();
        assert_eq!(answer.headers()["x-qlp-attempts"], "2");
        assert_eq!(text(&scene, answer), [CREATED, ADDED, HELLO, COMPLETED].concat());
        assert_eq!(scene.event()["attempts"], 2);
    }
}

#[test]
fn a_tool_that_has_been_called_is_a_beginning() {
    let (relayed, _) = relayed(&[CREATED, TOOL]);
    assert_eq!(error_of(&relayed, &[CREATED, TOOL].concat())["code"], "upstream_failed");
}

#[test]
fn a_stream_that_breaks_after_it_ends_with_an_error_of_its_kind() {
    let begun = [CREATED, ADDED, HELLO].concat();
    for (bad, code, status) in [
        ("", "upstream_failed", "truncated"),
        (&COMPLETED[..60], "upstream_failed", "truncated"),
        (FAILED, "server_error", "upstream_error"),
        (ERROR, "rate_limit_exceeded", "upstream_error"),
        ("data: [DONE]\n\n", "upstream_failed", "upstream_error"),
    ] {
        let (relayed, event) = relayed(&[CREATED, ADDED, HELLO, bad]);
        let error = error_of(&relayed, &begun);
        assert_eq!((&error["type"], &error["code"], &error["param"]), (&json!("error"), &json!(code), &Value::Null));
        assert_eq!((&error["error"]["code"], &error["error"]["message"]), (&json!(code), &error["message"]));
        let last = if bad == FAILED || bad == ERROR { 4 } else { 2 };
        assert_eq!(error["sequence_number"], last + 1);
        assert!(!relayed.contains("secret") && !relayed.contains("response.completed"));
        assert_eq!(fields(&event), json!([status, 3, 3, 0, "estimated", null, "sim/large-0613"]), "{bad}");
    }
}

#[test]
fn hanging_up_is_a_success_only_after_the_last_event() {
    for (parts, status, source) in
        [(vec![CREATED, HELLO], "client_closed", "estimated"), (vec![CREATED, HELLO, COMPLETED], "success", "provider")]
    {
        let scene = Scene::new();
        let provider = scene.provider_stream();
        provider.send(parts.concat());
        let mut stream = scene.ask(PATH, REQUEST).unwrap().into_body().into_stream();
        assert_eq!(scene.run(stream.next()).unwrap().unwrap(), parts.concat());
        drop(stream);
        assert!(provider.is_dropped());
        let event = scene.event();
        assert_eq!((event["status"].as_str(), event["usage_source"].as_str()), (Some(status), Some(source)));
    }
}

#[test]
fn who_does_not_know_responses_is_not_left_alone_elsewhere() {
    let scene = Scene::with(&[("LLM_BREAKER_FAILURES", "1")]);
    scene.provider(|| Ok(response(404, "application/json", "{}")));
    let ask = || scene.ask(PATH, r#"{"model":"default","input":"x"}"#);
    assert_eq!(ask().unwrap().status(), 404);
    assert_eq!(refused(ask().unwrap_err()).0, 503, "it is left alone here");
    scene.provider_json(r#"{"choices":[]}"#);
    assert!(scene.complete(r#"{"model":"default","messages":[1]}"#).is_ok());
}
