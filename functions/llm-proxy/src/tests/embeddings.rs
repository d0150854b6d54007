use super::*;

const PATH: &str = "/v1/embeddings";
const LIST: &str = r#"{ "object":"list","data":[{"object":"embedding","index":0,"embedding":"AACAPw=="}],"model":"sim/embed","usage":{"prompt_tokens":4,"total_tokens":4},"x":null}"#;

#[test]
fn vectors_pass_unchanged_and_leave_an_event_of_their_operation() {
    let scene = Scene::new();
    scene.provider_json(LIST);
    let body = r#"{"input":["a b",[1,2]],"encoding_format":"base64","model":"default","stream":true}"#;
    let answer = scene.ask(PATH, body).unwrap();
    assert_eq!(answer.headers()["x-qlp-cost-usd"], "0.0000006");
    assert_eq!(text(&scene, answer), LIST);
    let sent = scene.sent();
    assert_eq!(sent.uri, "http://simulator.test/v1/embeddings");
    assert_eq!(sent.text(), body.replace("default", "sim/large"));
    assert_eq!(sent.header("accept"), Some("application/json"));
    let event = scene.event();
    for (name, expected) in [
        ("operation", json!("embeddings")),
        ("model", json!("sim/embed")),
        ("stream", json!(false)),
        ("status", json!("success")),
        ("input_tokens", json!(4)),
        ("output_tokens", json!(0)),
        ("usage_source", json!("provider")),
        ("finish_reason", Value::Null),
        ("time_to_first_token_ms", Value::Null),
    ] {
        assert_eq!(event[name], expected, "{name}");
    }
}

#[test]
fn without_usage_tokens_are_counted_and_texts_estimated() {
    for (input, tokens) in [(r#""eight by""#, 2), ("[11,22,33]", 3), ("[[1],[2,3]]", 3)] {
        let scene = Scene::new();
        scene.provider_json(r#"{"data":[]}"#);
        scene.ask(PATH, &format!(r#"{{"model":"default","input":{input}}}"#)).unwrap();
        let event = scene.event();
        assert_eq!(
            (&event["input_tokens"], &event["output_tokens"], &event["usage_source"]),
            (&json!(tokens), &json!(0), &json!("estimated"))
        );
    }
}

#[test]
fn what_is_no_list_of_vectors_is_502_after_another_try() {
    let scene = Scene::new();
    scene.provider_json(r#"{"choices":[]}"#);
    let (status, _, error) = refused(scene.ask(PATH, r#"{"model":"default","input":"x"}"#).unwrap_err());
    assert_eq!((status, error["code"].as_str()), (502, Some("upstream_failed")));
    assert_eq!(scene.sent_count(), 2);
}
