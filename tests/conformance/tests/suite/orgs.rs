use conformance::{Answer, Client, Rig, marker};
use serde_json::{Value, json};

super::list![
    a_new_organization_is_its_founders,
    an_invitation_makes_its_addressee_a_member_once,
    an_invitation_serves_nobody_but_its_addressee,
    what_is_wrong_in_a_body_is_told_with_its_place,
    a_stranger_sees_nothing_and_is_told_nothing,
    a_viewer_is_told_which_permission_is_missing,
    roles_change_within_ones_own_permissions,
    the_last_owner_stays_until_somebody_else_is_owner,
    further_roles_are_made_given_and_taken,
    teams_hold_members_of_their_organization,
    the_organization_of_the_next_token_is_chosen,
    an_api_key_does_not_manage_organizations,
    an_id_that_is_none_names_nothing,
];

/// Somebody who signed in.
pub struct Person {
    pub id: String,
    pub email: String,
    pub refresh_token: String,
    pub client: Client,
}

pub fn person(rig: &Rig) -> Person {
    let (email, session) = rig.new_user();
    let text = |name: &str| session[name].as_str().unwrap().to_owned();
    let client = rig.edge.bearer(&text("access_token"));
    Person { id: session["user"]["id"].as_str().unwrap().into(), email, refresh_token: text("refresh_token"), client }
}

impl Person {
    /// The same person with a token of now: what a change of their rights asks for within ten seconds.
    pub fn refreshed(&self, rig: &Rig) -> Self {
        let session = rig.edge.post("/auth/refresh", &json!({"refresh_token": self.refresh_token})).expect(200).json();
        let text = |name: &str| session[name].as_str().unwrap().to_owned();
        let client = rig.edge.bearer(&text("access_token"));
        Self { id: self.id.clone(), email: self.email.clone(), refresh_token: text("refresh_token"), client }
    }
}

pub fn call(client: &Client, method: &str, path: &str, body: &Value) -> Answer {
    client.send(method, path, &[("content-type", "application/json")], Some(body.to_string().into_bytes()))
}

pub fn delete(client: &Client, path: &str) -> Answer {
    client.send("DELETE", path, &[], None)
}

/// The path of a new organization of `owner`.
pub fn organization(owner: &Person) -> String {
    let made = owner.client.post("/auth/orgs", &json!({"name": marker("org")})).expect(201).json();
    format!("/auth/orgs/{}", made["id"].as_str().unwrap())
}

/// Makes `guest` a member.
pub fn join(owner: &Person, org: &str, guest: &Person, role: &str) {
    let invitation = json!({"email": guest.email, "role": role});
    let invitation = owner.client.post(&format!("{org}/invitations"), &invitation).expect(201).json();
    let joined =
        guest.client.post("/auth/invitations/accept", &json!({"token": invitation["token"]})).expect(200).json();
    assert_eq!((joined["role"].as_str(), org.ends_with(joined["org_id"].as_str().unwrap())), (Some(role), true));
}

fn pointer(problem: &Value) -> &str {
    problem["errors"][0]["pointer"].as_str().unwrap_or_else(|| panic!("{problem}"))
}

fn a_new_organization_is_its_founders(rig: &Rig) {
    let founder = person(rig);
    let org = organization(&founder);
    let made = founder.client.get(&org).expect(200).json();
    assert_eq!((&made["role"], &made["personal"]), (&json!("owner"), &json!(false)));
    let listed = founder.client.get("/auth/orgs").expect(200);
    assert!(listed.header("cache-control").contains("no-store"));
    assert_eq!(listed.json()["data"].as_array().unwrap().len(), 2, "the personal one and this one");
    let renamed = call(&founder.client, "PATCH", &org, &json!({"name": "Renamed"})).expect(200).json();
    assert_eq!((&renamed["name"], &renamed["id"]), (&json!("Renamed"), &made["id"]));
    let members = founder.client.get(&format!("{org}/members")).expect(200).json();
    assert_eq!(members["data"][0]["email"], founder.email);
    assert!(delete(&founder.client, &org).expect(204).body.is_empty());
    let founder = founder.refreshed(rig);
    founder.client.get(&org).expect_problem(404, "not-found");
    let personal = founder.client.get("/auth/orgs").expect(200).json()["data"][0]["id"].clone();
    delete(&founder.client, &format!("/auth/orgs/{}", personal.as_str().unwrap())).expect_problem(409, "conflict");
}

fn an_invitation_makes_its_addressee_a_member_once(rig: &Rig) {
    let (owner, guest) = (person(rig), person(rig));
    let org = organization(&owner);
    let body = json!({"email": guest.email, "role": "developer", "expires_in_seconds": 3600});
    let invitation = owner.client.post(&format!("{org}/invitations"), &body).expect(201).json();
    let token = invitation["token"].as_str().unwrap();
    assert!(token.starts_with("qlp_invite_") && token.len() == 54, "{token}");
    let listed = owner.client.get(&format!("{org}/invitations")).expect(200);
    assert!(!listed.text().contains(token), "a token is shown once");
    assert_eq!(listed.json()["data"][0]["id"], invitation["id"]);
    rig.edge.bearer(token).get("/auth/session").expect_problem(401, "invalid-token");

    let accept = || guest.client.post("/auth/invitations/accept", &json!({"token": token}));
    let joined = accept().expect(200).json();
    assert_eq!((&joined["org_id"], &joined["role"]), (&invitation["org_id"], &json!("developer")));
    assert_eq!(guest.client.get(&org).expect(200).json()["role"], "developer");
    assert_eq!(pointer(&accept().expect_problem(404, "not-found")), "/token");
    assert_eq!(owner.client.get(&format!("{org}/invitations")).expect(200).json()["data"], json!([]));
}

fn an_invitation_serves_nobody_but_its_addressee(rig: &Rig) {
    let (owner, guest, thief) = (person(rig), person(rig), person(rig));
    let org = organization(&owner);
    let invite = || {
        let body = json!({"email": guest.email, "role": "viewer"});
        owner.client.post(&format!("{org}/invitations"), &body).expect(201).json()
    };
    let invitation = invite();
    let accept = |person: &Person, invitation: &Value| {
        person.client.post("/auth/invitations/accept", &json!({"token": invitation["token"]}))
    };
    accept(&thief, &invitation).expect_problem(404, "not-found");
    let path = format!("{org}/invitations/{}", invitation["id"].as_str().unwrap());
    delete(&thief.client, &path).expect_problem(404, "not-found");
    let of_another = format!("{}/invitations/{}", organization(&owner), invitation["id"].as_str().unwrap());
    delete(&owner.client, &of_another).expect_problem(404, "not-found");
    delete(&owner.client, &path).expect(204);
    accept(&guest, &invitation).expect_problem(404, "not-found");
    accept(&guest, &invite()).expect(200);
}

fn what_is_wrong_in_a_body_is_told_with_its_place(rig: &Rig) {
    let owner = person(rig);
    let org = organization(&owner);
    let place = |status, slug, method: &str, path: &str, body: Value| {
        pointer(&call(&owner.client, method, path, &body).expect_problem(status, slug)).to_owned()
    };
    let refused = |path: &str, body| place(422, "unprocessable", "POST", path, body);
    let malformed = |path: &str, body| place(400, "invalid-request", "POST", path, body);
    assert_eq!(refused("/auth/orgs", json!({"name": " "})), "/name");
    assert_eq!(malformed("/auth/orgs", json!({"name": "a", "tier": "T3"})), "/tier");
    let invitations = format!("{org}/invitations");
    assert_eq!(refused(&invitations, json!({"email": "nobody", "role": "viewer"})), "/email");
    assert_eq!(refused(&invitations, json!({"email": "a@example.com", "role": "king"})), "/role");
    let long = json!({"email": "a@example.com", "role": "viewer", "expires_in_seconds": 3_000_000});
    assert_eq!(refused(&invitations, long), "/expires_in_seconds");
    assert_eq!(malformed("/auth/invitations/accept", json!({"token": "qlp_invite_x"})), "/token");
    assert_eq!(malformed(&format!("{org}/transfer"), json!({"user_id": "somebody"})), "/user_id");
    assert_eq!(place(422, "unprocessable", "PATCH", &org, json!({"name": ""})), "/name");
    assert_eq!(refused(&format!("{org}/transfer"), json!({"user_id": owner.id})), "/user_id");
    owner.client.post("/auth/orgs", &json!({"name": "a\u{0}b"})).expect_problem(422, "unprocessable");
    let answer = owner.client.send("PUT", "/auth/orgs", &[], None);
    assert_eq!(answer.header("allow"), "GET, HEAD, POST");
    answer.expect_problem(405, "method-not-allowed");
}

fn a_stranger_sees_nothing_and_is_told_nothing(rig: &Rig) {
    let (owner, stranger) = (person(rig), person(rig));
    let org = organization(&owner);
    let team = owner.client.post(&format!("{org}/teams"), &json!({"name": "secret"})).expect(201).json();
    let team = format!("/auth/teams/{}", team["id"].as_str().unwrap());
    let member = format!("{org}/members/{}", owner.id);
    let calls = [
        ("GET", org.clone(), json!(null)),
        ("PATCH", org.clone(), json!({"name": "mine"})),
        ("DELETE", org.clone(), json!(null)),
        ("POST", format!("{org}/switch"), json!(null)),
        ("POST", format!("{org}/leave"), json!(null)),
        ("POST", format!("{org}/transfer"), json!({"user_id": stranger.id})),
        ("GET", format!("{org}/members"), json!(null)),
        ("PATCH", member.clone(), json!({"role": "viewer"})),
        ("DELETE", member, json!(null)),
        ("GET", format!("{org}/roles"), json!(null)),
        ("POST", format!("{org}/roles"), json!({"name": "r", "permissions": []})),
        ("GET", format!("{org}/invitations"), json!(null)),
        ("POST", format!("{org}/invitations"), json!({"email": stranger.email, "role": "owner"})),
        ("GET", format!("{org}/teams"), json!(null)),
        ("POST", format!("{org}/teams"), json!({"name": "t"})),
        ("PATCH", team.clone(), json!({"name": "mine"})),
        ("PUT", format!("{team}/members/{}", stranger.id), json!(null)),
        ("DELETE", team, json!(null)),
        ("GET", format!("/auth/audit?org={}", org.rsplit('/').next().unwrap()), json!(null)),
        ("GET", format!("/auth/audit/export?org={}", org.rsplit('/').next().unwrap()), json!(null)),
    ];
    for (method, path, body) in calls {
        let answer = if body.is_null() {
            stranger.client.send(method, &path, &[], None)
        } else {
            call(&stranger.client, method, &path, &body)
        };
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text());
        assert!(!answer.text().contains(&owner.email) && !answer.text().contains("secret"), "{}", answer.text());
    }
    owner.client.get(&org).expect(200);
}

fn a_viewer_is_told_which_permission_is_missing(rig: &Rig) {
    let (owner, viewer) = (person(rig), person(rig));
    let org = organization(&owner);
    join(&owner, &org, &viewer, "viewer");
    let id = org.rsplit('/').next().unwrap();
    let detail =
        |answer: Answer| answer.expect_problem(403, "permission-denied")["detail"].as_str().unwrap().to_owned();
    let client = &viewer.client;
    for (answer, permission) in [
        (call(client, "PATCH", &org, &json!({"name": "mine"})), "organization:write"),
        (delete(client, &org), "organization:delete"),
        (client.get(&format!("{org}/invitations")), "members:write"),
        (
            client.post(&format!("{org}/invitations"), &json!({"email": "a@example.com", "role": "viewer"})),
            "members:write",
        ),
        (delete(client, &format!("{org}/members/{}", owner.id)), "members:write"),
        (client.post(&format!("{org}/roles"), &json!({"name": "r", "permissions": []})), "roles:write"),
        (client.post(&format!("{org}/teams"), &json!({"name": "t"})), "teams:write"),
        (client.get(&format!("/auth/audit?org={id}")), "audit:read"),
        (client.get(&format!("/auth/audit/export?org={id}")), "audit:read"),
    ] {
        assert_eq!(detail(answer), format!("This needs the permission {permission}."));
    }
    client.get(&format!("{org}/members")).expect(200);
}

fn roles_change_within_ones_own_permissions(rig: &Rig) {
    let (owner, admin, developer) = (person(rig), person(rig), person(rig));
    let org = organization(&owner);
    join(&owner, &org, &admin, "admin");
    join(&admin, &org, &developer, "developer");
    let change = |by: &Person, member: &Person, role: &str| {
        call(&by.client, "PATCH", &format!("{org}/members/{}", member.id), &json!({"role": role}))
    };
    assert_eq!(change(&admin, &developer, "viewer").expect(200).json()["role"], "viewer");
    assert_eq!(pointer(&change(&admin, &developer, "owner").expect_problem(403, "permission-denied")), "/role");
    change(&admin, &owner, "viewer").expect_problem(403, "permission-denied");
    assert_eq!(pointer(&change(&owner, &developer, "king").expect_problem(422, "unprocessable")), "/role");
    delete(&admin.client, &format!("{org}/members/{}", developer.id)).expect(204);
    developer.refreshed(rig).client.get(&org).expect_problem(404, "not-found");
    change(&owner, &developer, "viewer").expect_problem(404, "not-found");
}

fn the_last_owner_stays_until_somebody_else_is_owner(rig: &Rig) {
    let (owner, heir) = (person(rig), person(rig));
    let org = organization(&owner);
    let leave = |person: &Person| person.client.send("POST", &format!("{org}/leave"), &[], None);
    leave(&owner).expect_problem(409, "conflict");
    let member = format!("{org}/members/{}", owner.id);
    call(&owner.client, "PATCH", &member, &json!({"role": "admin"})).expect_problem(409, "conflict");
    join(&owner, &org, &heir, "viewer");
    let transfer = |by: &Person, to: &Person| by.client.post(&format!("{org}/transfer"), &json!({"user_id": to.id}));
    transfer(&heir, &heir).expect_problem(403, "permission-denied");
    assert_eq!(transfer(&owner, &heir).expect(200).json()["owner_id"], heir.id);
    let (owner, heir) = (owner.refreshed(rig), heir.refreshed(rig));
    assert_eq!(owner.client.get(&org).expect(200).json()["role"], "admin");
    leave(&owner).expect(204);
    owner.refreshed(rig).client.get(&org).expect_problem(404, "not-found");
    leave(&heir).expect_problem(409, "conflict");
}

fn further_roles_are_made_given_and_taken(rig: &Rig) {
    let (owner, admin, viewer) = (person(rig), person(rig), person(rig));
    let org = organization(&owner);
    join(&owner, &org, &admin, "admin");
    join(&owner, &org, &viewer, "viewer");
    let roles = format!("{org}/roles");
    let too_much = json!({"name": "founder", "permissions": ["organization:delete"]});
    let problem = admin.client.post(&roles, &too_much).expect_problem(403, "permission-denied");
    assert_eq!(pointer(&problem), "/permissions");
    let made = admin.client.post(&roles, &json!({"name": "auditor", "permissions": ["audit:read"]})).expect(201).json();
    assert_eq!((&made["built_in"], &made["permissions"]), (&json!(false), &json!(["audit:read"])));
    assert_eq!(owner.client.get(&roles).expect(200).json()["data"].as_array().unwrap().len(), 5);
    admin.client.post(&roles, &json!({"name": "auditor", "permissions": []})).expect_problem(409, "conflict");

    let role = made["id"].as_str().unwrap();
    let audit = format!("/auth/audit?org={}", org.rsplit('/').next().unwrap());
    viewer.client.get(&audit).expect(403);
    let assigned = format!("{org}/members/{}/roles/{role}", viewer.id);
    for _ in 0..2 {
        assert_eq!(admin.client.send("PUT", &assigned, &[], None).expect(200).json()["name"], "auditor");
    }
    viewer.client.get(&audit).expect(200);
    let of_another = format!("{}/roles/{role}", organization(&owner));
    delete(&owner.client, &of_another).expect_problem(404, "not-found");
    delete(&admin.client, &assigned).expect(204);
    viewer.refreshed(rig).client.get(&audit).expect(403);
    delete(&admin.client, &assigned).expect_problem(404, "not-found");
    delete(&admin.client, &format!("{roles}/{role}")).expect(204);
}

fn teams_hold_members_of_their_organization(rig: &Rig) {
    let (owner, member, stranger) = (person(rig), person(rig), person(rig));
    let org = organization(&owner);
    join(&owner, &org, &member, "developer");
    let teams = format!("{org}/teams");
    let made = owner.client.post(&teams, &json!({"name": "Edge"})).expect(201).json();
    owner.client.post(&teams, &json!({"name": "Edge"})).expect_problem(409, "conflict");
    let team = format!("/auth/teams/{}", made["id"].as_str().unwrap());
    let put = |person: &Person| owner.client.send("PUT", &format!("{team}/members/{}", person.id), &[], None);
    put(&member).expect(200);
    put(&member).expect(200);
    put(&stranger).expect_problem(404, "not-found");
    assert_eq!(member.client.get(&teams).expect(200).json()["data"][0]["members"], json!([member.id]));
    assert_eq!(call(&owner.client, "PATCH", &team, &json!({"name": "Core"})).expect(200).json()["name"], "Core");
    delete(&owner.client, &format!("{team}/members/{}", member.id)).expect(204);
    delete(&owner.client, &format!("{team}/members/{}", member.id)).expect_problem(404, "not-found");
    delete(&owner.client, &team).expect(204);
    assert_eq!(owner.client.get(&teams).expect(200).json()["data"], json!([]));
}

fn the_organization_of_the_next_token_is_chosen(rig: &Rig) {
    let owner = person(rig);
    let org = organization(&owner);
    let id = org.rsplit('/').next().unwrap();
    let switched = owner.client.send("POST", &format!("{org}/switch"), &[], None).expect(200).json();
    assert_eq!(switched["org_id"], id);
    let session = rig.edge.post("/auth/refresh", &json!({"refresh_token": owner.refresh_token})).expect(200).json();
    let principal = rig.edge.bearer(session["access_token"].as_str().unwrap()).get("/auth/session").expect(200).json();
    assert_eq!(principal["org_id"], id);
}

fn an_api_key_does_not_manage_organizations(rig: &Rig) {
    let owner = person(rig);
    let org = organization(&owner);
    let key = owner.client.post("/auth/keys", &json!({"name": "k", "scopes": ["llm"]})).expect(201).json();
    let key = rig.edge.bearer(key["key"].as_str().unwrap());
    for path in ["/auth/orgs", &org, &format!("{org}/members"), "/auth/audit", "/auth/audit/export", "/auth/keys"] {
        key.get(path).expect_problem(403, "permission-denied");
    }
    rig.edge.get("/auth/orgs").expect_problem(401, "credential-missing");
}

fn an_id_that_is_none_names_nothing(rig: &Rig) {
    let owner = person(rig);
    let org = organization(&owner);
    for path in ["/auth/orgs/1", "/auth/orgs/", "/auth/orgs/%00", &format!("{org}/"), &format!("{org}/nothing")] {
        owner.client.get(path).expect_problem(404, "not-found");
    }
    for path in ["/auth/teams/1", &format!("{org}/members/me"), &format!("{org}/roles/owner"), "/auth/keys/1"] {
        delete(&owner.client, path).expect_problem(404, "not-found");
    }
}
