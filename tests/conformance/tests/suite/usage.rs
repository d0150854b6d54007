use conformance::{Rig, marker, wait_until};
use serde_json::{Value, json};

super::list![
    a_completion_leaves_one_row_with_the_providers_count,
    a_stream_is_counted_though_the_caller_did_not_ask,
    a_failed_call_is_counted_and_not_billed,
    a_provider_without_usage_is_estimated_and_flagged,
    two_calls_with_the_same_request_id_are_two_rows,
    the_summary_shows_my_calls_and_not_those_of_others,
    the_summary_can_be_grouped,
];

/// Calls with a request id of its own and returns the answer's text and the row.
fn row_of(rig: &Rig, behaviour: &Value, stream: bool) -> Value {
    let id = marker("usage");
    let headers = [("content-type", "application/json"), ("x-request-id", id.as_str())];
    let body = Rig::chat(&id, behaviour, stream).to_string().into_bytes();
    rig.user().send("POST", "/v1/chat/completions", &headers, Some(body));
    let row = rig.usage_row(&id);
    assert_eq!(rig.usage_rows(&id).len(), 1);
    row
}

fn a_completion_leaves_one_row_with_the_providers_count(rig: &Rig) {
    let row = row_of(
        rig,
        &json!({"usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18, "prompt_tokens_details": {"cached_tokens": 3}}}),
        false,
    );
    assert_eq!(
        (&row["input_tokens"], &row["output_tokens"], &row["cached_input_tokens"]),
        (&json!(11), &json!(7), &json!(3))
    );
    assert_eq!(
        (&row["alias"], &row["provider"], &row["model"]),
        (&json!("default"), &json!("simulator"), &json!("sim-1"))
    );
    assert_eq!(
        (&row["status"], &row["stream"], &row["finish_reason"]),
        (&json!("success"), &json!(false), &json!("stop"))
    );
    assert_eq!(row["usage_source"], "provider");
    assert!(row["latency_ms"].is_number() && row["org_id"].is_string() && row["user_id"].is_string(), "{row}");
}

fn a_stream_is_counted_though_the_caller_did_not_ask(rig: &Rig) {
    let row = row_of(rig, &json!({"tokens": 12}), true);
    assert_eq!(
        (&row["output_tokens"], &row["stream"], &row["usage_source"]),
        (&json!(12), &json!(true), &json!("provider")),
        "{row}"
    );
    assert!(row["time_to_first_token_ms"].is_number(), "{row}");
}

fn a_failed_call_is_counted_and_not_billed(rig: &Rig) {
    let row = row_of(rig, &json!({"status": 500}), false);
    assert_eq!((&row["status"], &row["output_tokens"]), (&json!("upstream_error"), &json!(0)), "{row}");
    assert_eq!(row["http_status"], 502, "what the caller was answered: {row}");
}

fn a_provider_without_usage_is_estimated_and_flagged(rig: &Rig) {
    for stream in [false, true] {
        let row = row_of(rig, &json!({"tokens": 20, "usage": "missing"}), stream);
        assert_eq!(row["usage_source"], "estimated", "{row}");
        assert!(row["output_tokens"].as_i64().unwrap() > 0, "{row}");
    }
}

fn two_calls_with_the_same_request_id_are_two_rows(rig: &Rig) {
    let id = marker("same");
    let headers = [("content-type", "application/json"), ("x-request-id", id.as_str())];
    for _ in 0..2 {
        let body = Rig::chat(&id, &json!({}), false).to_string().into_bytes();
        rig.user().send("POST", "/v1/chat/completions", &headers, Some(body)).expect(200);
    }
    wait_until("both rows appear", || (rig.usage_rows(&id).len() == 2).then_some(()));
}

fn the_summary_shows_my_calls_and_not_those_of_others(rig: &Rig) {
    let (_, session) = rig.new_user();
    let user = rig.edge.bearer(session["access_token"].as_str().unwrap());
    assert_eq!(user.get("/v1/usage").expect(200).json()["total"]["requests"], 0, "others' calls are not mine");
    let id = marker("mine");
    let headers = [("content-type", "application/json"), ("x-request-id", id.as_str())];
    let body = Rig::chat(&id, &json!({"tokens": 5}), false).to_string().into_bytes();
    user.send("POST", "/v1/chat/completions", &headers, Some(body)).expect(200);
    rig.usage_row(&id);
    let total = user.get("/v1/usage").expect(200).json()["total"].clone();
    assert_eq!(total["requests"], 1, "{total}");
    assert_eq!(total["output_tokens"], 5, "{total}");
}

fn the_summary_can_be_grouped(rig: &Rig) {
    row_of(rig, &json!({}), false);
    for group in ["day", "model", "user", "key"] {
        let summary = rig.user().get(&format!("/v1/usage?group_by={group}")).expect(200).json();
        let rows = summary["data"].as_array().unwrap();
        assert!(!rows.is_empty() && rows.iter().all(|row| row["latency_ms"]["p95"].is_number()), "{summary}");
    }
    let past = rig.user().get("/v1/usage?from=2020-01-01&to=2020-02-01").expect(200).json();
    assert_eq!(past["total"]["requests"], 0);
}
