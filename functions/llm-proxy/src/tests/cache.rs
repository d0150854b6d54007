use std::time::Duration;

use token::CacheMode;

use super::*;

const ASK: &str = r#"{"model":"default","messages":[{"role":"user","content":"hi"}],"temperature":0}"#;
const ANSWER: &str = r#"{"id":"c-1","object":"chat.completion","created":1,"model":"m-1","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
const EVENTS: &str = concat!(
    "data: {\"id\":\"c-2\",\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Hel\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"c-2\",\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\"},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"id\":\"c-2\",\"model\":\"m-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n",
    "data: [DONE]\n\n",
);

fn asking(body: &str, mode: &str) -> Request {
    asking_at("/v1/chat/completions", body, mode)
}

fn asking_at(path: &str, body: &str, mode: &str) -> Request {
    let mut request = post_to(path, body.to_owned());
    request.headers_mut().insert("x-qlp-cache", mode.parse().unwrap());
    request
}

fn streamed(body: &str) -> String {
    body.replace("\"temperature\"", "\"stream\":true,\"temperature\"")
}

fn somebody(org: Option<u128>, user: u128) -> Caller {
    let Caller { payer, .. } = caller();
    let member = Member { user: Uuid::from_u128(user), org: org.map(Uuid::from_u128), ..payer.member };
    Caller { payer: Payer { member, ..payer }, ..caller() }
}

/// How the call used the cache, and its answer. What is to be kept is kept then.
fn ask_as(scene: &Scene, who: Caller, request: Request) -> (String, String) {
    let answer = scene.run(scene.proxy.route(request, who, &scene.host.context())).unwrap();
    let used = answer.headers().get("x-qlp-cache").map_or("", |used| used.to_str().unwrap()).to_owned();
    let answer = text(scene, answer);
    scene.run(scene.host.background.run_all());
    (used, answer)
}

fn ask(scene: &Scene, body: &str, mode: &str) -> (String, String) {
    ask_as(scene, caller(), asking(body, mode))
}

fn used(scene: &Scene, body: &str) -> String {
    ask(scene, body, "read-write").0
}

/// A scene whose provider answers in the form that it is asked for.
fn scene_with(whole: &'static str, events: &'static str) -> Scene {
    let scene = Scene::new();
    let database = Arc::clone(&scene.database);
    scene.host.http.handle(move |request| {
        let is_stream = request.headers()["accept"] == "text/event-stream";
        let answer = if request.uri().host() == Some("project.test") {
            database.lock().unwrap().answer(request)
        } else if is_stream {
            Ok(response(200, "text/event-stream", events))
        } else {
            Ok(response(200, "application/json", whole))
        };
        async move { answer }
    });
    scene
}

fn scene() -> Scene {
    scene_with(ANSWER, EVENTS)
}

#[test]
fn who_asks_the_same_again_is_answered_with_the_same_bytes_and_without_the_provider() {
    let scene = scene();
    assert_eq!(ask(&scene, ASK, "read-write"), ("miss".into(), ANSWER.into()));
    assert_eq!(ask(&scene, ASK, "read"), ("hit".into(), ANSWER.into()));
    assert_eq!(scene.sent_count(), 1);
    let events = scene.events();
    let hit = &events[1];
    assert_eq!((&hit["cache_hit"], &hit["cost_nano_usd"], &hit["attempts"]), (&json!(true), &json!(0), &json!(0)));
    assert_eq!(
        (&hit["input_tokens"], &hit["output_tokens"], &hit["usage_source"]),
        (&json!(3), &json!(2), &json!("provider"))
    );
    assert_eq!(
        (&hit["provider"], &hit["model"], &hit["status"]),
        (&json!("simulator"), &json!("m-1"), &json!("success"))
    );
    assert_eq!((&hit["finish_reason"], &events[0]["cache_hit"]), (&json!("stop"), &json!(false)));
    assert_eq!((&hit["price_version"], &events[0]["price_version"]), (&Value::Null, &json!("route")));
    assert_ne!(hit["id"], events[0]["id"]);
}

#[test]
fn a_hit_is_described_by_its_headers_and_is_free() {
    let scene = scene();
    used(&scene, ASK);
    let hit = scene.call(asking(ASK, "read")).unwrap();
    let header = |name: &str| hit.headers()[name].to_str().unwrap();
    assert_eq!(
        ["x-qlp-cache", "x-qlp-provider", "x-qlp-model", "x-qlp-attempts", "x-qlp-cost-usd"].map(header),
        ["hit", "simulator", "m-1", "0", "0"]
    );
    assert_eq!((header("content-type"), header("cache-control")), ("application/json", "no-store"));
    assert!(hit.headers().contains_key("ratelimit"));
}

#[test]
fn an_answer_serves_in_the_other_form_too() {
    let scene = scene();
    used(&scene, ASK);
    let (used_as, events) = ask(&scene, &streamed(ASK), "read");
    assert_eq!(used_as, "hit");
    assert!(
        events.contains("\"content\":\"Hello\"") && events.ends_with("data: [DONE]\n\n") && !events.contains("usage")
    );

    let scene = self::scene();
    let (_, first) = ask(&scene, &streamed(ASK), "read-write");
    assert!(!first.contains("usage"), "the caller has not asked for it");
    assert_eq!(ask(&scene, &streamed(ASK), "read"), ("hit".into(), first));
    let with_usage =
        streamed(ASK).replace("\"stream\":true", "\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    assert_eq!(ask(&scene, &with_usage, "read"), ("hit".into(), EVENTS.into()));
    let (used_as, whole) = ask(&scene, ASK, "read");
    let whole: Value = serde_json::from_str(&whole).unwrap();
    assert_eq!((used_as.as_str(), &whole["choices"][0]["message"]["content"]), ("hit", &json!("Hello")));
    assert_eq!(scene.sent_count(), 1);
    for event in scene.events() {
        assert_eq!((&event["finish_reason"], &event["output_tokens"]), (&json!("stop"), &json!(2)), "{event}");
    }
}

#[test]
fn tenants_never_meet_and_the_members_of_an_organization_do() {
    let scene = scene();
    let used_by = |org, user| ask_as(&scene, somebody(org, user), asking(ASK, "read-write")).0;
    assert_eq!(used_by(Some(1), 10), "miss");
    assert_eq!(used_by(Some(1), 11), "hit", "the same organization");
    assert_eq!(used_by(Some(2), 10), "miss", "the same user in another one");
    assert_eq!(used_by(None, 10), "miss", "the same user alone");
    assert_eq!(used_by(None, 11), "miss");
    assert_eq!(used_by(None, 10), "hit");
}

#[test]
fn nothing_is_kept_or_found_without_being_asked_for() {
    let scene = scene();
    assert_eq!(ask_as(&scene, caller(), post(ASK)).0, "");
    assert_eq!(ask(&scene, ASK, "read").0, "miss");
    assert_eq!(ask(&scene, ASK, "read").0, "miss", "who only reads keeps nothing");
    assert_eq!(ask(&scene, ASK, "read-write").0, "miss");
    assert_eq!(ask(&scene, ASK, "off").0, "off");
    assert_eq!(ask_as(&scene, caller(), post(ASK)).0, "");
    assert_eq!(ask(&scene, ASK, "read").0, "hit");
    let (status, _, error) = refused(scene.call(asking(ASK, "always")).unwrap_err());
    assert!(status == 400 && error["message"].as_str().unwrap().contains("read-write"), "{error}");
}

#[test]
fn a_key_decides_where_the_header_does_not() {
    let scene = scene();
    let with_key = || Caller { rules: LlmRules { cache: CacheMode::ReadWrite, ..LlmRules::default() }, ..caller() };
    assert_eq!(ask_as(&scene, with_key(), post(ASK)).0, "miss");
    assert_eq!(ask_as(&scene, with_key(), post(ASK)).0, "hit");
    assert_eq!(ask_as(&scene, with_key(), asking(ASK, "off")).0, "off");
}

#[test]
fn a_request_that_is_not_repeatable_is_not_cached() {
    let scene = scene();
    for other in [
        ASK.replace(",\"temperature\":0", ""),
        ASK.replace("\"temperature\"", "\"tools\":[{}],\"temperature\""),
        ASK.replace("\"temperature\"", "\"n\":2,\"temperature\""),
    ] {
        assert_eq!([used(&scene, &other), used(&scene, &other)], ["off", "off"], "{other}");
    }
}

#[test]
fn only_a_whole_answer_without_calls_that_came_to_its_end_is_kept() {
    let whole = |from: &str, to: &str| Box::leak(ANSWER.replace(from, to).into_boxed_str()) as &'static str;
    let events = |from: &str, to: &str| Box::leak(EVENTS.replace(from, to).into_boxed_str()) as &'static str;
    let keeps = |scene: Scene, body: &str| {
        used(&scene, body);
        used(&scene, body) == "hit"
    };
    assert!(keeps(scene(), ASK) && keeps(scene(), &streamed(ASK)));
    for answer in [
        whole("\"stop\"", "\"length\""),
        whole("\"stop\"", "\"content_filter\""),
        whole("\"stop\"", "\"tool_calls\""),
        whole("\"stop\"", "null"),
        whole("\"content\":\"Hello\"", "\"content\":\"Hello\",\"tool_calls\":[{\"function\":{\"name\":\"f\"}}]"),
        whole("\"choices\":[", "\"choices\":[{\"index\":1,\"message\":{},\"finish_reason\":\"stop\"},"),
    ] {
        assert!(!keeps(scene_with(answer, EVENTS), ASK), "{answer}");
    }
    for stream in [
        events("\"stop\"", "\"length\""),
        events(",\"finish_reason\":\"stop\"", ""),
        events("data: {\"id\":\"c-2\",\"model\":\"m-1\",\"choices\":[],", "data: {\"error\":{\"message\":\"no\"},"),
    ] {
        assert!(!keeps(scene_with(ANSWER, stream), &streamed(ASK)), "{stream}");
    }
    let without_done = events("data: [DONE]\n\n", "");
    assert!(keeps(scene_with(ANSWER, without_done), &streamed(ASK)), "it is complete");
}

#[test]
fn an_error_is_never_kept() {
    let scene = Scene::new();
    scene.provider(|| Ok(response(400, "application/json", r#"{"error":{"message":"no"}}"#)));
    for _ in 0..2 {
        let answer = scene.call(asking(ASK, "read-write")).unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers()["x-qlp-cache"].to_str().unwrap()), (400, "miss"));
        scene.events();
    }
    assert_eq!(scene.sent_count(), 2);
}

#[test]
fn a_caller_that_hangs_up_leaves_nothing() {
    let scene = Scene::new();
    let stream = scene.provider_stream();
    let (head, _) = EVENTS.split_once("data: {\"id\":\"c-2\",\"model\":\"m-1\",\"choices\":[],").unwrap();
    stream.send(Bytes::from(head));
    drop(scene.call(asking(&streamed(ASK), "read-write")).unwrap());
    scene.events();
    scene.provider_json(ANSWER);
    assert_eq!(used(&scene, ASK), "miss");
}

#[test]
fn an_answer_ends_with_its_time_and_one_that_is_too_large_is_let_go() {
    let scene = scene();
    used(&scene, ASK);
    scene.host.clock.advance(Duration::from_secs(3_599));
    assert_eq!(ask(&scene, ASK, "read").0, "hit");
    scene.host.clock.advance(Duration::from_secs(2));
    assert_eq!(ask(&scene, ASK, "read").0, "miss");
    for (largest, expected) in [(ANSWER.len() - 1, "miss"), (ANSWER.len() + 1, "hit")] {
        let scene = Scene::with(&[("LLM_CACHE_MAX_BYTES", &largest.to_string())]);
        scene.provider_json(ANSWER);
        used(&scene, ASK);
        assert_eq!(used(&scene, ASK), expected);
    }
    let scene = Scene::with(&[("LLM_CACHE_MAX_BYTES", "0")]);
    scene.provider_json(ANSWER);
    assert_eq!([used(&scene, ASK), used(&scene, ASK)], ["off", "off"]);
}

#[test]
fn a_purge_holds_here_at_once_and_elsewhere_within_ten_seconds() {
    let scene = scene();
    used(&scene, ASK);
    let purge = || http::Request::delete("https://edge.test/v1/cache").body(Body::empty()).unwrap();
    assert_eq!(scene.call(purge()).unwrap().status(), 204);
    assert_eq!(used(&scene, ASK), "miss");
    assert_eq!(used(&scene, ASK), "hit");
    scene.database.lock().unwrap().generation += 1; // another instance
    assert_eq!(used(&scene, ASK), "hit");
    scene.host.clock.advance(Duration::from_secs(10));
    assert_eq!(used(&scene, ASK), "miss");
    let (status, headers, _) = refused(scene.call(get("https://edge.test/v1/cache")).unwrap_err());
    assert_eq!((status, &headers["allow"]), (405, &"DELETE".parse::<http::HeaderValue>().unwrap()));
}

#[test]
fn without_knowing_what_is_purged_the_provider_is_asked() {
    let scene = scene();
    assert_eq!(used(&scene, ASK), "miss");
    scene.host.clock.advance(Duration::from_secs(11));
    scene.database.lock().unwrap().unreachable = true;
    assert_eq!(ask(&scene, ASK, "read-write"), ("off".into(), ANSWER.into()));
    assert_eq!(scene.sent_count(), 2);
}

#[test]
fn a_key_with_a_shorter_longest_answer_has_entries_of_its_own() {
    let scene = scene();
    let held_to = |most| Caller { rules: LlmRules { max_output_tokens: most, ..LlmRules::default() }, ..caller() };
    assert_eq!(ask_as(&scene, held_to(None), asking(ASK, "read-write")).0, "miss");
    assert_eq!(ask_as(&scene, held_to(Some(5)), asking(ASK, "read-write")).0, "miss");
    assert_eq!(ask_as(&scene, held_to(Some(5)), asking(ASK, "read-write")).0, "hit");
}

#[test]
fn a_hit_counts_as_a_request_and_as_nothing_else() {
    let scene = Scene::with(&[("LLM_USER_REQUESTS_PER_HOUR", "2")]);
    scene.provider_json(ANSWER);
    used(&scene, ASK);
    assert_eq!(used(&scene, ASK), "hit");
    let (status, _, error) = refused(scene.call(asking(ASK, "read")).unwrap_err());
    assert_eq!((status, &error["code"]), (429, &json!("rate_limited")));
    let amounts: Vec<_> = scene.host.ledger.applied().into_iter().flat_map(|(_, operations)| operations).collect();
    let hits = amounts.iter().filter_map(|operation| match operation {
        quota::account::Operation::Reserve(reserve) => Some(reserve.amounts),
        _ => None,
    });
    assert_eq!(hits.skip(1).collect::<Vec<_>>(), [quota::account::Amounts::ONE_REQUEST; 2]);
}

/// The provider breaks off after a role at its first try, and answers at the second.
fn broken_once(scene: &Scene) {
    let database = Arc::clone(&scene.database);
    let tries = std::sync::atomic::AtomicU32::new(0);
    let (head, _) = EVENTS.split_once("data: [DONE]").unwrap();
    let role =
        "data: {\"id\":\"lost\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
    scene.host.http.handle(move |request| {
        let answer = if request.uri().host() == Some("project.test") {
            database.lock().unwrap().answer(request)
        } else if tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
            Ok(response(200, "text/event-stream", role))
        } else {
            Ok(response(200, "text/event-stream", format!("{head}data: [DONE]\n\n")))
        };
        async move { answer }
    });
}

#[test]
fn of_a_try_that_failed_nothing_is_kept() {
    let scene = Scene::new();
    broken_once(&scene);
    let (_, first) = ask(&scene, &streamed(ASK), "read-write");
    assert_eq!(scene.sent_count(), 2);
    assert_eq!(ask(&scene, &streamed(ASK), "read"), ("hit".into(), first.clone()));
    assert!(!first.contains("lost"));
}

#[test]
fn responses_are_not_cached() {
    let scene = scene_with(r#"{"status":"completed","output":[]}"#, EVENTS);
    let body = r#"{"model":"default","input":"x","temperature":0}"#;
    for _ in 0..2 {
        assert_eq!(ask_as(&scene, caller(), asking_at("/v1/responses", body, "read-write")).0, "off");
    }
    assert_eq!(scene.sent_count(), 2);
}

#[test]
fn embeddings_are_cached_byte_for_byte_by_all_that_they_are_asked_with() {
    const LIST: &str = r#"{ "object":"list","data":[{"index":0,"embedding":[0.5,-1e-3]}],"model":"m-2","usage":{"prompt_tokens":4,"total_tokens":4}}"#;
    let scene = scene_with(LIST, EVENTS);
    let ask = |body| ask_as(&scene, caller(), asking_at("/v1/embeddings", body, "read-write"));
    let body = r#"{"model":"default","input":["a","b"]}"#;
    assert_eq!(ask(body), ("miss".into(), LIST.into()));
    assert_eq!(ask(r#"{"input":["a","b"], "model":"default"}"#), ("hit".into(), LIST.into()));
    let event = scene.events().pop().unwrap();
    for (name, expected) in [
        ("operation", json!("embeddings")),
        ("model", json!("m-2")),
        ("cache_hit", json!(true)),
        ("input_tokens", json!(4)),
        ("cost_nano_usd", json!(0)),
        ("finish_reason", Value::Null),
    ] {
        assert_eq!(event[name], expected, "{name}");
    }
    for other in [
        r#"{"model":"default","input":["b","a"]}"#,
        r#"{"model":"default","input":["a","b"],"dimensions":8}"#,
        r#"{"model":"default","input":["a","b"],"encoding_format":"base64"}"#,
    ] {
        assert_eq!(ask(other).0, "miss", "{other}");
    }
    assert_eq!(scene.sent_count(), 4);
}

#[test]
fn embeddings_that_are_none_are_not_kept() {
    let scene = scene_with(r#"{"object":"list","data":[{"index":0"#, EVENTS);
    for _ in 0..2 {
        let request = asking_at("/v1/embeddings", r#"{"model":"default","input":"x"}"#, "read-write");
        let answer = scene.run(scene.proxy.route(request, caller(), &scene.host.context()));
        assert_eq!(answer.unwrap_err().kind().status, 502);
        scene.run(scene.host.background.run_all());
    }
}
