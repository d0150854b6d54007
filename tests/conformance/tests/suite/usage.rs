use std::collections::BTreeMap;

use conformance::{Client, Rig, marker, wait_until};
use serde_json::{Value, json};

use super::second_factor::database;

super::list![
    a_completion_leaves_one_row_with_the_providers_count,
    a_stream_is_counted_though_the_caller_did_not_ask,
    a_failed_call_is_counted_and_not_billed,
    a_provider_without_usage_is_estimated_and_flagged,
    two_calls_with_the_same_request_id_are_two_rows,
    the_summary_shows_my_calls_and_not_those_of_others,
    the_summary_can_be_grouped,
    the_summary_has_rates_hits_and_exact_money,
    an_export_is_csv_with_every_call_of_mine_and_no_other,
    an_export_of_many_pages_has_each_call_once_and_can_be_resumed,
    a_wrong_export_is_refused_before_it_begins,
    a_route_without_a_price_is_charged_by_the_table,
    what_has_no_price_is_flagged_or_refused_as_the_policy_says,
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

fn the_summary_has_rates_hits_and_exact_money(rig: &Rig) {
    let user = newcomer(rig);
    let usage = json!({"usage": {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1}}});
    complete(rig, &user, "default", &usage);
    complete(rig, &user, "default", &json!({"status": 400}));
    let total = user.get("/v1/usage").expect(200).json()["total"].clone();
    let nano = 5 * 100 + 2 * 50 + 3 * 400;
    let expected = [
        ("requests", json!(2)),
        ("errors", json!(1)),
        ("error_rate", json!(0.5)),
        ("cache_hits", json!(0)),
        ("cache_write_tokens", json!(1)),
        ("cache_write_1h_tokens", json!(0)),
        ("cost_nano_usd", json!(nano)),
        ("cost_micro_usd", json!(1.8)),
        ("unpriced_requests", json!(0)),
    ];
    for (name, value) in expected {
        assert_eq!(total[name], value, "{name}: {total}");
    }
}

fn newcomer(rig: &Rig) -> Client {
    let (_, session) = rig.new_user();
    rig.edge.bearer(session["access_token"].as_str().unwrap())
}

/// Calls as `user`, and waits for the row.
fn complete(rig: &Rig, user: &Client, model: &str, behaviour: &Value) -> Value {
    let id = marker("usage");
    let headers = [("content-type", "application/json"), ("x-request-id", id.as_str())];
    let mut body = Rig::chat(&id, behaviour, false);
    body["model"] = json!(model);
    user.send("POST", "/v1/chat/completions", &headers, Some(body.to_string().into_bytes()));
    rig.usage_row(&id)
}

/// Each record by the names in the first line, as a reader of CSV understands it.
fn read(text: &[u8]) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_reader(text).deserialize().map(Result::unwrap).collect()
}

fn an_export_is_csv_with_every_call_of_mine_and_no_other(rig: &Rig) {
    let (user, other) = (newcomer(rig), newcomer(rig));
    let none = user.get("/v1/usage/export").expect(200);
    assert!(none.text().starts_with("id,started_at,") && none.text().ends_with("\r\n"), "{}", none.text());
    assert!(read(&none.body).is_empty());
    let rows = [
        complete(
            rig,
            &user,
            "default",
            &json!({"usage": {"prompt_tokens": 7, "completion_tokens": 3}, "finish_reason": "=1+1,\"x\""}),
        ),
        complete(rig, &user, "default", &json!({"status": 400})),
    ];
    complete(rig, &other, "default", &json!({}));
    let export = user.get("/v1/usage/export").expect(200);
    assert_eq!(export.header("content-type"), "text/csv; charset=utf-8; header=present");
    assert_eq!(export.header("cache-control"), "no-store");
    assert!(export.header("content-disposition").starts_with("attachment"));
    let records = read(&export.body);
    assert_eq!(records.len(), 2, "{records:?}");
    for (record, row) in records.iter().zip(&rows) {
        for name in
            ["id", "request_id", "user_id", "alias", "provider", "model", "status", "usage_source", "price_version"]
        {
            assert_eq!(json!(record[name]), row[name], "{name}");
        }
        for name in [
            "http_status",
            "input_tokens",
            "output_tokens",
            "cached_input_tokens",
            "cache_write_tokens",
            "cache_write_1h_tokens",
            "latency_ms",
            "attempts",
        ] {
            assert_eq!(record[name], row[name].to_string(), "{name}");
        }
        assert_eq!((record["stream"].as_str(), record["cache_hit"].as_str()), ("false", "false"));
    }
    assert_eq!((records[0]["cost_micro_usd"].as_str(), records[1]["cost_micro_usd"].as_str()), ("1.9", "0"));
    assert_eq!(user.get("/v1/usage/export?to=2020-01-01").expect(200).text().lines().count(), 1);
    rig.edge.send("HEAD", "/v1/usage/export", &[], None).expect(401);
}

fn an_export_of_many_pages_has_each_call_once_and_can_be_resumed(rig: &Rig) {
    let user = newcomer(rig);
    let row = complete(rig, &user, "default", &json!({}));
    // Three pages, many calls at the same moment, each with a text that must be quoted.
    let more = "insert into public.llm_usage (
                  id, request_id, user_id, alias, model, stream, status, input_tokens, output_tokens, cached_input_tokens,
                  usage_source, latency_ms, attempts, started_at
                )
                select gen_random_uuid(), '=n' || n, $1::text::uuid, 'a,' || n, E'line\\n\"' || n || '\"', false, 'success', n, 0, 0,
                  'none', 0, 1, timestamptz '2026-05-01' + n / 100 * interval '1 second'
                from generate_series(1, 1200) n";
    assert_eq!(database(rig).execute(more, &[&row["user_id"].as_str().unwrap()]).unwrap(), 1_200);
    let export = "/v1/usage/export?from=2026-05-01&to=2026-05-02";
    let records = read(&user.get(export).expect(200).body);
    let mut numbers: Vec<u32> = records.iter().map(|record| record["input_tokens"].parse().unwrap()).collect();
    for record in &records {
        let n = &record["input_tokens"];
        assert_eq!(record["request_id"], format!("'=n{n}"));
        assert_eq!(record["alias"], format!("a,{n}"));
        assert_eq!(record["model"], format!("line\n\"{n}\""));
    }
    assert!(records.is_sorted_by_key(|record| (record["started_at"].clone(), record["id"].clone())));
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=1_200).collect::<Vec<_>>());
    let rest = read(&user.get(&format!("{export}&after={}", records[599]["id"])).expect(200).body);
    assert_eq!(rest, records[600..]);
}

fn a_wrong_export_is_refused_before_it_begins(rig: &Rig) {
    for query in
        ["from=soon", "after=first", "group_by=day", "from=2026-01-02&to=2026-01-01", "from=2020-01-01&to=2026-01-01"]
    {
        rig.user().get(&format!("/v1/usage/export?{query}")).expect_problem(400, "invalid-request");
    }
    let unknown = format!("/v1/usage/export?after={}", "00000000-0000-0000-0000-000000000000");
    rig.user().get(&unknown).expect_problem(404, "not-found");
    rig.user().post("/v1/usage/export", &json!({})).expect_problem(405, "method-not-allowed");
}

/// An alias of the simulator without a price of its own, known to whoever has not read the catalogue yet.
fn unpriced_alias(rig: &Rig, model: &str) -> String {
    let alias = marker("unpriced");
    let mut database = database(rig);
    database.execute("insert into public.models (alias) values ($1)", &[&alias]).unwrap();
    let route = "insert into public.model_routes (alias, position, provider, model) values ($1, 1, 'simulator', $2)";
    database.execute(route, &[&alias, &model]).unwrap();
    alias
}

/// Of an edge that has not read the catalogue yet.
fn policy(word: &str) -> [(String, String); 1] {
    [("LLM_UNKNOWN_PRICE".to_owned(), word.to_owned())]
}

fn a_route_without_a_price_is_charged_by_the_table(rig: &Rig) {
    let model = marker("listed");
    let alias = unpriced_alias(rig, &model);
    let rate = |tier: &str, above: u64, input: u64| json!({"tier": tier, "above": above, "input": input, "output": 2_500, "cache_write": 3 * input});
    let rates = [rate("standard", 0, 1_000), rate("standard", 1_000, 5_000), rate("priority", 0, 9_000)];
    let price = json!({"provider": "simulator", "model": model, "rates": rates});
    let headers = [("apikey", rig.stack.supabase.secret_key.as_str()), ("content-profile", "api")];
    let payload = json!({"payload": {"version": "list-1", "prices": [price]}});
    let set = rig.supabase().post_with("/rest/v1/rpc/set_model_prices", &headers, &payload);
    assert_eq!(set, json!({"version": "list-1", "stored": 1}));
    let edge = rig.edge_with(&policy("allow"));
    let user = Client::new(&edge.url).bearer(&rig.stack.demo.access_token);
    let usage = |input: u64, written: u64| json!({"usage": {"prompt_tokens": input, "completion_tokens": 3, "prompt_tokens_details": {"cache_write_tokens": written}}});
    for (behaviour, cost) in [(usage(1_000, 0), 1_000 + 8), (usage(1_001, 1), 5_000 + 15 + 8)] {
        let row = complete(rig, &user, &alias, &behaviour);
        assert_eq!((&row["cost_nano_usd"], &row["price_version"]), (&json!(cost), &json!("list-1")), "{row}");
        assert_eq!(row["service_tier"], "default", "{row}");
    }
}

fn what_has_no_price_is_flagged_or_refused_as_the_policy_says(rig: &Rig) {
    let alias = unpriced_alias(rig, &marker("unlisted"));
    let token = &rig.stack.demo.access_token;
    let allowing = rig.edge_with(&policy("allow"));
    let row = complete(rig, &Client::new(&allowing.url).bearer(token), &alias, &json!({}));
    assert_eq!((&row["cost_nano_usd"], &row["price_version"]), (&Value::Null, &Value::Null), "{row}");
    drop(allowing);
    let denying = rig.edge_with(&policy("deny"));
    let user = Client::new(&denying.url).bearer(token);
    let mut body = Rig::chat(&marker("denied"), &json!({}), false);
    body["model"] = json!(alias);
    user.post("/v1/chat/completions", &body).expect_openai_error(404, "model_not_found");
    let listed = user.get("/v1/models").expect(200).text();
    assert!(!listed.contains(&alias) && listed.contains("default"), "{listed}");
}
