//! API keys, from their making to their end.

use local_supabase::Login;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Test;
use crate::cluster::{As, Cluster, become_, code, sign_up};

pub const TESTS: &[Test] = &[
    ("a_key_acts_for_the_user_and_organization_that_made_it", acts),
    ("a_key_that_is_unknown_revoked_expired_or_of_another_pepper_is_answered_alike", nobody),
    ("a_key_of_a_user_who_left_or_is_banned_stops", leaver),
    ("owners_see_the_keys_of_their_organization_and_others_their_own", visibility),
    ("a_key_is_revoked_once_and_by_nobody_else", revocation),
    ("a_key_that_has_already_expired_is_refused", expired),
    ("a_digest_serves_one_key", digest),
    ("a_token_that_a_key_was_exchanged_for_makes_and_revokes_no_key", exchanged),
];

fn acts(cluster: &Cluster) {
    let digest = new_digest();
    let key = make(cluster, cluster.developer, &digest, &json!({ "expires_at": "2999-01-01T00:00:00Z" }));
    let expected = json!({
        "key_id": key["id"], "user_id": cluster.developer, "org_id": cluster.org, "roles": ["developer"], "tier": "T1",
        "scopes": ["llm", "usage:read"],
        "expires_at": "2999-01-01T00:00:00+00:00",
    });
    assert_eq!(authenticate(cluster, &digest, 1), expected);
    let used = "select last_used_at is not null from public.api_keys where id = $1::text::uuid";
    let row = cluster.superuser("postgres").query_one(used, &[&key["id"].as_str()]).unwrap();
    assert!(row.get::<_, bool>(0), "its use is noted");
}

fn nobody(cluster: &Cluster) {
    let (revoked, expired) = (new_digest(), new_digest());
    let key = make(cluster, cluster.developer, &revoked, &json!({}));
    assert_eq!(authenticate(cluster, &revoked, 2), json!({}), "another pepper");
    cluster.call(As::User(cluster.developer), "revoke_key", &json!({ "id": key["id"] })).unwrap();
    let key = make(cluster, cluster.developer, &expired, &json!({ "expires_at": "2999-01-01T00:00:00Z" }));
    let end = "update public.api_keys set expires_at = now() where id = $1::text::uuid";
    cluster.superuser("postgres").execute(end, &[&key["id"].as_str()]).unwrap();
    for digest in [revoked, expired, new_digest()] {
        assert_eq!(authenticate(cluster, &digest, 1), json!({}));
    }
}

fn leaver(cluster: &Cluster) {
    let user = sign_up(&mut cluster.login(Login::AuthAdmin), "key-leaver");
    let mut superuser = cluster.superuser("postgres");
    let digest = new_digest();
    let org: Uuid = superuser
        .query_one("select org_id from public.organization_members where user_id = $1", &[&user])
        .unwrap()
        .get(0);
    make(cluster, user, &digest, &json!({ "org_id": org }));
    assert_eq!(authenticate(cluster, &digest, 1)["user_id"], json!(user));
    superuser
        .execute("update auth.users set banned_until = now() + interval '1 hour' where id = $1", &[&user])
        .unwrap();
    assert_eq!(authenticate(cluster, &digest, 1), json!({}), "banned");
    superuser.execute("update auth.users set banned_until = null where id = $1", &[&user]).unwrap();
    superuser.execute("delete from public.organization_members where user_id = $1", &[&user]).unwrap();
    assert_eq!(authenticate(cluster, &digest, 1), json!({}), "left");
}

fn visibility(cluster: &Cluster) {
    let key = make(cluster, cluster.developer, &new_digest(), &json!({}));
    for (who, expected) in
        [(cluster.developer, true), (cluster.owner, true), (cluster.viewer, false), (cluster.stranger, false)]
    {
        let listed = cluster.call(As::User(who), "list_keys", &json!({})).unwrap();
        let keys = listed["keys"].as_array().unwrap();
        assert_eq!(keys.iter().any(|listed| listed["id"] == key["id"]), expected);
        assert!(keys.iter().all(|key| key.get("digest").is_none()));
    }
}

fn revocation(cluster: &Cluster) {
    let key = make(cluster, cluster.developer, &new_digest(), &json!({}));
    let id = json!({ "id": key["id"] });
    for who in [cluster.viewer, cluster.stranger] {
        assert_eq!(code(&cluster.call(As::User(who), "revoke_key", &id).unwrap_err()), "PT404");
    }
    let first = cluster.call(As::User(cluster.owner), "revoke_key", &id).unwrap();
    let second = cluster.call(As::User(cluster.developer), "revoke_key", &id).unwrap();
    assert_eq!(first, second);
    let revived = cluster.transaction(|transaction| {
        become_(transaction, As::User(cluster.developer));
        let revive = "update public.api_keys set revoked_at = null where id = $1::text::uuid";
        transaction.execute(revive, &[&key["id"].as_str()]).unwrap_err()
    });
    assert_eq!(code(&revived), "42501");
}

fn expired(cluster: &Cluster) {
    let payload = payload(cluster, &new_digest(), &json!({ "expires_at": "2020-01-01T00:00:00Z" }));
    let refused = cluster.call(As::User(cluster.developer), "create_key", &payload).unwrap_err();
    assert_eq!(code(&refused), "PT422");
    assert_eq!(refused.as_db_error().unwrap().detail(), Some("expires_at"));
}

fn digest(cluster: &Cluster) {
    let digest = new_digest();
    make(cluster, cluster.developer, &digest, &json!({}));
    let again = payload(cluster, &digest, &json!({}));
    assert_eq!(code(&cluster.call(As::User(cluster.owner), "create_key", &again).unwrap_err()), "23505");
    let short = payload(cluster, "abcd", &json!({}));
    assert_eq!(code(&cluster.call(As::User(cluster.owner), "create_key", &short).unwrap_err()), "23514");
}

fn exchanged(cluster: &Cluster) {
    let key = make(cluster, cluster.owner, &new_digest(), &json!({}));
    let attempts = [
        ("select api.create_key(payload := $1)", payload(cluster, &new_digest(), &json!({}))),
        ("select api.revoke_key(payload := $1)", json!({ "id": key["id"] })),
        ("update public.organizations set name = 'mine' where $1::jsonb is not null", json!({})),
    ];
    for exchanged in [true, false] {
        for (statement, payload) in &attempts {
            let outcome = cluster.transaction(|transaction| {
                become_(transaction, As::User(cluster.owner));
                let claims = json!({ "role": "authenticated", "sub": cluster.owner, "exchanged": exchanged });
                let set = "select set_config('request.jwt.claims', $1, true)";
                transaction.execute(set, &[&claims.to_string()]).unwrap();
                transaction.execute(*statement, &[payload]).map_err(|error| code(&error).to_owned())
            });
            assert_eq!(outcome.err(), exchanged.then(|| "PT403".to_owned()), "{statement}");
        }
    }
}

fn make(cluster: &Cluster, user: Uuid, digest: &str, more: &Value) -> Value {
    cluster.call(As::User(user), "create_key", &payload(cluster, digest, more)).unwrap()
}

fn payload(cluster: &Cluster, digest: &str, more: &Value) -> Value {
    let mut payload = json!({
        "name": "test", "digest": digest, "pepper_version": 1, "prefix": "qlp_test_ab", "scopes": ["llm", "usage:read"],
        "org_id": cluster.org,
    });
    payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    payload
}

fn authenticate(cluster: &Cluster, digest: &str, pepper_version: i32) -> Value {
    let payload = json!({ "digest": digest, "pepper_version": pepper_version });
    cluster.call(As::Service, "authenticate_key", &payload).unwrap()
}

fn new_digest() -> String {
    format!("{}{}", random_id().simple(), random_id().simple())
}

fn random_id() -> Uuid {
    let mut bytes = [0; 16];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").unwrap(), &mut bytes).unwrap();
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}
