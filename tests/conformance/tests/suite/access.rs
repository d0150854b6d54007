//! Who may do what with an object, over HTTP: a row for every route of the function's own table.

use std::collections::BTreeSet;

use auth::{Access, ROUTES};
use conformance::{Answer, Client, PASSWORD, Rig, marker};
use serde_json::{Value, json};

use super::orgs::{Person, call, join, organization, person};
use super::second_factor::database;

super::list![every_route_answers_everybody_as_the_matrix_says, every_route_that_asks_who_is_calling_has_a_row];

/// A route, and what each of owner, admin, developer, viewer, another organization's owner, the owner's API key, an anonymous
/// user and nobody gets.
struct Row {
    route: &'static str,
    statuses: [u16; 8],
}

/// Of the first four.
const ROLES: [&str; 4] = ["owner", "admin", "developer", "viewer"];

const fn row(route: &'static str, statuses: [u16; 8]) -> Row {
    Row { route, statuses }
}

/// What changes the caller's own rights comes last.
const MATRIX: &[Row] = &[
    row("GET /auth/session", [200, 200, 200, 200, 200, 200, 200, 401]),
    // Only a cookie has one.
    row("GET /auth/csrf", [400, 400, 400, 400, 400, 400, 400, 401]),
    row("GET /auth/sessions", [200, 200, 200, 200, 200, 403, 200, 401]),
    row("DELETE /auth/sessions/{session}", [204, 404, 404, 404, 404, 403, 404, 401]),
    row("GET /auth/keys", [200, 200, 200, 200, 200, 403, 403, 401]),
    // In the organization of the caller's token: the stranger makes one for their own.
    row("POST /auth/keys", [201, 201, 201, 403, 201, 403, 403, 401]),
    row("PATCH /auth/keys/{key}", [200, 200, 200, 404, 404, 403, 403, 401]),
    row("DELETE /auth/keys/{key}", [204, 204, 204, 404, 404, 403, 403, 401]),
    row("POST /auth/keys/{key}/rotate", [404, 404, 201, 404, 404, 403, 403, 401]),
    row("GET /auth/orgs", [200, 200, 200, 200, 200, 403, 403, 401]),
    row("POST /auth/orgs", [201, 201, 201, 201, 201, 403, 403, 401]),
    row("GET /auth/orgs/{org}", [200, 200, 200, 200, 404, 403, 403, 401]),
    row("PATCH /auth/orgs/{org}", [200, 200, 403, 403, 404, 403, 403, 401]),
    row("POST /auth/orgs/{org}/switch", [200, 200, 200, 200, 404, 403, 403, 401]),
    row("GET /auth/orgs/{org}/members", [200, 200, 200, 200, 404, 403, 403, 401]),
    row("PATCH /auth/orgs/{org}/members/{member}", [200, 200, 403, 403, 404, 403, 403, 401]),
    row("PUT /auth/orgs/{org}/members/{member}/roles/{role}", [200, 200, 403, 403, 404, 403, 403, 401]),
    row("DELETE /auth/orgs/{org}/members/{member}/roles/{role}", [204, 204, 403, 403, 404, 403, 403, 401]),
    row("GET /auth/orgs/{org}/roles", [200, 200, 200, 200, 404, 403, 403, 401]),
    row("POST /auth/orgs/{org}/roles", [201, 201, 403, 403, 404, 403, 403, 401]),
    row("DELETE /auth/orgs/{org}/roles/{role}", [204, 204, 403, 403, 404, 403, 403, 401]),
    row("GET /auth/orgs/{org}/invitations", [200, 200, 403, 403, 404, 403, 403, 401]),
    row("POST /auth/orgs/{org}/invitations", [201, 201, 403, 403, 404, 403, 403, 401]),
    row("DELETE /auth/orgs/{org}/invitations/{invitation}", [204, 204, 403, 403, 404, 403, 403, 401]),
    row("GET /auth/orgs/{org}/teams", [200, 200, 200, 200, 404, 403, 403, 401]),
    row("POST /auth/orgs/{org}/teams", [201, 201, 403, 403, 404, 403, 403, 401]),
    row("PATCH /auth/teams/{team}", [200, 200, 403, 403, 404, 403, 403, 401]),
    row("PUT /auth/teams/{team}/members/{member}", [200, 200, 403, 403, 404, 403, 403, 401]),
    row("DELETE /auth/teams/{team}/members/{member}", [204, 204, 403, 403, 404, 403, 403, 401]),
    row("DELETE /auth/teams/{team}", [204, 204, 403, 403, 404, 403, 403, 401]),
    // An invitation of somebody else.
    row("POST /auth/invitations/accept", [404, 404, 404, 404, 404, 403, 403, 401]),
    row("GET /auth/audit", [200, 200, 403, 403, 404, 403, 403, 401]),
    row("GET /auth/audit/export", [200, 200, 403, 403, 404, 403, 403, 401]),
    row("DELETE /auth/orgs/{org}/members/{member}", [204, 204, 403, 403, 404, 403, 403, 401]),
    row("POST /auth/orgs/{org}/transfer", [200, 403, 403, 403, 404, 403, 403, 401]),
    row("POST /auth/orgs/{org}/leave", [409, 204, 204, 204, 404, 403, 403, 401]),
    row("DELETE /auth/orgs/{org}", [204, 403, 403, 403, 404, 403, 403, 401]),
    row("POST /auth/logout", [204, 204, 204, 204, 204, 403, 204, 401]),
];

/// The routes of models, for which a user needs no organization, and a key needs the scope `llm`.
const MODELS: &[Row] = &[
    row("GET /v1/models", [200, 200, 200, 200, 200, 403, 200, 401]),
    row("GET /v1/models/default", [200, 200, 200, 200, 200, 403, 200, 401]),
    row("POST /v1/chat/completions", [200, 200, 200, 200, 200, 403, 200, 401]),
    row("POST /v1/embeddings", [200, 200, 200, 200, 200, 403, 200, 401]),
    row("POST /v1/responses", [200, 200, 200, 200, 200, 403, 200, 401]),
    row("POST /v1/messages", [200, 200, 200, 200, 200, 403, 200, 401]),
];

fn every_route_that_asks_who_is_calling_has_a_row(_: &Rig) {
    let known = ROUTES.iter().filter(|route| route.access != Access::Open);
    let known: BTreeSet<_> = known.map(|route| format!("{} {}", route.method, route.path)).collect();
    let rows: BTreeSet<_> = MATRIX.iter().map(|row| row.route.to_owned()).collect();
    assert_eq!(known, rows);
    let open = ROUTES.iter().filter(|route| route.access == Access::Open);
    assert!(open.clone().count() > 0 && open.clone().all(|route| !route.path.contains('{')), "an object for everybody");
}

/// The people, and one of each object, which belongs to the owner's organization.
struct Scene<'a> {
    rig: &'a Rig,
    /// Owner, admin, developer, viewer, stranger.
    people: Vec<Person>,
    key: Client,
    anonymous: Client,
    guest: Person,
    org: String,
    strangers_org: String,
}

/// What a path and a body name.
#[derive(Clone)]
struct Objects(Vec<(&'static str, String)>);

impl<'a> Scene<'a> {
    fn new(rig: &'a Rig) -> Self {
        let people: Vec<_> = (0..5).map(|_| person(rig)).collect();
        let (org, strangers_org) = (organization(&people[0]), organization(&people[4]));
        for (member, role) in people[..4].iter().zip(ROLES).skip(1) {
            join(&people[0], &org, member, role);
        }
        let guest = person(rig);
        join(&people[0], &org, &guest, "viewer");
        let choose = |person: &Person, org: &str| {
            person.client.send("POST", &format!("{org}/switch"), &[], None).expect(200);
            person.refreshed(rig)
        };
        let people: Vec<_> =
            people[..4].iter().map(|person| choose(person, &org)).chain([choose(&people[4], &strangers_org)]).collect();
        let key = key_of(rig, &people[0]);
        let anonymous = person(rig);
        let set = "update auth.users set is_anonymous = true where id = $1::text::uuid";
        assert_eq!(database(rig).execute(set, &[&anonymous.id]).unwrap(), 1);
        let anonymous = anonymous.refreshed(rig).client;
        Self { rig, people, key, anonymous, guest, org, strangers_org }
    }

    fn owner(&self) -> &Client {
        &self.people[0].client
    }

    fn callers(&self) -> [&Client; 8] {
        let person = |index: usize| &self.people[index].client;
        [person(0), person(1), person(2), person(3), person(4), &self.key, &self.anonymous, &self.rig.edge]
    }

    /// One new object of each kind that `route` names or needs.
    fn objects(&self, route: &str) -> Objects {
        let id = |answer: Answer| answer.expect(201).json()["id"].as_str().unwrap().to_owned();
        let mut objects = vec![("org", last(&self.org)), ("member", self.guest.id.clone())];
        let name = || json!({"name": marker("access")});
        if route.contains("{session}") {
            objects.push(("session", self.cookie_session()));
        }
        if route.contains("{key}") {
            let key = self.people[2].client.post("/auth/keys", &json!({"name": "k", "scopes": ["llm"]}));
            objects.push(("key", id(key)));
        }
        if route.contains("{role}") {
            let role = json!({"name": marker("access").to_lowercase(), "permissions": ["audit:read"]});
            objects.push(("role", id(self.owner().post(&format!("{}/roles", self.org), &role))));
        }
        if route.contains("{team}") {
            objects.push(("team", id(self.owner().post(&format!("{}/teams", self.org), &name()))));
        }
        if route.contains("invitation") {
            let email = format!("{}@example.com", marker("access"));
            let made =
                self.owner().post(&format!("{}/invitations", self.org), &json!({"email": email, "role": "viewer"}));
            let made = made.expect(201).json();
            let text = |member: &str| made[member].as_str().unwrap().to_owned();
            objects.extend([("invitation", text("id")), ("token", text("token"))]);
        }
        let objects = Objects(objects);
        match route {
            "DELETE /auth/orgs/{org}/members/{member}/roles/{role}" => {
                let put = self.send(self.owner(), "PUT /auth/orgs/{org}/members/{member}/roles/{role}", &objects);
                put.expect(200);
            }
            "DELETE /auth/teams/{team}/members/{member}" => {
                self.send(self.owner(), "PUT /auth/teams/{team}/members/{member}", &objects).expect(200);
            }
            _ => (),
        }
        objects
    }

    /// The id of a new cookie session of the owner.
    fn cookie_session(&self) -> String {
        let credentials = json!({"email": self.people[0].email, "password": PASSWORD});
        self.rig.edge.post("/auth/login?session=cookie", &credentials).expect(200);
        let listed = self.owner().get("/auth/sessions").expect(200).json();
        listed["data"][0]["id"].as_str().unwrap().to_owned()
    }

    fn send(&self, caller: &Client, route: &str, objects: &Objects) -> Answer {
        let (method, path) = route.split_once(' ').unwrap();
        let mut path =
            objects.0.iter().fold(path.to_owned(), |path, (name, id)| path.replace(&format!("{{{name}}}"), id));
        if path.starts_with("/auth/audit") {
            path = format!("{path}?org={}", objects.get("org"));
        }
        match self.body(route, objects) {
            Value::Null => caller.send(method, &path, &[], None),
            body => call(caller, method, &path, &body),
        }
    }

    fn body(&self, route: &str, objects: &Objects) -> Value {
        let name = marker("access").to_lowercase();
        match route {
            "POST /v1/chat/completions" | "POST /v1/messages" => {
                json!({"model": "default", "max_tokens": 5, "messages": [{"role": "user", "content": "Hello."}]})
            }
            "POST /v1/embeddings" | "POST /v1/responses" => json!({"model": "default", "input": "Hello."}),
            "POST /auth/keys" => json!({"name": name, "scopes": ["llm"]}),
            "POST /auth/keys/{key}/rotate" => json!({}),
            "POST /auth/orgs/{org}/roles" => json!({"name": name, "permissions": ["audit:read"]}),
            "POST /auth/orgs/{org}/invitations" => json!({"email": format!("{name}@example.com"), "role": "viewer"}),
            "POST /auth/invitations/accept" => json!({"token": objects.get("token")}),
            "PATCH /auth/orgs/{org}/members/{member}" => json!({"role": "viewer"}),
            "POST /auth/orgs/{org}/transfer" => json!({"user_id": self.guest.id}),
            "POST /auth/orgs"
            | "PATCH /auth/keys/{key}"
            | "PATCH /auth/orgs/{org}"
            | "POST /auth/orgs/{org}/teams"
            | "PATCH /auth/teams/{team}" => {
                json!({"name": name})
            }
            _ => Value::Null,
        }
    }

    /// Puts back what a success has changed.
    fn restore(&mut self, route: &str, caller: usize) {
        match route {
            "DELETE /auth/orgs/{org}/members/{member}" => {
                self.guest = self.guest.refreshed(self.rig);
                join(&self.people[0], &self.org, &self.guest, "viewer");
            }
            "POST /auth/orgs/{org}/leave" => {
                self.people[caller] = self.people[caller].refreshed(self.rig);
                join(&self.people[0], &self.org, &self.people[caller], ROLES[caller]);
            }
            "POST /auth/orgs/{org}/transfer" => {
                (self.guest, self.people[0]) = (self.guest.refreshed(self.rig), self.people[0].refreshed(self.rig));
                let back = json!({"user_id": self.people[0].id});
                self.guest.client.post(&format!("{}/transfer", self.org), &back).expect(200);
                (self.guest, self.people[0]) = (self.guest.refreshed(self.rig), self.people[0].refreshed(self.rig));
            }
            "DELETE /auth/orgs/{org}" => {
                (0..5).for_each(|person| self.people[person] = self.people[person].refreshed(self.rig));
                // Its keys have gone with it.
                self.key = key_of(self.rig, &self.people[0]);
            }
            _ => (),
        }
    }
}

impl Objects {
    fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| *known == name).map_or("", |(_, id)| id)
    }
}

/// A client with a new API key of `person`, which may do next to nothing.
fn key_of(rig: &Rig, person: &Person) -> Client {
    let key = person.client.post("/auth/keys", &json!({"name": "k", "scopes": ["webhooks"]})).expect(201).json();
    rig.edge.bearer(key["key"].as_str().unwrap())
}

fn last(path: &str) -> String {
    path.rsplit('/').next().unwrap().to_owned()
}

fn every_route_answers_everybody_as_the_matrix_says(rig: &Rig) {
    let mut scene = Scene::new(rig);
    let mut wrong = Vec::new();
    for Row { route, statuses } in MODELS.iter().chain(MATRIX) {
        // Whoever is refused comes first: those who may still find the object as it was.
        let mut objects = scene.objects(route);
        for refused in [true, false] {
            for (caller, expected) in statuses.iter().enumerate().rev() {
                if (*expected >= 300) != refused {
                    continue;
                }
                let answer = scene.send(scene.callers()[caller], route, &objects);
                if answer.status != *expected {
                    wrong.push(format!(
                        "{route} as {caller}: {} instead of {expected}: {}",
                        answer.status,
                        answer.text()
                    ));
                }
                if !refused {
                    scene.restore(route, caller);
                    if !route.ends_with("/auth/orgs/{org}") && !route.ends_with("logout") {
                        objects = scene.objects(route);
                    }
                }
            }
        }
        if let Some(answer) = within_another_organization(&scene, route)
            && answer.status != 404
        {
            wrong.push(format!("{route} under another organization: {}", answer.text()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The stranger, an owner, names an object of others beside their own organization.
fn within_another_organization(scene: &Scene<'_>, route: &str) -> Option<Answer> {
    let has_another_object = route.contains("{org}") && route.matches('{').count() > 1;
    let mut objects = has_another_object.then(|| scene.objects(route))?;
    objects.0[0].1 = last(&scene.strangers_org);
    Some(scene.send(&scene.people[4].client, route, &objects))
}
