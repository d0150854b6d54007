use conformance::{Answer, Client, Rig, marker, wait_until};
use serde_json::{Value, json};

use super::orgs::{delete, join, organization, person};

super::list![
    the_same_question_is_answered_from_the_cache_and_leaves_a_row_without_a_cost,
    embeddings_are_cached_too,
    a_streamed_answer_serves_whole_and_the_other_way_round,
    another_user_s_answer_is_never_found,
    a_key_s_default_holds_where_the_header_says_nothing,
    what_is_not_repeatable_is_not_cached,
    an_answer_that_was_cut_is_not_kept,
    a_purge_begins_anew_and_is_for_those_who_run_the_organization,
];

const CHAT: &str = "/v1/chat/completions";
const EMBEDDINGS: &str = "/v1/embeddings";

/// A question that nobody else asks.
fn question(stream: bool, behaviour: &Value) -> Value {
    let word = marker("cache");
    let mut body = Rig::chat(&word, behaviour, stream);
    body["messages"][0]["content"] = json!(format!("Say something about {word}."));
    body["temperature"] = json!(0);
    body
}

fn ask(client: &Client, body: &Value, mode: &str) -> Answer {
    let path = if body["input"].is_null() { CHAT } else { EMBEDDINGS };
    let headers = [("content-type", "application/json"), ("x-qlp-cache", mode)];
    client.send("POST", path, &headers, Some(body.to_string().into_bytes())).expect(200)
}

fn used(client: &Client, body: &Value, mode: &str) -> String {
    ask(client, body, mode).header("x-qlp-cache").to_owned()
}

/// Asks for the first time. On a busy machine the edge may do without the cache, and says so.
fn ask_first(client: &Client, body: &Value) -> Answer {
    wait_until("the cache is asked", || {
        Some(ask(client, body, "read-write")).filter(|answer| answer.header("x-qlp-cache") == "miss")
    })
}

/// Asks until the answer, which is kept in the background, has been found.
fn until_hit(client: &Client, body: &Value) -> Answer {
    wait_until("the answer is kept", || {
        Some(ask(client, body, "read")).filter(|answer| answer.header("x-qlp-cache") == "hit")
    })
}

fn asked_count(rig: &Rig, body: &Value) -> usize {
    let marker = body["metadata"]["marker"].as_str().unwrap();
    let requests = rig.simulator().get(&format!("/__sim/requests?marker={marker}"));
    requests["requests"].as_array().unwrap().len()
}

fn the_same_question_is_answered_from_the_cache_and_leaves_a_row_without_a_cost(rig: &Rig) {
    let user = person(rig).client;
    let body = question(false, &json!({"usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}}));
    let first = ask_first(&user, &body);
    assert_eq!(first.header("x-qlp-attempts"), "1");
    until_hit(&user, &body);
    let asked = asked_count(rig, &body);
    let id = marker("hit");
    let headers = [("content-type", "application/json"), ("x-qlp-cache", "read"), ("x-request-id", id.as_str())];
    let hit = user.send("POST", CHAT, &headers, Some(body.to_string().into_bytes())).expect(200);
    assert_eq!(hit.text(), first.text(), "byte for byte");
    let header = |name: &str| hit.header(name).to_owned();
    assert_eq!([header("x-qlp-cache"), header("x-qlp-attempts"), header("x-qlp-cost-usd")], ["hit", "0", "0"]);
    assert!(!header("ratelimit").is_empty());
    assert_eq!(asked_count(rig, &body), asked, "no provider is asked");
    let row = rig.usage_row(&id);
    assert_eq!(
        (&row["cache_hit"], &row["cost_nano_usd"], &row["attempts"]),
        (&json!(true), &json!(0), &json!(0)),
        "{row}"
    );
    assert_eq!(
        (&row["input_tokens"], &row["output_tokens"], &row["status"]),
        (&json!(11), &json!(7), &json!("success"))
    );
}

fn embeddings_are_cached_too(rig: &Rig) {
    let user = person(rig).client;
    let body = json!({"model": "default", "input": [marker("cache"), "Hello."]});
    let first = ask_first(&user, &body);
    let hit = until_hit(&user, &body);
    assert_eq!(hit.text(), first.text(), "byte for byte");
    assert_eq!([hit.header("x-qlp-attempts"), hit.header("x-qlp-cost-usd")], ["0", "0"]);
    assert_eq!(hit.json()["data"].as_array().map(Vec::len), Some(2));
    let mut other = body.clone();
    other["encoding_format"] = json!("base64");
    assert_eq!(used(&user, &other, "read"), "miss");
}

fn a_streamed_answer_serves_whole_and_the_other_way_round(rig: &Rig) {
    let user = person(rig).client;
    let text = |answer: &Answer| -> String {
        let lines = answer.text();
        let data = lines.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
        let chunks = data.map(|data| serde_json::from_str::<Value>(data).unwrap());
        chunks.filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
    };
    let mut body = question(true, &json!({"tokens": 12}));
    let streamed = ask_first(&user, &body);
    let replayed = until_hit(&user, &body);
    assert_eq!(replayed.text(), streamed.text(), "event for event");
    assert_eq!(replayed.header("content-type"), "text/event-stream");
    body["stream"] = json!(false);
    let whole = ask(&user, &body, "read");
    assert_eq!(whole.header("x-qlp-cache"), "hit");
    assert_eq!(whole.json()["choices"][0]["message"]["content"], json!(text(&streamed)));

    let mut body = question(false, &json!({"tokens": 12}));
    let whole = ask_first(&user, &body);
    until_hit(&user, &body);
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let streamed = ask(&user, &body, "read");
    assert_eq!(streamed.header("x-qlp-cache"), "hit");
    assert_eq!(json!(text(&streamed)), whole.json()["choices"][0]["message"]["content"]);
    assert!(streamed.text().contains("\"completion_tokens\":12") && streamed.text().ends_with("data: [DONE]\n\n"));
}

fn another_user_s_answer_is_never_found(rig: &Rig) {
    let (one, other) = (person(rig).client, person(rig).client);
    let body = question(false, &json!({}));
    ask_first(&one, &body);
    until_hit(&one, &body);
    assert_eq!(used(&other, &body, "read"), "miss");
}

fn a_key_s_default_holds_where_the_header_says_nothing(rig: &Rig) {
    let owner = person(rig);
    let wish = json!({"name": "cached", "scopes": ["llm"], "cache": "read-write"});
    let key = owner.client.post("/auth/keys", &wish).expect(201).json();
    let key = rig.edge.bearer(key["key"].as_str().unwrap());
    let body = question(false, &json!({}));
    assert_eq!(key.post(CHAT, &body).expect(200).header("x-qlp-cache"), "miss");
    wait_until("the key's answer is kept", || {
        Some(key.post(CHAT, &body).expect(200)).filter(|answer| answer.header("x-qlp-cache") == "hit")
    });
    assert_eq!(used(&key, &body, "off"), "off");
    assert_eq!(owner.client.post(CHAT, &body).expect(200).header("x-qlp-cache"), "", "who has not asked for it");
}

fn what_is_not_repeatable_is_not_cached(rig: &Rig) {
    let user = person(rig).client;
    let mut body = question(false, &json!({}));
    body["temperature"] = Value::Null;
    assert_eq!(used(&user, &body, "read-write"), "off");
    let headers = [("content-type", "application/json"), ("x-qlp-cache", "sometimes")];
    let refused = user.send("POST", CHAT, &headers, Some(body.to_string().into_bytes()));
    refused.expect_openai_error(400, "invalid_request");
}

fn an_answer_that_was_cut_is_not_kept(rig: &Rig) {
    let user = person(rig).client;
    let body = question(false, &json!({"finish_reason": "length"}));
    assert_eq!(used(&user, &body, "read-write"), "miss");
    let kept = question(false, &json!({}));
    ask_first(&user, &kept);
    until_hit(&user, &kept);
    assert_eq!(used(&user, &body, "read"), "miss");
}

fn a_purge_begins_anew_and_is_for_those_who_run_the_organization(rig: &Rig) {
    let (owner, viewer) = (person(rig), person(rig));
    let org = organization(&owner);
    join(&owner, &org, &viewer, "viewer");
    for person in [&owner, &viewer] {
        person.client.send("POST", &format!("{org}/switch"), &[], None).expect(200);
    }
    let (owner, viewer) = (owner.refreshed(rig).client, viewer.refreshed(rig).client);
    let body = question(false, &json!({}));
    ask_first(&owner, &body);
    until_hit(&viewer, &body);
    delete(&viewer, "/v1/cache").expect(403);
    assert_eq!(used(&viewer, &body, "read"), "hit");
    delete(&owner, "/v1/cache").expect(204);
    wait_until("the purge has reached every instance", || (used(&viewer, &body, "read") == "miss").then_some(()));
    delete(&rig.edge, "/v1/cache").expect(401);
}
