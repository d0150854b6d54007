use conformance::{Rig, marker, wait_until};
use serde_json::{Value, json};

use super::orgs::{Person, call, join, organization, person};

super::list![
    nothing_is_logged_unless_an_owner_wants_it,
    prompts_and_answers_are_logged_without_the_secrets_in_them,
    a_key_s_calls_are_logged_too_and_not_any_more_when_it_is_switched_off,
];

const KEY: &str = "sk-proj-Ab3dEf6hIj9lMn2pQr5tUv8xYz1B";

/// An owner whose organization keeps prompts for `days`, with a token that says so, and the organization's path.
fn owner(rig: &Rig, days: &Value) -> (Person, String) {
    let owner = person(rig);
    let org = organization(&owner);
    owner.client.send("POST", &format!("{org}/switch"), &[], None).expect(200);
    let set = call(&owner.client, "PATCH", &org, &json!({"prompt_log_days": days})).expect(200).json();
    assert_eq!(set["prompt_log_days"], *days);
    (owner.refreshed(rig), org)
}

/// What was logged with `word` in it.
fn logs(rig: &Rig, org: &str) -> Vec<Value> {
    let org = org.rsplit('/').next().unwrap();
    let headers = [("apikey", rig.stack.supabase.secret_key.as_str()), ("accept-profile", "public")];
    let rows = rig.supabase().get_with(&format!("/rest/v1/llm_prompt_logs?org_id=eq.{org}&select=*"), &headers);
    rows.as_array().cloned().unwrap_or_else(|| panic!("no rows but {rows}"))
}

fn ask(owner: &conformance::Client, word: &str, stream: bool) -> String {
    let body = json!({
        "model": "default", "stream": stream,
        "messages": [{"role": "user", "content": [{"type": "text", "text": format!("{word} {}", &KEY[..12])}, {"type": "text", "text": &KEY[12..]}]}],
        "metadata": {"marker": word, "sim": json!({"text": format!("Ask jane@example.com about {KEY}.")}).to_string()},
    });
    let headers = [("content-type", "application/json"), ("x-request-id", word)];
    owner.send("POST", "/v1/chat/completions", &headers, Some(body.to_string().into_bytes())).expect(200).text()
}

fn nothing_is_logged_unless_an_owner_wants_it(rig: &Rig) {
    let (owner, org) = owner(rig, &Value::Null);
    let word = marker("unlogged");
    ask(&owner.client, &word, false);
    rig.usage_row(&word);
    assert_eq!(logs(rig, &org), [Value::Null; 0]);
    let admin = person(rig);
    join(&owner, &org, &admin, "admin");
    call(&admin.client, "PATCH", &org, &json!({"prompt_log_days": 3})).expect_problem(403, "permission-denied");
    let odd = call(&owner.client, "PATCH", &org, &json!({"prompt_log_days": 366})).expect_problem(422, "unprocessable");
    assert_eq!(odd["errors"][0]["pointer"], "/prompt_log_days");
}

fn prompts_and_answers_are_logged_without_the_secrets_in_them(rig: &Rig) {
    for stream in [false, true] {
        let (owner, org) = owner(rig, &json!(3));
        let word = marker("logged");
        let answer = ask(&owner.client, &word, stream);
        assert!(!answer.contains("[key]"), "the caller gets what the provider said: {answer}");
        let log = wait_until("the prompt is logged", || logs(rig, &org).pop());
        assert_eq!(log["prompt"], json!([{"role": "user", "text": format!("{word} [key]")}]), "{log}");
        assert_eq!(log["answer"], "Ask [e-mail] about [key].", "{log}");
        assert_eq!(log["id"], rig.usage_row(&word)["id"]);
    }
}

fn a_key_s_calls_are_logged_too_and_not_any_more_when_it_is_switched_off(rig: &Rig) {
    let (owner, org) = owner(rig, &json!(3));
    let key = owner.client.post("/auth/keys", &json!({"name": "logged", "scopes": ["llm"]})).expect(201).json();
    let key = rig.edge.bearer(key["key"].as_str().unwrap());
    ask(&key, &marker("key"), false);
    wait_until("the prompt is logged", || logs(rig, &org).pop());
    call(&owner.client, "PATCH", &org, &json!({"prompt_log_days": null})).expect(200);
    let word = marker("off");
    ask(&key, &word, false);
    rig.usage_row(&word);
    assert_eq!(logs(rig, &org).len(), 1);
}
