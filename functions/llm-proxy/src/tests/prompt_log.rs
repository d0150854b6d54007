use super::*;

const SECRET: &str = "sk-Ab3dEf6hIj9lMn2pQr5tUv8xYz1B";

fn logging() -> Caller {
    let Caller { payer, .. } = caller();
    let member = Member { org: Some(Uuid::from_u128(9)), ..payer.member };
    Caller { payer: Payer { member, logs_prompts: true, ..payer }, ..caller() }
}

fn ask(scene: &Scene, body: &str) -> Result<Response, Problem> {
    scene.run(scene.proxy.route(post(body.to_owned()), logging(), &scene.host.context()))
}

/// The only log, written after the answer.
fn log(scene: &Scene) -> Value {
    scene.run(scene.host.background.run_all());
    let logged = scene.database.lock().unwrap().logged.clone();
    assert_eq!(logged.len(), 1, "{logged:?}");
    logged[0].clone()
}

#[test]
fn a_prompt_and_its_answer_are_kept_without_secrets_under_the_id_of_the_call() {
    let scene = Scene::new();
    scene.provider_json(
        r#"{"model":"m-1","choices":[{"index":0,"message":{"content":"Write to jane@example.com"},"finish_reason":"stop"},{"index":1,"message":{"content":"other"}}]}"#,
    );
    let body = format!(r#"{{"model":"default","messages":[{{"role":"user","content":"My key is {SECRET}."}}]}}"#);
    let answer = ask(&scene, &body).unwrap();
    assert!(text(&scene, answer).contains("jane@example.com"), "the caller gets what the provider said");
    assert!(scene.sent().text().contains(SECRET), "and the provider what the caller said");
    let log = log(&scene);
    assert_eq!(log["prompt"], json!([{"role": "user", "text": "My key is [key]."}]));
    assert_eq!((&log["answer"], &log["is_truncated"]), (&json!("Write to [e-mail]"), &json!(false)));
    let event = scene.event();
    for member in ["id", "org_id", "user_id", "api_key_id", "alias", "provider", "model", "status"] {
        assert_eq!(log[member], event[member], "{member}");
    }
}

#[test]
fn a_secret_is_found_across_the_chunks_of_a_stream() {
    for at in 1..SECRET.len() {
        let scene = Scene::new();
        let stream = scene.provider_stream();
        let (head, tail) = SECRET.split_at(at);
        let chunk =
            |text: &str| format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
        stream.send(Bytes::from(chunk(&format!("it is {head}"))));
        stream.send(Bytes::from(chunk(&format!("{tail}, ok"))));
        stream.send(Bytes::from("data: {\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"));
        drop(stream);
        let answer = ask(&scene, r#"{"model":"default","messages":[{"content":"?"}],"stream":true}"#).unwrap();
        assert!(pieces(&scene, answer).concat().contains(tail));
        assert_eq!(log(&scene)["answer"], "it is [key], ok", "{at}");
    }
}

#[test]
fn nothing_is_kept_unless_the_organization_wants_it() {
    let scene = Scene::new();
    scene.provider_json(r#"{"choices":[]}"#);
    scene.complete(r#"{"model":"default","messages":[1]}"#).unwrap();
    scene.events();
    assert_eq!(scene.calls_to("record_prompt_log"), 0);
}

#[test]
fn what_failed_and_what_was_left_is_kept_as_far_as_it_came() {
    let scene = Scene::new();
    scene.provider(|| Ok(response(400, "application/json", "{}")));
    ask(&scene, r#"{"model":"default","messages":[{"role":"user","content":"x"}]}"#).unwrap();
    let kept = log(&scene);
    assert_eq!((&kept["status"], &kept["answer"]), (&json!("upstream_error"), &json!("")));

    let scene = Scene::new();
    let stream = scene.provider_stream();
    stream.send(Bytes::from("data: {\"choices\":[{\"delta\":{\"content\":\"half\"}}]}\n\n"));
    drop(ask(&scene, r#"{"model":"default","messages":[{"content":"?"}],"stream":true}"#).unwrap());
    let kept = log(&scene);
    assert_eq!((&kept["status"], &kept["answer"]), (&json!("client_closed"), &json!("half")));
}

#[test]
fn a_log_is_bounded_and_says_what_is_missing() {
    let scene = Scene::new();
    let long = "word ".repeat(40_000);
    let answer = format!(r#"{{"choices":[{{"message":{{"content":"{long}"}}}}]}}"#);
    scene.provider(move || Ok(response(200, "application/json", answer.clone())));
    ask(&scene, &format!(r#"{{"model":"default","messages":[{{"role":"user","content":"{long}"}}]}}"#)).unwrap();
    let kept = log(&scene);
    assert_eq!(kept["answer"].as_str().unwrap().len(), 64 * 1024);
    assert_eq!(kept["prompt"][0]["text"].as_str().unwrap().len(), 64 * 1024);
    assert_eq!(kept["is_truncated"], true);
}

#[test]
fn a_database_that_is_away_changes_nothing_of_the_answer() {
    let scene = Scene::new();
    scene.provider_json(r#"{"choices":[{"message":{"content":"hi"}}]}"#);
    scene.complete(r#"{"model":"default","messages":[1]}"#).unwrap();
    scene.events();
    scene.database.lock().unwrap().unreachable = true;
    let answer = ask(&scene, r#"{"model":"default","messages":[1]}"#).unwrap();
    assert_eq!(answer.status(), 200);
    scene.run(scene.host.background.run_all());
    assert!(scene.calls_to("record_prompt_log") > 0);
    assert_eq!(scene.events().len(), 2);
}

#[test]
fn an_answer_from_the_cache_is_logged_like_any_other() {
    let scene = Scene::new();
    scene.provider_json(
        r#"{"choices":[{"index":0,"message":{"content":"hi jane@example.com"},"finish_reason":"stop"}]}"#,
    );
    for _ in 0..2 {
        let mut request = post(r#"{"model":"default","messages":[{"role":"user","content":"?"}],"temperature":0}"#);
        request.headers_mut().insert("x-qlp-cache", "read-write".parse().unwrap());
        scene.run(scene.proxy.route(request, logging(), &scene.host.context())).unwrap();
        scene.run(scene.host.background.run_all());
    }
    assert_eq!(scene.sent_count(), 1);
    let logged = scene.database.lock().unwrap().logged.clone();
    assert_eq!(logged.iter().map(|log| log["answer"].as_str().unwrap()).collect::<Vec<_>>(), ["hi [e-mail]"; 2]);
    assert_ne!(logged[0]["id"], logged[1]["id"]);
}

#[test]
fn what_is_said_at_other_endpoints_is_kept_too() {
    let said = |path: &str, answer: &'static str, body: &str| {
        let scene = Scene::new();
        scene.provider_json(answer);
        scene.run(scene.proxy.route(post_to(path, body.to_owned()), logging(), &scene.host.context())).unwrap();
        let log = log(&scene);
        (log["prompt"].clone(), log["answer"].clone())
    };
    let (prompt, answer) = said(
        "/v1/responses",
        r#"{"status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"to jane@example.com"}]}]}"#,
        &format!(r#"{{"model":"default","input":"my key is {SECRET}"}}"#),
    );
    assert_eq!((prompt, answer), (json!([{"role": "user", "text": "my key is [key]"}]), json!("to [e-mail]")));
    let (prompt, answer) = said(
        "/v1/messages",
        r#"{"type":"message","content":[{"type":"text","text":"to jane@example.com"}],"stop_reason":"end_turn"}"#,
        &format!(r#"{{"model":"default","max_tokens":9,"messages":[{{"role":"user","content":"{SECRET}"}}]}}"#),
    );
    assert_eq!((prompt, answer), (json!([{"role": "user", "text": "[key]"}]), json!("to [e-mail]")));
    let (prompt, answer) =
        said("/v1/embeddings", r#"{"data":[]}"#, &format!(r#"{{"model":"default","input":["a","{SECRET}"]}}"#));
    let expected = json!([{"role": "user", "text": "a"}, {"role": "user", "text": "[key]"}]);
    assert_eq!((prompt, answer), (expected, json!("")));
}

#[test]
fn the_schedule_ends_what_is_too_old() {
    let scene = Scene::new();
    scene.run(scene.proxy.flush(&scene.host.context()));
    assert_eq!(scene.calls_to("expire_prompt_logs"), 1);
}
