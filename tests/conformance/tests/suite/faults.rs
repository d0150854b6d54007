use conformance::{Events, Rig, marker};
use serde_json::{Value, json};

super::list![
    a_429_keeps_its_code_and_retry_after,
    a_400_of_the_provider_is_the_callers_to_read,
    a_refused_provider_credential_is_our_fault,
    a_500_is_a_502_in_our_words,
    a_connection_that_is_reset_is_a_503_or_502,
    no_answer_is_a_504,
    html_instead_of_json_is_a_502,
    a_cut_stream_ends_with_an_error_event,
    a_stalled_stream_ends_with_an_error_event,
    a_malformed_chunk_is_not_passed_on,
    an_end_without_finish_reason_is_an_error,
    an_end_without_done_but_with_finish_reason_is_a_success,
    an_error_event_of_the_provider_reaches_the_caller,
    a_failure_before_the_first_event_is_an_http_error,
    a_truncated_json_answer_is_a_502,
    explicit_zero_usage_is_zero,
];

fn fails(rig: &Rig, behaviour: &Value) -> conformance::Answer {
    rig.user().post("/v1/chat/completions", &Rig::chat(&marker("fault"), behaviour, false))
}

fn a_429_keeps_its_code_and_retry_after(rig: &Rig) {
    let answer =
        fails(rig, &json!({"status": 429, "code": "rate_limit_exceeded", "retry_after": 7, "retry_after_ms": 6500}));
    assert_eq!((answer.header("retry-after"), answer.header("retry-after-ms")), ("7", "6500"));
    answer.expect_openai_error(429, "rate_limit_exceeded");
}

fn a_400_of_the_provider_is_the_callers_to_read(rig: &Rig) {
    for code in ["context_length_exceeded", "content_filter"] {
        let error = fails(rig, &json!({"status": 400, "code": code})).expect_openai_error(400, code);
        assert!(!error["message"].as_str().unwrap().is_empty());
    }
}

fn a_refused_provider_credential_is_our_fault(rig: &Rig) {
    for status in [401, 402, 403] {
        let answer = fails(rig, &json!({"status": status, "message": "Incorrect API key provided: sk-canary"}));
        assert!(!answer.text().contains("sk-canary"), "{}", answer.text());
        answer.expect_openai_error(502, "upstream_failed");
    }
}

fn a_500_is_a_502_in_our_words(rig: &Rig) {
    for status in [500, 503] {
        let answer = fails(rig, &json!({"status": status, "message": "stack trace of the provider"}));
        assert!(!answer.text().contains("stack trace"), "{}", answer.text());
        assert!([502, 503].contains(&answer.status), "{}", answer.status);
    }
}

fn a_connection_that_is_reset_is_a_503_or_502(rig: &Rig) {
    for behaviour in [json!({"reset": true}), json!({"close": true})] {
        let answer = fails(rig, &behaviour);
        assert!([502, 503].contains(&answer.status), "{behaviour}: {}", answer.status);
    }
}

fn no_answer_is_a_504(rig: &Rig) {
    fails(rig, &json!({"hang": true})).expect_openai_error(504, "upstream_timeout");
}

fn html_instead_of_json_is_a_502(rig: &Rig) {
    fails(rig, &json!({"html": true})).expect_openai_error(502, "upstream_failed");
}

fn a_truncated_json_answer_is_a_502(rig: &Rig) {
    fails(rig, &json!({"cut_after_bytes": 40})).expect_openai_error(502, "upstream_failed");
}

fn broken(rig: &Rig, behaviour: &Value, status: &str) -> Events {
    let marker = marker("broken");
    let stream = rig.stream(&Rig::chat(&marker, behaviour, true));
    assert_eq!(stream.status, 200);
    let request_id = stream.request_id();
    let events = stream.read_to_end();
    let row = rig.usage_row(&request_id);
    assert_eq!(row["status"], status, "{row}");
    events
}

/// After bytes have gone out: what came stays, then an error event, no `[DONE]`, no invented finish reason.
fn assert_broken(events: &Events) {
    let error = events.error().unwrap_or_else(|| panic!("no error event: {events:?}"));
    assert!(error["message"].is_string() && error["code"].is_string(), "{error}");
    assert!(!events.done(), "{events:?}");
    assert!(events.chunks().iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null()), "{events:?}");
    assert!(!events.text().is_empty(), "{events:?}");
}

fn a_cut_stream_ends_with_an_error_event(rig: &Rig) {
    for cut in ["cut_after", "reset_after"] {
        assert_broken(&broken(rig, &json!({"tokens": 20, cut: 5, "interval_ms": 5}), "truncated"));
    }
}

fn a_stalled_stream_ends_with_an_error_event(rig: &Rig) {
    assert_broken(&broken(rig, &json!({"tokens": 20, "stall_after": 5}), "timeout"));
}

fn a_malformed_chunk_is_not_passed_on(rig: &Rig) {
    assert_broken(&broken(rig, &json!({"tokens": 20, "malformed_after": 5}), "upstream_error"));
}

fn an_end_without_finish_reason_is_an_error(rig: &Rig) {
    assert_broken(&broken(rig, &json!({"tokens": 20, "eof_after": 6}), "truncated"));
}

fn an_end_without_done_but_with_finish_reason_is_a_success(rig: &Rig) {
    let events = broken(rig, &json!({"tokens": 4, "no_done": true}), "success");
    assert!(events.complete && events.error().is_none(), "{events:?}");
}

fn an_error_event_of_the_provider_reaches_the_caller(rig: &Rig) {
    let events = broken(rig, &json!({"tokens": 20, "error_after": 5}), "upstream_error");
    assert!(events.error().is_some() && !events.done(), "{events:?}");
}

fn a_failure_before_the_first_event_is_an_http_error(rig: &Rig) {
    for behaviour in [json!({"cut_after": 0}), json!({"stall_after": 0}), json!({"status": 503}), json!({"html": true})]
    {
        let answer = rig.user().post("/v1/chat/completions", &Rig::chat(&marker("before"), &behaviour, true));
        assert!([502, 503, 504].contains(&answer.status), "{behaviour}: {} {}", answer.status, answer.text());
    }
}

fn explicit_zero_usage_is_zero(rig: &Rig) {
    let marker = marker("zero");
    let body = Rig::chat(&marker, &json!({"usage": "zero"}), false).to_string().into_bytes();
    let headers = [("content-type", "application/json"), ("x-request-id", marker.as_str())];
    rig.user().send("POST", "/v1/chat/completions", &headers, Some(body)).expect(200);
    let row = rig.usage_row(&marker);
    assert_eq!((&row["output_tokens"], &row["usage_source"]), (&json!(0), &json!("provider")), "{row}");
}
