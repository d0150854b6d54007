//! Cookie sessions, from their beginning to their end.

use std::thread;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::Test;
use crate::cluster::{As, Cluster, code, new_digest, new_id};

pub const TESTS: &[Test] = &[
    ("a_session_is_found_by_its_digest", finding),
    ("a_session_that_is_unknown_revoked_expired_or_of_a_banned_user_is_answered_alike", gone),
    ("a_session_is_replaced_by_whoever_knows_its_version", replacing),
    ("of_many_tabs_that_refresh_at_once_one_wins", at_once),
    ("the_next_tokens_are_got_by_one_at_a_time", claiming),
    ("users_see_and_revoke_their_own_sessions_and_no_secret_of_them", own),
    ("a_family_ends_alone_and_all_sessions_together", ending),
    ("what_is_no_session_is_named", wrong_arguments),
    ("sessions_that_ended_long_ago_do_not_accumulate", sweeping),
    ("sessions_are_for_the_service", grants),
];

fn finding(cluster: &Cluster) {
    let digest = new_digest();
    let begun =
        begin(cluster, cluster.developer, &digest, &json!({ "address": "192.0.2.1", "user_agent": "x".repeat(600) }));
    assert_eq!((&begun["version"], &begun["family"]), (&json!(1), &begun["id"]));
    let found = find(cluster, &digest);
    let expected = [
        ("id", begun["id"].clone()),
        ("user_id", json!(cluster.developer)),
        // 400 bytes: PostgreSQL breaks lines after 76 characters of base64.
        ("tokens", json!(long_token())),
        ("version", json!(1)),
    ];
    for (field, value) in expected {
        assert_eq!(found[field], value, "{field}");
    }
    assert!(found["authz_epoch"].as_i64() > Some(0));
    let again = payload(cluster.developer, &digest, &json!({}));
    assert_eq!(cluster.refusal(As::Service, "create_session", &again), ("PT409".into(), "digest".into()));
}

fn gone(cluster: &Cluster) {
    let user = cluster.user("session-gone");
    let digests = [new_digest(), new_digest(), new_digest()];
    let [revoked, expired, banned] = &digests;
    let id = begin(cluster, user, revoked, &json!({}))["id"].clone();
    cluster.call(As::Service, "revoke_session", &json!({ "id": id })).unwrap();
    let id = begin(cluster, user, expired, &json!({}))["id"].clone();
    let mut superuser = cluster.superuser("postgres");
    let end = "update public.user_sessions set expires_at = now() where id = $1::text::uuid";
    superuser.execute(end, &[&id.as_str()]).unwrap();
    let id = begin(cluster, user, banned, &json!({}))["id"].clone();
    assert!(find(cluster, banned)["id"].is_string());
    superuser.execute("update auth.users set banned_until = now() + interval '1 h' where id = $1", &[&user]).unwrap();
    for digest in digests.iter().chain([&new_digest()]) {
        assert_eq!(find(cluster, digest), json!({}));
    }
    let replacement = json!({ "id": id, "version": 1, "tokens": "bmV3" });
    assert_eq!(cluster.refusal(As::Service, "replace_session", &replacement).0, "PT404");
    let another = payload(user, &new_digest(), &json!({}));
    assert_eq!(cluster.refusal(As::Service, "create_session", &another), ("PT404".into(), "user_id".into()));
}

fn replacing(cluster: &Cluster) {
    let (first, second) = (new_digest(), new_digest());
    let id = begin(cluster, cluster.developer, &first, &json!({}))["id"].clone();
    let replace = |more: Value| {
        let mut payload = json!({ "id": id, "tokens": "bmV3" });
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        cluster.call(As::Service, "replace_session", &payload).unwrap()
    };
    assert_eq!(replace(json!({ "version": 1 })), json!({ "replaced": true, "version": 2 }));
    assert_eq!(find(cluster, &first)["tokens"], "bmV3");
    let late = json!({ "version": 1, "tokens": "bGF0ZQ==" });
    assert_eq!(replace(late), json!({ "replaced": false, "version": 2 }));
    assert_eq!(find(cluster, &first)["tokens"], "bmV3", "whoever was late has changed nothing");
    let more = json!({ "version": 2, "digest": second, "address": "2001:db8::1" });
    assert_eq!(replace(more)["replaced"], true);
    assert_eq!(find(cluster, &first), json!({}), "another cookie");
    assert_eq!(find(cluster, &second)["id"], id);
}

fn at_once(cluster: &Cluster) {
    let digest = new_digest();
    let id = begin(cluster, cluster.developer, &digest, &json!({}))["id"].clone();
    let answers: Vec<Value> = thread::scope(|scope| {
        let tabs: Vec<_> = (0..8)
            .map(|_| {
                let payload = json!({ "id": id, "version": 1, "tokens": "bmV3" });
                scope.spawn(move || cluster.call(As::Service, "replace_session", &payload).unwrap())
            })
            .collect();
        tabs.into_iter().map(|tab| tab.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|answer| answer["replaced"] == true).count(), 1);
    assert!(answers.iter().all(|answer| answer["version"] == 2));
}

fn claiming(cluster: &Cluster) {
    let digest = new_digest();
    let id = begin(cluster, cluster.developer, &digest, &json!({}))["id"].clone();
    let claim = |version: i32| {
        let payload = json!({ "id": id, "version": version });
        cluster.call(As::Service, "claim_session_refresh", &payload).unwrap()["claimed"].clone()
    };
    assert_eq!([claim(2), claim(1), claim(1)], [false, true, false]);
    let lapse = "update public.user_sessions set refreshing_until = now() - interval '1 s' where id = $1::text::uuid";
    cluster.superuser("postgres").execute(lapse, &[&id.as_str()]).unwrap();
    assert_eq!([claim(1), claim(1)], [true, false], "whoever was at it has died");
    let next = json!({ "id": id, "version": 1, "tokens": "bmV3" });
    cluster.call(As::Service, "replace_session", &next).unwrap();
    assert_eq!([claim(1), claim(2)], [false, true]);
}

fn own(cluster: &Cluster) {
    let user = cluster.user("session-own");
    let mine =
        begin(cluster, user, &new_digest(), &json!({ "address": "192.0.2.1", "user_agent": "curl" }))["id"].clone();
    let theirs = begin(cluster, cluster.stranger, &new_digest(), &json!({}))["id"].clone();
    let listed = cluster.call(As::User(user), "list_sessions", &json!({})).unwrap();
    let session = &listed["sessions"][0];
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(
        [&session["id"], &session["address"], &session["user_agent"]],
        [&mine, &json!("192.0.2.1"), &json!("curl")]
    );
    let mut fields: Vec<_> = session.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["address", "created_at", "expires_at", "id", "last_seen_at", "user_agent"]);
    for id in [theirs, json!(new_id())] {
        let refused = cluster.refusal(As::User(user), "revoke_session", &json!({ "id": id }));
        assert_eq!(refused, ("PT404".into(), "id".into()));
    }
    let revoke = || cluster.call(As::User(user), "revoke_session", &json!({ "id": mine })).unwrap();
    assert_eq!(revoke(), revoke());
    assert_eq!(cluster.call(As::User(user), "list_sessions", &json!({})).unwrap(), json!({ "sessions": [] }));
}

fn ending(cluster: &Cluster) {
    let user = cluster.user("session-ending");
    let digests: [String; 4] = std::array::from_fn(|_| new_digest());
    let [founder, heir, spared, other] = &digests;
    let family = begin(cluster, user, founder, &json!({}))["id"].clone();
    begin(cluster, user, heir, &json!({ "family": family }));
    let kept = begin(cluster, user, spared, &json!({}))["id"].clone();
    begin(cluster, user, other, &json!({}));
    let alive = || digests.each_ref().map(|digest| find(cluster, digest) != json!({}));
    let end = |more: Value| {
        let mut payload = json!({ "user_id": user });
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        cluster.call(As::Service, "revoke_sessions", &payload).unwrap()
    };
    let first = end(json!({ "family": family }));
    assert_eq!((&first["revoked"], alive()), (&json!(2), [false, false, true, true]));
    let second = end(json!({ "except": kept }));
    assert_eq!((&second["revoked"], alive()), (&json!(1), [false, false, true, false]));
    let third = end(json!({}));
    assert_eq!((&third["revoked"], alive()), (&json!(1), [false; 4]));
    let epochs = [first, second, third].map(|answer| answer["authz_epoch"].as_i64().unwrap());
    assert_eq!([epochs[1] - epochs[0], epochs[2] - epochs[1]], [1, 1], "a family leaves the epoch");
}

fn wrong_arguments(cluster: &Cluster) {
    let cases = [
        ("user_id", json!("me"), "PT422"),
        ("user_id", json!(new_id()), "PT404"),
        ("digest", json!("abcd"), "PT422"),
        ("tokens", json!("%%%"), "PT422"),
        ("tokens", json!(""), "PT422"),
        ("tokens", json!("AAAA".repeat(5462)), "PT422"),
        ("expires_at", json!(null), "PT422"),
        ("expires_at", json!("2020-01-01T00:00:00Z"), "PT422"),
        ("expires_at", json!("2999-01-01T00:00:00Z"), "PT422"),
        ("family", json!("mine"), "PT422"),
        ("address", json!("localhost"), "PT422"),
    ];
    for (field, value, expected) in cases {
        let payload = payload(cluster.developer, &new_digest(), &json!({ field: value }));
        let refused = cluster.refusal(As::Service, "create_session", &payload);
        assert_eq!(refused, (expected.to_owned(), field.to_owned()), "{value}");
    }
    assert_eq!(cluster.refusal(As::Service, "revoke_sessions", &json!({})), ("PT422".into(), "user_id".into()));
    assert_eq!(cluster.refusal(As::Service, "find_session", &json!({})), ("PT422".into(), "digest".into()));
}

fn sweeping(cluster: &Cluster) {
    let user = cluster.user("session-sweeping");
    for (name, column) in [("revoked", "revoked_at"), ("expired", "expires_at")] {
        for days in [29, 31] {
            let id =
                begin(cluster, user, &new_digest(), &json!({ "user_agent": format!("{name} {days}") }))["id"].clone();
            let age = format!(
                "update public.user_sessions set created_at = now() - interval '60 days',
                   {column} = now() - interval '{days} days' where id = $1::text::uuid"
            );
            cluster.superuser("postgres").execute(&age, &[&id.as_str()]).unwrap();
        }
    }
    begin(cluster, user, &new_digest(), &json!({ "user_agent": "new" }));
    let left = "select array_agg(user_agent order by user_agent) from public.user_sessions where user_id = $1";
    let row = cluster.superuser("postgres").query_one(left, &[&user]).unwrap();
    assert_eq!(row.get::<_, Vec<String>>(0), ["expired 29", "new", "revoked 29"]);
}

fn grants(cluster: &Cluster) {
    for who in [As::User(cluster.owner), As::Anonymous] {
        for function in ["create_session", "find_session", "replace_session", "revoke_sessions"] {
            assert_eq!(code(&cluster.call(who, function, &json!({})).unwrap_err()), "42501", "{function}");
        }
    }
}

fn begin(cluster: &Cluster, user: Uuid, digest: &str, more: &Value) -> Value {
    cluster.call(As::Service, "create_session", &payload(user, digest, more)).unwrap()
}

fn payload(user: Uuid, digest: &str, more: &Value) -> Value {
    let mut payload = json!({
        "user_id": user, "digest": digest, "tokens": long_token(),
        "expires_at": tomorrow(),
    });
    payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    payload
}

/// A word that PostgreSQL reads as a time: the tests have no clock.
fn tomorrow() -> &'static str {
    "tomorrow"
}

fn long_token() -> String {
    "AAAA".repeat(133) + "AA=="
}

fn find(cluster: &Cluster, digest: &str) -> Value {
    cluster.call(As::Service, "find_session", &json!({ "digest": digest })).unwrap()
}
