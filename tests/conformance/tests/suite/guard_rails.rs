use conformance::{Client, Rig, marker};
use serde_json::{Value, json};

use super::orgs::{Person, call, organization, person};
use super::second_factor::database;

super::list![
    a_key_uses_and_lists_only_the_models_that_it_allows,
    a_key_uses_only_the_endpoints_that_it_allows,
    a_key_bounds_the_length_of_an_answer_and_says_so_to_the_provider,
    a_token_exchanged_for_a_key_keeps_to_its_rules,
    the_rules_of_a_key_are_shown_changed_and_kept_by_rotation,
    a_tier_allows_what_its_row_says,
];

const CHAT: &str = "/v1/chat/completions";

fn make(rig: &Rig, owner: &Person, rules: &Value) -> (Value, Client) {
    let mut wish = json!({"name": "railed", "scopes": ["llm"]});
    wish.as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
    let key = owner.client.post("/auth/keys", &wish).expect(201).json();
    let client = rig.edge.bearer(key["key"].as_str().unwrap());
    (key, client)
}

fn listed(client: &Client) -> Vec<String> {
    let list = client.get("/v1/models").expect(200).json();
    list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

/// What the provider was asked in the request with `marker`; nothing if it was not asked.
fn asked(rig: &Rig, marker: &str) -> Option<Value> {
    let requests = rig.simulator().get(&format!("/__sim/requests?marker={marker}"));
    let request = requests["requests"].as_array().unwrap().last().cloned()?;
    serde_json::from_str(request["body"].as_str().unwrap()).ok()
}

fn a_key_uses_and_lists_only_the_models_that_it_allows(rig: &Rig) {
    let (_, key) = make(rig, &person(rig), &json!({"allowed_models": ["sim-1"]}));
    assert_eq!(listed(&key), ["sim-1"]);
    let word = marker("models");
    let mut body = Rig::chat(&word, &json!({}), false);
    let error = key.post(CHAT, &body).expect_openai_error(403, "model_not_allowed");
    assert_eq!(error["param"], "model");
    assert_eq!(asked(rig, &word), None);
    body["model"] = json!("sim-1");
    key.post(CHAT, &body).expect(200);
}

fn a_key_uses_only_the_endpoints_that_it_allows(rig: &Rig) {
    let owner = person(rig);
    let (_, key) = make(rig, &owner, &json!({"allowed_endpoints": ["/v1/embeddings"]}));
    let body = Rig::chat(&marker("endpoints"), &json!({}), false);
    key.post(CHAT, &body).expect_openai_error(403, "endpoint_not_allowed");
    key.get("/v1/models").expect(200);
    let (_, key) = make(rig, &owner, &json!({"allowed_endpoints": [CHAT]}));
    key.post(CHAT, &body).expect(200);
}

fn a_key_bounds_the_length_of_an_answer_and_says_so_to_the_provider(rig: &Rig) {
    let (_, key) = make(rig, &person(rig), &json!({"max_output_tokens": 40}));
    let word = marker("length");
    let mut body = Rig::chat(&word, &json!({}), false);
    body["max_tokens"] = json!(41);
    let error = key.post(CHAT, &body).expect_openai_error(400, "invalid_request");
    assert_eq!(error["param"], "max_tokens");
    assert_eq!(asked(rig, &word), None);
    for (said, sent) in [(Value::Null, 40), (json!(7), 7)] {
        let word = marker("length");
        body["max_tokens"] = said;
        body["metadata"]["marker"] = json!(word);
        key.post(CHAT, &body).expect(200);
        assert_eq!(asked(rig, &word).unwrap()["max_tokens"], sent);
    }
}

fn a_token_exchanged_for_a_key_keeps_to_its_rules(rig: &Rig) {
    let (key, _) = make(rig, &person(rig), &json!({"allowed_models": ["sim-1"], "max_output_tokens": 40}));
    let form = format!(
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={}\
         &subject_token_type=urn:qlp:params:oauth:token-type:api-key",
        key["key"].as_str().unwrap()
    );
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let issued = rig.edge.send("POST", "/auth/token", &headers, Some(form.into_bytes())).expect(200).json();
    let token = rig.edge.bearer(issued["access_token"].as_str().unwrap());
    assert_eq!(listed(&token), ["sim-1"]);
    let mut body = Rig::chat(&marker("exchanged"), &json!({}), false);
    token.post(CHAT, &body).expect_openai_error(403, "model_not_allowed");
    body["model"] = json!("sim-1");
    body["max_completion_tokens"] = json!(41);
    token.post(CHAT, &body).expect_openai_error(400, "invalid_request");
}

fn the_rules_of_a_key_are_shown_changed_and_kept_by_rotation(rig: &Rig) {
    let owner = person(rig);
    let rules =
        json!({"allowed_models": ["sim-1"], "allowed_endpoints": [CHAT], "max_output_tokens": 9, "cache": "read"});
    let shows = |key: &Value, rules: &Value| rules.as_object().unwrap().iter().all(|(name, value)| key[name] == *value);
    let (key, _) = make(rig, &owner, &rules);
    assert!(shows(&key, &rules), "{key}");
    let path = format!("/auth/keys/{}", key["id"].as_str().unwrap());
    let change = json!({"allowed_models": [], "max_output_tokens": null});
    let changed = call(&owner.client, "PATCH", &path, &change).expect(200).json();
    let left = json!({"allowed_models": [], "allowed_endpoints": [CHAT], "max_output_tokens": null, "cache": "read"});
    assert!(shows(&changed, &left) && changed.get("key").is_none(), "{changed}");
    let new = owner.client.post(&format!("{path}/rotate"), &json!({})).expect(201).json();
    assert!(shows(&new, &left), "{new}");
    let problem = call(&owner.client, "PATCH", &path, &json!({"allowed_endpoints": [CHAT, "/v1/usage"]}));
    let problem = problem.expect_problem(400, "invalid-request");
    assert_eq!(problem["errors"][0]["pointer"], "/allowed_endpoints/1");
    call(&owner.client, "PATCH", &path, &json!({"scopes": ["webhooks"]})).expect_problem(400, "invalid-request");
}

fn a_tier_allows_what_its_row_says(rig: &Rig) {
    let owner = person(rig);
    let org = organization(&owner).rsplit('/').next().unwrap().to_owned();
    owner.client.send("POST", &format!("/auth/orgs/{org}/switch"), &[], None).expect(200);
    let raise = "update public.organizations set tier = 'T3' where id = $1::text::uuid";
    assert_eq!(database(rig).execute(raise, &[&org]).unwrap(), 1);
    let rule = "insert into public.llm_tier_rules values ('T3', '{sim-1}', 30) on conflict do nothing";
    database(rig).execute(rule, &[]).unwrap();
    // One that has no catalogue yet.
    let edge = rig.edge_with(&[("LLM_IDLE_TIMEOUT_MS".into(), "1600".into())]);
    let client = Client::new(&edge.url);
    let session = client.post("/auth/refresh", &json!({"refresh_token": owner.refresh_token})).expect(200).json();
    let client = client.bearer(session["access_token"].as_str().unwrap());
    assert_eq!(listed(&client), ["sim-1"]);
    let mut body = Rig::chat(&marker("tier"), &json!({}), false);
    client.post(CHAT, &body).expect_openai_error(403, "model_not_allowed");
    body["model"] = json!("sim-1");
    body["max_tokens"] = json!(31);
    client.post(CHAT, &body).expect_openai_error(400, "invalid_request");
    body["max_tokens"] = json!(30);
    client.post(CHAT, &body).expect(200);
}
