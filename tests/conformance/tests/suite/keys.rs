use conformance::{Client, Rig, wait_until};
use serde_json::{Value, json};

use super::orgs::{Person, join, organization, person};

super::list![
    a_rotated_key_and_its_successor_work_side_by_side_during_the_overlap,
    without_an_overlap_the_old_key_ends_at_once,
    a_key_is_rotated_once_and_by_its_owner,
    a_key_that_is_bound_to_networks_works_from_there_alone,
    networks_that_are_none_are_refused_with_their_place,
    the_use_of_a_key_is_noted,
    whoever_may_make_no_keys_is_told_what_is_missing,
];

fn make(owner: &Person, body: &Value) -> Value {
    owner.client.post("/auth/keys", body).expect(201).json()
}

fn secret(rig: &Rig, key: &Value) -> Client {
    rig.edge.bearer(key["key"].as_str().unwrap())
}

fn rotate(by: &Person, key: &Value, body: &Value) -> conformance::Answer {
    by.client.post(&format!("/auth/keys/{}/rotate", key["id"].as_str().unwrap()), body)
}

fn a_rotated_key_and_its_successor_work_side_by_side_during_the_overlap(rig: &Rig) {
    let owner = person(rig);
    let old = make(&owner, &json!({"name": "ci", "scopes": ["llm"], "allowed_cidrs": ["127.0.0.0/8", "::1/128"]}));
    let new = rotate(&owner, &old, &json!({"overlap_seconds": 600})).expect(201).json();
    for member in ["name", "scopes", "allowed_cidrs", "org_id", "user_id"] {
        assert_eq!(new[member], old[member], "{member}");
    }
    assert_ne!(new["key"], old["key"]);
    assert_eq!((&new["replaces"]["id"], &new["replaces"]["replaced_by"]), (&old["id"], &new["id"]));
    assert!(new["replaces"]["expires_at"].is_string(), "{new}");
    for key in [&old, &new] {
        secret(rig, key).get("/v1/models").expect(200);
    }
}

fn without_an_overlap_the_old_key_ends_at_once(rig: &Rig) {
    let owner = person(rig);
    let old = make(&owner, &json!({"name": "ci", "scopes": ["llm"]}));
    let new = rotate(&owner, &old, &json!({"overlap_seconds": 0})).expect(201).json();
    secret(rig, &old).get("/v1/models").expect(401);
    secret(rig, &new).get("/v1/models").expect(200);
}

fn a_key_is_rotated_once_and_by_its_owner(rig: &Rig) {
    let (owner, stranger) = (person(rig), person(rig));
    let key = make(&owner, &json!({"name": "ci", "scopes": ["llm"]}));
    rotate(&stranger, &key, &json!({})).expect_problem(404, "not-found");
    let problem = rotate(&owner, &key, &json!({"overlap_seconds": 604_801})).expect_problem(422, "unprocessable");
    assert_eq!(problem["errors"][0]["pointer"], "/overlap_seconds");
    let problem =
        rotate(&owner, &key, &json!({"expires_at": "2020-01-01T00:00:00Z"})).expect_problem(422, "unprocessable");
    assert_eq!(problem["errors"][0]["pointer"], "/expires_at");
    let problem = rotate(&owner, &key, &json!({"name": "other"})).expect_problem(400, "invalid-request");
    assert_eq!(problem["errors"][0]["pointer"], "/name");
    rotate(&owner, &key, &json!({})).expect(201);
    rotate(&owner, &key, &json!({})).expect_problem(409, "conflict");
}

fn a_key_that_is_bound_to_networks_works_from_there_alone(rig: &Rig) {
    let owner = person(rig);
    let bound = |networks: Value| make(&owner, &json!({"name": "bound", "scopes": ["llm"], "allowed_cidrs": networks}));
    let here = bound(json!(["192.0.2.0/24", "127.0.0.0/8", "::1/128"]));
    let elsewhere = bound(json!(["192.0.2.0/24", "2001:db8::/32"]));
    assert_eq!(elsewhere["allowed_cidrs"], json!(["192.0.2.0/24", "2001:db8::/32"]));
    secret(rig, &here).get("/v1/models").expect(200);
    let refused = secret(rig, &elsewhere).get("/v1/models").expect(401);
    let unknown = rig.edge.bearer("qlp_live_zzzzzzzzzzzzzzzzzzzzzzzzzzz29ePfO").get("/v1/models").expect(401);
    assert_eq!(refused.text(), unknown.text(), "it is told apart from an unknown key");
    assert_eq!(refused.header("www-authenticate"), unknown.header("www-authenticate"));
}

fn networks_that_are_none_are_refused_with_their_place(rig: &Rig) {
    let owner = person(rig);
    let place = |networks: Value| {
        let body = json!({"name": "bound", "scopes": ["llm"], "allowed_cidrs": networks});
        let problem = owner.client.post("/auth/keys", &body).expect_problem(400, "invalid-request");
        problem["errors"][0]["pointer"].as_str().unwrap().to_owned()
    };
    assert_eq!(place(json!(["127.0.0.1/8"])), "/allowed_cidrs/0");
    assert_eq!(place(json!(["127.0.0.0/8", "localhost"])), "/allowed_cidrs/1");
    assert_eq!(place(json!(vec!["127.0.0.0/8"; 21])), "/allowed_cidrs");
}

fn the_use_of_a_key_is_noted(rig: &Rig) {
    let owner = person(rig);
    let key = make(&owner, &json!({"name": "used", "scopes": ["llm"]}));
    let last_used = || {
        let listed = owner.client.get("/auth/keys").expect(200).json();
        let found = listed["data"].as_array().unwrap().iter().find(|listed| listed["id"] == key["id"]).cloned();
        found.unwrap()["last_used_at"].clone()
    };
    assert_eq!(last_used(), Value::Null);
    secret(rig, &key).get("/v1/models").expect(200);
    wait_until("the use is noted", || last_used().is_string().then_some(()));
}

fn whoever_may_make_no_keys_is_told_what_is_missing(rig: &Rig) {
    let (owner, viewer) = (person(rig), person(rig));
    let org = organization(&owner);
    join(&owner, &org, &viewer, "viewer");
    viewer.client.send("POST", &format!("{org}/switch"), &[], None).expect(200);
    let session = rig.edge.post("/auth/refresh", &json!({"refresh_token": viewer.refresh_token})).expect(200).json();
    let client = rig.edge.bearer(session["access_token"].as_str().unwrap());
    let refused = client.post("/auth/keys", &json!({"name": "k", "scopes": ["llm"]}));
    let problem = refused.expect_problem(403, "permission-denied");
    assert_eq!(problem["detail"], "This needs the permission keys:write.");
}
