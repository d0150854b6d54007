//! Calls that Bedrock answers: its answers are constructed, AWS itself has not been called.

use super::*;

const REQUEST: &str = r#"{"model":"claude","messages":[{"role":"user","content":"Hi"}],"max_tokens":10}"#;
const ANSWER: &str = r#"{"output":{"message":{"role":"assistant","content":[{"text":"Hello."}]}},"stopReason":"end_turn","usage":{"inputTokens":10,"outputTokens":4,"totalTokens":1014,"cacheReadInputTokens":900,"cacheWriteInputTokens":100}}"#;

/// A model on Bedrock and, as its fallback, on the simulator.
fn scene(bedrock: impl Fn() -> Response + Send + Sync + 'static) -> Scene {
    let scene = Scene::with(&[("AWS_BEARER_TOKEN_BEDROCK", "b-key"), ("AWS_REGION", "us-east-1")]);
    let route = |provider: &str| json!({"provider": provider, "model": "anthropic.claude-v1:0", "input_nano_usd": 150, "output_nano_usd": 600, "cached_input_nano_usd": 75});
    let models = json!({"models": [
        {"alias": "claude", "created": 1_700_000_000, "owned_by": "qlp", "routes": [route("bedrock"), route("simulator")]},
    ]});
    scene.database.lock().unwrap().models = models;
    let database = Arc::clone(&scene.database);
    scene.host.http.handle(move |request| {
        let answer = match request.uri().host() {
            Some("project.test") => database.lock().unwrap().answer(request),
            Some("bedrock-runtime.us-east-1.amazonaws.com") => Ok(bedrock()),
            _ => Ok(response(
                200,
                "application/json",
                r#"{"model":"m-2","choices":[{"message":{"content":"Hi."},"finish_reason":"stop"}]}"#,
            )),
        };
        async move { answer }
    });
    scene
}

fn provider(answer: &Response) -> &str {
    answer.headers()["x-qlp-provider"].to_str().unwrap()
}

#[test]
fn a_whole_answer_is_openais_and_its_cached_tokens_are_accounted_for() {
    let scene = scene(|| response(200, "application/json", ANSWER));
    let answer = scene.complete(REQUEST).unwrap();
    assert_eq!(provider(&answer), "bedrock");
    let body: Value = serde_json::from_str(&text(&scene, answer)).unwrap();
    assert_eq!(body["choices"][0]["message"]["content"], "Hello.");
    assert_eq!((&body["model"], &body["object"]), (&json!("anthropic.claude-v1:0"), &json!("chat.completion")));
    let event = scene.event();
    assert_eq!(body["id"], format!("chatcmpl-{}", event["id"].as_str().unwrap().replace('-', "")));
    assert_eq!((&event["input_tokens"], &event["cached_input_tokens"]), (&json!(1_010), &json!(900)));
    assert_eq!((&event["output_tokens"], &event["usage_source"]), (&json!(4), &json!("provider")));
}

#[test]
fn what_bedrock_cannot_do_another_route_may_and_nobody_is_blamed() {
    let scene = scene(|| response(200, "application/json", ANSWER));
    let wants_seed = REQUEST.replace("\"max_tokens\"", "\"seed\":7,\"max_tokens\"");
    for _ in 0..10 {
        assert_eq!(provider(&scene.complete(&wants_seed).unwrap()), "simulator");
    }
    assert_eq!(provider(&scene.complete(REQUEST).unwrap()), "bedrock", "its route has not been left alone");
}

#[test]
fn without_another_route_the_caller_is_told_what_to_change() {
    let scene = scene(|| response(200, "application/json", ANSWER));
    scene.database.lock().unwrap().models["models"][0]["routes"].as_array_mut().unwrap().truncate(1);
    let (status, _, error) =
        refused(scene.complete(&REQUEST.replace("\"max_tokens\"", "\"n\":2,\"max_tokens\"")).unwrap_err());
    assert_eq!((status, &error["param"]), (400, &json!("n")));
    assert_eq!(scene.calls_to("/converse"), 0);
}

#[test]
fn a_refusal_comes_back_in_openais_shape() {
    let scene = scene(|| {
        let mut answer = response(400, "application/json", r#"{"message":"Input is too long for requested model."}"#);
        answer.headers_mut().insert("x-amzn-errortype", "ValidationException".parse().unwrap());
        answer
    });
    let answer = scene.complete(REQUEST).unwrap();
    assert_eq!((answer.status().as_u16(), provider(&answer)), (400, "bedrock"));
    let body: Value = serde_json::from_str(&text(&scene, answer)).unwrap();
    assert_eq!(body["error"]["code"], "context_length_exceeded");
}

#[test]
fn throttling_is_tried_again() {
    let calls = Mutex::new(0);
    let scene = scene(move || {
        let mut calls = calls.lock().unwrap();
        *calls += 1;
        if *calls == 1 { response(429, "application/json", "{}") } else { response(200, "application/json", ANSWER) }
    });
    let answer = scene.complete(REQUEST).unwrap();
    assert_eq!((provider(&answer), answer.headers()["x-qlp-attempts"].to_str().unwrap()), ("bedrock", "2"));
}
