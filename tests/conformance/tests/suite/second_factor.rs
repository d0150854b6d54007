use conformance::Rig;
use postgres::{Client as Database, NoTls};
use serde_json::json;

use super::orgs::{Person, call, join, organization, person};

super::list![without_the_second_factor_that_an_organization_requires_a_member_is_told_to_show_one];

/// The database, as its owner.
pub fn database(rig: &Rig) -> Database {
    Database::connect(rig.stack.database_url.as_deref().expect("a local database"), NoTls).unwrap()
}

/// The same person after a second factor, which the local surface cannot ask for.
fn with_second_factor(rig: &Rig, person: &Person) -> Person {
    let raise = "update auth.sessions set aal = 'aal2' where user_id = $1::text::uuid";
    assert_eq!(database(rig).execute(raise, &[&person.id]).unwrap(), 1);
    person.refreshed(rig)
}

fn without_the_second_factor_that_an_organization_requires_a_member_is_told_to_show_one(rig: &Rig) {
    let (owner, member) = (person(rig), person(rig));
    let org = organization(&owner);
    join(&owner, &org, &member, "developer");
    let choose = |person: &Person| {
        person.client.send("POST", &format!("{org}/switch"), &[], None).expect(200);
        person.refreshed(rig)
    };
    let (owner, member) = (choose(&owner), choose(&member));
    let key = member.client.post("/auth/keys", &json!({"name": "ci", "scopes": ["llm"]})).expect(201).json();
    let require = |person: &Person| call(&person.client, "PATCH", &org, &json!({"requires_aal2": true}));
    require(&owner).expect_problem(403, "second-factor-required");
    let owner = with_second_factor(rig, &owner);
    assert_eq!(require(&owner).expect(200).json()["requires_aal2"], true);

    // Without waiting for the edge to hear of it: the new token says so itself.
    let weak = member.refreshed(rig);
    let principal = weak.client.get("/auth/session").expect(200).json();
    assert_eq!((&principal["aal"], &principal["requires_aal2"]), (&json!("aal1"), &json!(true)));
    weak.client.get("/v1/models").expect_openai_error(403, "second_factor_required");
    weak.client.get("/v1/usage").expect_problem(403, "second-factor-required");
    weak.client.get(&format!("{org}/members")).expect_problem(403, "second-factor-required");
    let another = json!({"name": "another", "scopes": ["llm"]});
    weak.client.post("/auth/keys", &another).expect_problem(403, "second-factor-required");
    let listed = weak.client.get("/auth/orgs").expect(200).json()["data"][1].clone();
    assert_eq!((&listed["requires_aal2"], &listed["permissions"]), (&json!(true), &json!([])));

    rig.edge.bearer(key["key"].as_str().unwrap()).get("/v1/models").expect(200);
    let strong = with_second_factor(rig, &weak);
    strong.client.get("/v1/models").expect(200);
    strong.client.get(&format!("{org}/members")).expect(200);
    strong.client.post("/auth/keys", &another).expect(201);
    strong.client.send("POST", &format!("{org}/leave"), &[], None).expect(204);
}
