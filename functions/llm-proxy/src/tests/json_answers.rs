use super::*;

const REQUEST: &str = r#"{"model":"default","messages":[{"role":"user","content":"hello there"}]}"#;
const ANSWER: &str = r#"{ "id":"c-1","object":"chat.completion","created":1,"model":"sim/large-0613","choices":[{"index":0,"message":{"role":"assistant","content":"Hi."},"logprobs":null,"finish_reason":"stop"}],
"usage":{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":4}},"service_tier":"default","system_fingerprint":null}"#;

#[test]
fn the_answer_passes_unchanged_with_the_headers_clients_read() {
    let scene = Scene::new();
    scene.provider(|| {
        let mut answer = response(200, "application/json; charset=utf-8", ANSWER);
        for (name, value) in [
            ("x-request-id", "req_upstream"),
            ("openai-processing-ms", "12"),
            ("x-ratelimit-remaining-tokens", "99"),
            ("openai-organization", "our-org"),
            ("set-cookie", "__cf_bm=1"),
            ("server", "cloudflare"),
        ] {
            answer.headers_mut().insert(name, value.parse().unwrap());
        }
        Ok(answer)
    });
    let answer = scene.complete(REQUEST).unwrap();
    let mut headers: Vec<_> =
        answer.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    headers.sort();
    assert_eq!(
        headers,
        [
            "cache-control: no-store",
            "content-type: application/json; charset=utf-8",
            "openai-processing-ms: 12",
            r#"ratelimit-policy: "user";q=100;w=3600"#,
            r#"ratelimit: "user";r=99;t=36"#,
            "x-qlp-attempts: 1",
            "x-qlp-cost-usd: 0.0000024",
            "x-qlp-model: sim/large-0613",
            "x-qlp-provider: simulator",
            "x-ratelimit-limit-requests: 100",
            "x-ratelimit-remaining-requests: 99",
            "x-ratelimit-reset-requests: 36s",
            "x-upstream-request-id: req_upstream",
        ]
    );
    assert_eq!(text(&scene, answer), ANSWER);
}

#[test]
fn its_usage_is_written_after_the_answer() {
    let scene = Scene::new();
    scene.provider_json(ANSWER);
    scene.complete(REQUEST).unwrap();
    assert_eq!(scene.host.ledger.ended(), [""; 0]);
    let event = scene.event();
    assert_eq!(
        event,
        json!({
            "id": event["id"], "request_id": "request-1", "user_id": USER, "org_id": null, "api_key_id": null, "operation": "chat",
            "alias": "default", "provider": "simulator", "model": "sim/large-0613", "stream": false,
            "status": "success", "http_status": 200, "finish_reason": "stop",
            "input_tokens": 10, "output_tokens": 2, "cached_input_tokens": 4, "cache_write_tokens": 0, "cache_write_1h_tokens": 0,
            "service_tier": "default", "usage_source": "provider", "cost_nano_usd": 2_400, "price_version": "route",
            "cache_hit": false, "latency_ms": 0, "time_to_first_token_ms": null, "attempts": 1,
            "started_at": "2026-01-01T00:00:00Z",
        })
    );
}

#[test]
fn without_usage_it_is_estimated_from_bytes_and_said_so() {
    let scene = Scene::new();
    scene.provider_json(r#"{"choices":[{"message":{"content":"twelve bytes"},"finish_reason":"stop"}]}"#);
    scene.complete(REQUEST).unwrap();
    let event = scene.event();
    // "role", "user", "content", "hello there": 26 bytes.
    assert_eq!(
        (&event["input_tokens"], &event["output_tokens"], &event["usage_source"]),
        (&json!(7), &json!(3), &json!("estimated"))
    );
    assert_eq!(event["model"], "sim/large");
}

#[test]
fn without_a_price_there_is_no_cost() {
    let scene = Scene::new();
    scene.provider_json(ANSWER);
    let answer = scene.complete(r#"{"model":"unpriced","messages":[1]}"#).unwrap();
    assert!(!answer.headers().contains_key("x-qlp-cost-usd"));
    let event = scene.event();
    assert_eq!((&event["cost_nano_usd"], &event["price_version"]), (&Value::Null, &Value::Null));
}

#[test]
fn an_answer_that_is_none_becomes_502_and_is_not_charged() {
    for (media_type, body) in [
        ("application/json", "{\"choices\":["),
        ("application/json", ""),
        ("application/json", "[]"),
        ("application/json", "{}"),
        ("application/json", r#"{"error":{"message":"secret"}}"#),
        ("text/html", ANSWER),
        ("text/event-stream", "data: {}\n\n"),
    ] {
        let scene = Scene::new();
        scene.provider(move || Ok(response(200, media_type, body)));
        let (status, _, error) = refused(scene.complete(REQUEST).unwrap_err());
        assert_eq!((status, error["code"].as_str()), (502, Some("upstream_failed")), "{body}");
        assert!(!error.to_string().contains("secret"));
        let event = scene.event();
        assert_eq!(
            (&event["status"], &event["http_status"], &event["usage_source"], &event["cost_nano_usd"]),
            (&json!("upstream_error"), &json!(502), &json!("none"), &json!(0))
        );
    }
}

#[test]
fn a_provider_that_cannot_be_reached_is_503_and_one_that_hangs_504() {
    let scene = Scene::new();
    scene.provider(|| Err(SendError::Unreachable("connection refused by 10.0.0.7".into())));
    let (status, _, error) = refused(scene.complete(REQUEST).unwrap_err());
    assert_eq!(status, 503);
    assert!(!error.to_string().contains("10.0.0.7"));
    assert_eq!(scene.event()["status"], "upstream_error");

    for (stream, seconds) in [(false, 300), (true, 30)] {
        let scene = Scene::new();
        scene.provider_json(ANSWER);
        scene.call(get("https://edge.test/v1/models")).unwrap();
        let held = scene.host.http.hold();
        let body = format!(r#"{{"model":"default","messages":[1],"stream":{stream}}}"#);
        assert_eq!(refused(scene.complete(&body).unwrap_err()).0, 504);
        assert!(held.is_cancelled());
        let event = scene.event();
        assert_eq!((&event["status"], &event["latency_ms"]), (&json!("timeout"), &json!(seconds * 1000)));
    }
}

#[test]
fn an_answer_that_stops_coming_is_given_up() {
    let scene = Scene::with(&[("LLM_ANSWER_TIMEOUT_MS", "9000")]);
    let (handle, body) = streamed_body();
    handle.send("{\"choices\":");
    let body = Mutex::new(Some(body));
    scene.provider(move || {
        let body = body.lock().unwrap().take().unwrap();
        Ok(http::Response::builder().header(CONTENT_TYPE, "application/json").body(body).unwrap())
    });
    assert_eq!(refused(scene.complete(REQUEST).unwrap_err()).0, 504);
    assert!(handle.is_dropped());
    assert_eq!(scene.event()["latency_ms"], 9000);
}

#[test]
fn a_refusal_keeps_status_code_type_and_retry_after() {
    let error = r#"{"error":{"message":"org-9 used 10 of 9 requests","type":"requests","param":"n","code":"rate_limit_exceeded"}}"#;
    for status in [404, 408, 409, 429, 451] {
        let scene = Scene::new();
        scene.provider(move || {
            let mut answer = response(status, "application/json", error);
            answer.headers_mut().insert("retry-after", "7".parse().unwrap());
            answer.headers_mut().insert("retry-after-ms", "6500".parse().unwrap());
            Ok(answer)
        });
        let answer = scene.complete(REQUEST).unwrap();
        assert_eq!(answer.status(), status);
        let kept = ["retry-after", "retry-after-ms", "cache-control", "x-qlp-provider"];
        assert_eq!(kept.map(|name| answer.headers()[name].to_str().unwrap()), ["7", "6500", "no-store", "simulator"]);
        let body: Value = serde_json::from_str(&text(&scene, answer)).unwrap();
        assert_eq!(body["error"]["code"], "rate_limit_exceeded");
        assert_eq!(body["error"]["type"], "requests");
        assert!(!body.to_string().contains("org-9"));
        let event = scene.event();
        assert_eq!(
            (&event["status"], &event["http_status"], &event["input_tokens"]),
            (&json!("upstream_error"), &json!(status), &json!(0))
        );
    }
}

#[test]
fn what_is_wrong_with_the_request_is_said_in_the_providers_words() {
    for status in [400, 413, 422] {
        let scene = Scene::new();
        let error = r#"{"error":{"message":"This model's maximum context length is 8192 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#;
        scene.provider(move || Ok(response(status, "application/json", error)));
        let answer = scene.complete(REQUEST).unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(
            serde_json::from_str::<Value>(&text(&scene, answer)).unwrap(),
            serde_json::from_str::<Value>(error).unwrap()
        );
        assert_eq!(
            scene.host.http.requests().iter().filter(|sent| sent.uri.host() == Some("simulator.test")).count(),
            1
        );
    }
}

#[test]
fn a_message_with_our_key_in_it_is_not_repeated() {
    let scene = Scene::new();
    let error = r#"{"error":{"message":"Incorrect key sk-simulator-key","type":"invalid_request_error","code":"x"}}"#;
    scene.provider(move || Ok(response(400, "application/json", error)));
    let answer = scene.complete(REQUEST).unwrap();
    assert!(!text(&scene, answer).contains(KEY));
}

#[test]
fn trouble_between_us_and_the_provider_is_ours() {
    for (status, expected) in [
        (401, 502),
        (402, 502),
        (403, 502),
        (500, 502),
        (502, 502),
        (503, 503),
        (504, 504),
        (529, 502),
        (302, 502),
        (204, 502),
    ] {
        let scene = Scene::new();
        let error = r#"{"error":{"message":"secret","type":"secret_type","code":"secret_code"}}"#;
        scene.provider(move || {
            let mut answer = response(status, "application/json", error);
            answer.headers_mut().insert("retry-after", "3".parse().unwrap());
            Ok(answer)
        });
        let (actual, headers, error) = refused(scene.complete(REQUEST).unwrap_err());
        assert_eq!(actual, expected, "{status}");
        assert!(!error.to_string().contains("secret"));
        assert_eq!(headers.get("retry-after").is_some(), !(400..500).contains(&status));
        assert_eq!(scene.event()["http_status"], expected);
    }
}

#[test]
fn a_refusal_without_a_readable_body_has_our_words() {
    for body in ["", "<html>secret</html>", r#"{"error":"secret"}"#, "{\"error\":"] {
        let scene = Scene::new();
        scene.provider(move || Ok(response(429, "text/html", body)));
        let answer = scene.complete(REQUEST).unwrap();
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
        let body: Value = serde_json::from_str(&text(&scene, answer)).unwrap();
        assert_eq!(
            (&body["error"]["code"], &body["error"]["type"]),
            (&json!("rate_limited"), &json!("rate_limit_error"))
        );
        assert!(!body.to_string().contains("secret"));
    }
}

#[test]
fn together_says_403_for_a_context_that_is_too_long() {
    let scene = Scene::with(&[("TOGETHER_API_KEY", "t-key")]);
    scene.provider(|| Ok(response(403, "application/json", "{}")));
    let answer = scene.complete(REQUEST).unwrap();
    assert_eq!(answer.status(), 400);
    assert!(text(&scene, answer).contains("context_length_exceeded"));
    assert_eq!(scene.event()["provider"], "together");
}

#[test]
fn a_caller_that_hangs_up_while_it_waits_leaves_one_event() {
    let scene = Scene::new();
    scene.provider_json(ANSWER);
    scene.call(get("https://edge.test/v1/models")).unwrap();
    let held = scene.host.http.hold();
    let context = scene.host.context();
    let mut call = Box::pin(scene.proxy.route(post(REQUEST), caller(), &context));
    assert!(futures_util::FutureExt::now_or_never(&mut call).is_none());
    scene.admit();
    assert!(futures_util::FutureExt::now_or_never(&mut call).is_none());
    drop(call);
    assert!(held.is_cancelled());
    let event = scene.event();
    assert_eq!(
        (&event["status"], &event["http_status"], &event["usage_source"]),
        (&json!("client_closed"), &Value::Null, &json!("estimated"))
    );
    assert_eq!((&event["input_tokens"], &event["output_tokens"]), (&json!(7), &json!(0)));
}
