use conformance::{Answer, Rig};
use serde_json::{Value, json};

super::list![
    a_body_that_is_not_json_says_where_reading_stopped,
    a_body_that_is_not_utf8_says_at_which_byte,
    wrong_types_are_refused_with_the_openai_param,
    a_missing_model_or_messages_is_refused,
    an_unknown_model_is_refused_by_name,
    another_media_type_is_refused,
    an_oversized_body_is_refused,
    duplicate_members_are_refused,
    a_deeply_nested_body_is_refused,
    unusual_header_values_do_no_harm,
    query_parameters_of_usage_are_checked,
];

const PATH: &str = "/v1/chat/completions";

fn post(rig: &Rig, body: impl Into<Vec<u8>>) -> Answer {
    rig.user().send("POST", PATH, &[("content-type", "application/json")], Some(body.into()))
}

fn a_body_that_is_not_json_says_where_reading_stopped(rig: &Rig) {
    for body in ["", "{", "nonsense", "{\"model\": }", "[]x", "{} {}", "\u{feff}{}"] {
        let error = post(rig, body).expect(400).json()["error"].clone();
        assert_eq!(error["type"], "invalid_request_error", "{body:?}");
    }
    let error = post(rig, "{\n \"model\": }").expect_openai_error(400, "malformed_body");
    assert!(error["message"].as_str().unwrap().contains("line 2, column 11"), "{error}");
}

fn a_body_that_is_not_utf8_says_at_which_byte(rig: &Rig) {
    let error = post(rig, b"{\"model\": \"\xff\"}".to_vec()).expect_openai_error(400, "malformed_body");
    assert!(error["message"].as_str().unwrap().contains("byte 11"), "{error}");
}

fn wrong_types_are_refused_with_the_openai_param(rig: &Rig) {
    let message = json!([{"role": "user", "content": "x"}]);
    let cases = [
        (json!({"model": 7, "messages": message}), "model"),
        (json!({"model": "", "messages": message}), "model"),
        (json!({"model": null, "messages": message}), "model"),
        (json!({"model": "default", "messages": "hello"}), "messages"),
        (json!({"model": "default", "messages": []}), "messages"),
        (json!({"model": "default", "messages": message, "stream": "yes"}), "stream"),
        (json!({"model": "default", "messages": message, "stream": true, "stream_options": 1}), "stream_options"),
    ];
    for (body, param) in cases {
        let error = post(rig, body.to_string()).expect_openai_error(400, "invalid_request");
        assert_eq!(error["param"], param, "{error}");
    }
    for body in ["7", "[]", "null", "\"text\""] {
        post(rig, body).expect(400);
    }
}

fn a_missing_model_or_messages_is_refused(rig: &Rig) {
    let error =
        post(rig, r#"{"messages": [{"role": "user", "content": "x"}]}"#).expect_openai_error(400, "invalid_request");
    assert_eq!(error["param"], "model");
    let error = post(rig, r#"{"model": "default"}"#).expect_openai_error(400, "invalid_request");
    assert_eq!(error["param"], "messages");
}

fn an_unknown_model_is_refused_by_name(rig: &Rig) {
    let body = json!({"model": "no-such-model", "messages": [{"role": "user", "content": "x"}]});
    let error = post(rig, body.to_string()).expect_openai_error(404, "model_not_found");
    assert_eq!(error["param"], "model");
    assert!(error["message"].as_str().unwrap().contains("no-such-model"), "{error}");
}

fn another_media_type_is_refused(rig: &Rig) {
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        let answer = rig.user().send("POST", PATH, &[("content-type", media_type)], Some(b"{}".to_vec()));
        answer.expect_openai_error(415, "unsupported_media_type");
    }
}

fn an_oversized_body_is_refused(rig: &Rig) {
    let text = "x".repeat(5 << 20);
    let body = json!({"model": "default", "messages": [{"role": "user", "content": text}]});
    post(rig, body.to_string()).expect_openai_error(413, "body_too_large");
    let login = json!({"email": text, "password": "x"});
    rig.edge.post("/auth/login", &login).expect_problem(413, "body-too-large");
}

fn duplicate_members_are_refused(rig: &Rig) {
    let body = r#"{"model": "default", "model": "other", "messages": [{"role": "user", "content": "x"}]}"#;
    assert_eq!(post(rig, body).expect_openai_error(400, "invalid_request")["param"], "model");
}

fn a_deeply_nested_body_is_refused(rig: &Rig) {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let body = format!(r#"{{"model": "default", "messages": [{{"role": "user", "content": {deep}}}]}}"#);
    post(rig, body).expect(400);
    rig.edge.get("/healthz").expect(200);
}

fn unusual_header_values_do_no_harm(rig: &Rig) {
    let headers = [
        ("content-type", "application/json"),
        ("x-custom", "ümläut"),
        ("accept-language", "\u{7f}".trim_end_matches('\u{7f}')),
        ("traceparent", "00-nonsense"),
        ("x-forwarded-for", "1.2.3.4, evil"),
        ("cookie", "a=b; c"),
    ];
    rig.edge.send("GET", "/healthz", &headers, None).expect(200);
}

fn query_parameters_of_usage_are_checked(rig: &Rig) {
    for (query, pointer) in [("from=yesterday", "from"), ("to=2026-13-01", "to"), ("group_by=colour", "group_by")] {
        let problem: Value = rig.user().get(&format!("/v1/usage?{query}")).expect_problem(400, "invalid-request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
}
