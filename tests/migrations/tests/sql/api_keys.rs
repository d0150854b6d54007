//! API keys, from their making to their end.

use local_supabase::Login;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Test;
use crate::cluster::{As, Cluster, become_, call, code, new_digest, new_id, refusal};

pub const TESTS: &[Test] = &[
    ("a_key_acts_for_the_user_and_organization_that_made_it", acts),
    ("a_key_that_is_unknown_revoked_expired_or_of_another_pepper_is_answered_alike", nobody),
    ("a_key_of_a_user_who_left_or_is_banned_stops", leaver),
    ("owners_see_the_keys_of_their_organization_and_others_their_own", visibility),
    ("a_key_is_revoked_once_and_by_nobody_else", revocation),
    ("a_key_that_has_already_expired_is_refused", expired),
    ("a_digest_serves_one_key", digest),
    ("only_networks_are_allowed_and_at_most_twenty", networks),
    ("the_rules_of_a_key_are_looked_up_with_it_shown_changed_and_passed_on_by_rotation", rules),
    ("rules_of_another_form_are_refused", rules_refused),
    ("rules_are_changed_by_the_key_s_user_and_by_those_who_run_the_organization", rules_changed_by),
    ("a_key_has_the_further_roles_of_its_user", further_roles),
    ("a_rotated_key_works_until_the_overlap_ends_and_its_successor_has_what_it_had", rotation),
    ("an_overlap_of_zero_ends_the_old_key_at_once", no_overlap),
    ("a_key_never_lives_longer_by_rotation", lifetimes),
    ("a_key_is_rotated_once_by_its_user_while_it_works", rotation_refused),
    ("of_two_rotations_at_once_one_succeeds", rotation_at_once),
    ("a_key_is_found_under_any_of_three_peppers_and_by_an_edge_that_knows_one", peppers),
    ("a_used_key_is_stored_under_the_current_pepper_from_then_on", rehash),
    ("a_digest_comes_with_its_pepper_and_is_nobody_else_s", rehash_refused),
    ("authenticating_writes_nothing", no_write),
    ("the_use_of_a_key_is_noted_once_a_minute_and_never_in_the_future", touching),
    ("a_token_that_a_key_was_exchanged_for_makes_and_revokes_no_key", exchanged),
];

fn acts(cluster: &Cluster) {
    let digest = new_digest();
    let key = make(
        cluster,
        cluster.developer,
        &digest,
        &json!({ "expires_at": "2999-01-01T00:00:00Z", "allowed_cidrs": ["2001:db8::/32", "192.0.2.0/24"] }),
    );
    let expected = json!({
        "key_id": key["id"], "user_id": cluster.developer, "org_id": cluster.org, "roles": ["developer"], "tier": "T1",
        "scopes": ["llm", "usage:read"], "allowed_cidrs": ["192.0.2.0/24", "2001:db8::/32"],
        "llm": { "allowed_models": [], "allowed_endpoints": [], "max_output_tokens": null, "cache": "off" },
        "logs_prompts": false,
        "expires_at": "2999-01-01T00:00:00+00:00", "pepper_version": 1,
        "authz_epoch": epoch(cluster, cluster.developer),
    });
    assert_eq!(authenticate(cluster, &digest, 1), expected);
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
    let org = cluster.organization("key-leaver");
    let digest = new_digest();
    make(cluster, org.developer, &digest, &json!({ "org_id": org.id }));
    assert_eq!(authenticate(cluster, &digest, 1)["user_id"], json!(org.developer));
    let ban = |until: &str| {
        let ban = format!("update auth.users set banned_until = {until} where id = $1");
        cluster.login(Login::AuthAdmin).execute(&ban, &[&org.developer]).unwrap();
    };
    ban("now() + interval '1 hour'");
    assert_eq!(authenticate(cluster, &digest, 1), json!({}), "banned");
    ban("null");
    assert_eq!(authenticate(cluster, &digest, 1)["user_id"], json!(org.developer));
    let removal = json!({ "org_id": org.id, "user_id": org.developer });
    cluster.call(As::User(org.owner), "remove_member", &removal).unwrap();
    assert_eq!(authenticate(cluster, &digest, 1), json!({}), "no member any more");
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

fn networks(cluster: &Cluster) {
    let of = |networks: &Value| {
        let payload = payload(cluster, &new_digest(), &json!({ "allowed_cidrs": networks }));
        cluster.refusal(As::User(cluster.developer), "create_key", &payload)
    };
    let refused = ("PT422".into(), "allowed_cidrs".into());
    assert_eq!(of(&json!(["192.0.2.1/24"])), refused, "bits right of the mask");
    assert_eq!(of(&json!(["somewhere"])), refused);
    assert_eq!(of(&json!("192.0.2.0/24")), refused);
    assert_eq!(of(&json!(vec!["192.0.2.0/24"; 21])), refused);
}

fn rules(cluster: &Cluster) {
    let (first, second) = (new_digest(), new_digest());
    let wish = json!({
        "allowed_models": ["fast", "default", "fast"], "allowed_endpoints": ["/v1/chat/completions"],
        "max_output_tokens": 500, "cache": "read-write",
    });
    let llm = json!({
        "allowed_models": ["default", "fast"], "allowed_endpoints": ["/v1/chat/completions"], "max_output_tokens": 500,
        "cache": "read-write",
    });
    let shows = |key: &Value| llm.as_object().unwrap().iter().all(|(name, value)| key[name] == *value);
    let key = make(cluster, cluster.developer, &first, &wish);
    assert!(shows(&key), "{key}");
    assert_eq!(authenticate(cluster, &first, 1)["llm"], llm);
    let new = rotate(cluster, cluster.developer, &key, &second, &json!({})).unwrap();
    assert!(shows(&new), "{new}");
    assert_eq!(authenticate(cluster, &second, 1)["llm"], llm);
    let listed = cluster.call(As::User(cluster.developer), "list_keys", &json!({})).unwrap();
    assert!(listed["keys"].as_array().unwrap().iter().any(|listed| listed["id"] == new["id"] && shows(listed)));
    let change =
        json!({ "id": new["id"], "allowed_models": [], "max_output_tokens": null, "cache": "read", "name": "x" });
    let changed = cluster.call(As::User(cluster.developer), "update_key", &change).unwrap();
    assert_eq!(changed["name"], "x");
    let left = json!({
        "allowed_models": [], "allowed_endpoints": ["/v1/chat/completions"], "max_output_tokens": null, "cache": "read",
    });
    assert_eq!(authenticate(cluster, &second, 1)["llm"], left);
    assert_eq!(authenticate(cluster, &first, 1)["llm"], llm, "the other key stays as it was");
}

fn rules_refused(cluster: &Cluster) {
    let key = make(cluster, cluster.developer, &new_digest(), &json!({}));
    for (field, value) in [
        ("allowed_models", json!(vec!["m"; 51])),
        ("allowed_models", json!([""])),
        ("allowed_models", json!(["a\nb"])),
        ("allowed_models", json!([7])),
        ("allowed_models", json!("m")),
        ("allowed_models", json!((0..21).map(|n| format!("{n:099}")).collect::<Vec<_>>())),
        ("allowed_endpoints", json!(["/v1/models"])),
        ("max_output_tokens", json!(0)),
        ("max_output_tokens", json!(2_147_483_648_u64)),
        ("max_output_tokens", json!(1.5)),
        ("cache", json!("always")),
    ] {
        let made = payload(cluster, &new_digest(), &json!({ field: value }));
        let refused = ("PT422".into(), field.into());
        assert_eq!(cluster.refusal(As::User(cluster.developer), "create_key", &made), refused, "{value}");
        let change = json!({ "id": key["id"], field: value });
        assert_eq!(cluster.refusal(As::User(cluster.developer), "update_key", &change), refused, "{value}");
    }
}

fn rules_changed_by(cluster: &Cluster) {
    let key = make(cluster, cluster.developer, &new_digest(), &json!({}));
    let change = json!({ "id": key["id"], "max_output_tokens": 9 });
    for who in [cluster.viewer, cluster.stranger] {
        assert_eq!(cluster.refusal(As::User(who), "update_key", &change), ("PT404".into(), "id".into()));
    }
    for who in [cluster.developer, cluster.admin, cluster.owner] {
        assert_eq!(cluster.call(As::User(who), "update_key", &change).unwrap()["max_output_tokens"], 9);
    }
    let entry = "select entry::jsonb #>> '{details,max_output_tokens,to}' from public.audit_logs
                 where entry::jsonb ->> 'target_id' = $1 and action = 'key.updated'";
    let entries = cluster.superuser("postgres").query(entry, &[&key["id"].as_str()]).unwrap();
    assert_eq!(entries.iter().map(|row| row.get::<_, Option<String>>(0)).collect::<Vec<_>>(), [Some("9".into())]);
    cluster.call(As::User(cluster.developer), "revoke_key", &json!({ "id": key["id"] })).unwrap();
    let refused = cluster.refusal(As::User(cluster.developer), "update_key", &change);
    assert_eq!(refused, ("PT404".into(), "id".into()), "it is revoked");
}

fn further_roles(cluster: &Cluster) {
    let org = cluster.organization("key-roles");
    let digest = new_digest();
    make(cluster, org.developer, &digest, &json!({ "org_id": org.id }));
    let wish = json!({ "org_id": org.id, "name": "billing", "permissions": ["billing:read"] });
    let role = cluster.call(As::User(org.owner), "create_role", &wish).unwrap();
    let grant = json!({ "org_id": org.id, "user_id": org.developer, "role_id": role["id"] });
    let before = authenticate(cluster, &digest, 1);
    cluster.call(As::User(org.owner), "assign_role", &grant).unwrap();
    let after = authenticate(cluster, &digest, 1);
    assert_eq!(after["roles"], json!(["developer", "billing"]));
    assert_eq!(after["authz_epoch"], before["authz_epoch"], "whose rights grow needs no other token");
}

fn rotation(cluster: &Cluster) {
    let (first, second) = (new_digest(), new_digest());
    let more = json!({ "allowed_cidrs": ["192.0.2.0/24"], "scopes": ["webhooks"] });
    let old = make(cluster, cluster.developer, &first, &more);
    let new = rotate(cluster, cluster.developer, &old, &second, &json!({})).unwrap();
    for field in ["org_id", "user_id", "name", "scopes", "allowed_cidrs"] {
        assert_eq!(new[field], old[field], "{field}");
    }
    assert_eq!((&new["expires_at"], &new["replaces"]["replaced_by"]), (&Value::Null, &new["id"]));
    assert_eq!(new["replaces"]["id"], old["id"]);
    assert_eq!(authenticate(cluster, &first, 1)["key_id"], old["id"]);
    assert_eq!(authenticate(cluster, &second, 1)["key_id"], new["id"]);
    let lasts = "select expires_at = created_at + interval '24 hours' + (select n.created_at - o.created_at
                   from public.api_keys n, public.api_keys o where n.id = o.replaced_by and o.id = k.id)
                 from public.api_keys k where id = $1::text::uuid";
    let row = cluster.superuser("postgres").query_one(lasts, &[&old["id"].as_str()]).unwrap();
    assert!(row.get::<_, bool>(0), "24 hours from the rotation on");
}

fn no_overlap(cluster: &Cluster) {
    let (first, second) = (new_digest(), new_digest());
    let old = make(cluster, cluster.developer, &first, &json!({}));
    rotate(cluster, cluster.developer, &old, &second, &json!({ "overlap_seconds": 0 })).unwrap();
    assert_eq!(authenticate(cluster, &first, 1), json!({}));
    assert!(authenticate(cluster, &second, 1)["key_id"].is_string());
}

fn lifetimes(cluster: &Cluster) {
    let key = make(cluster, cluster.developer, &new_digest(), &json!({ "expires_at": "2999-01-01T00:00:00Z" }));
    let hurry =
        "update public.api_keys set created_at = now() - interval '1 day', expires_at = now() + interval '1 hour'
                 where id = $1::text::uuid";
    let mut superuser = cluster.superuser("postgres");
    superuser.execute(hurry, &[&key["id"].as_str()]).unwrap();
    let week = json!({ "overlap_seconds": 604_800 });
    let new = rotate(cluster, cluster.developer, &key, &new_digest(), &week).unwrap();
    let ends = "select o.expires_at = o.created_at + interval '25 hours',
                       n.expires_at - n.created_at = o.expires_at - o.created_at
                from public.api_keys o join public.api_keys n on n.id = o.replaced_by where n.id = $1::text::uuid";
    let row = superuser.query_one(ends, &[&new["id"].as_str()]).unwrap();
    assert_eq!((row.get::<_, bool>(0), row.get::<_, bool>(1)), (true, true));
}

fn rotation_refused(cluster: &Cluster) {
    let key = make(cluster, cluster.developer, &new_digest(), &json!({}));
    let attempt = |user: Uuid, more: &Value| {
        refusal(&rotate(cluster, user, &key, &new_digest(), more).expect_err("it is refused"))
    };
    for user in [cluster.owner, cluster.admin, cluster.viewer, cluster.stranger] {
        assert_eq!(attempt(user, &json!({})), ("PT404".into(), "id".into()), "not even whoever may revoke it");
    }
    for (field, value) in [
        ("overlap_seconds", json!(604_801)),
        ("overlap_seconds", json!(-1)),
        ("overlap_seconds", json!("soon")),
        ("digest", json!("abcd")),
        ("pepper_version", json!(0)),
        ("expires_at", json!("2020-01-01T00:00:00Z")),
        ("expires_at", json!("soon")),
        ("id", json!("mine")),
    ] {
        let more = json!({ field: value });
        assert_eq!(attempt(cluster.developer, &more), ("PT422".into(), field.into()), "{value}");
    }
    rotate(cluster, cluster.developer, &key, &new_digest(), &json!({})).unwrap();
    assert_eq!(attempt(cluster.developer, &json!({})), ("PT409".into(), "id".into()));
    let revoked = make(cluster, cluster.developer, &new_digest(), &json!({}));
    cluster.call(As::User(cluster.developer), "revoke_key", &json!({ "id": revoked["id"] })).unwrap();
    let refused = rotate(cluster, cluster.developer, &revoked, &new_digest(), &json!({})).unwrap_err();
    assert_eq!(code(&refused), "PT404");
}

fn rotation_at_once(cluster: &Cluster) {
    let key = make(cluster, cluster.developer, &new_digest(), &json!({}));
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let rotations: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| rotate(cluster, cluster.developer, &key, &new_digest(), &json!({})).map(drop)))
            .collect();
        rotations.into_iter().map(|rotation| rotation.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_eq!(code(refused), "PT409");
    }
}

fn peppers(cluster: &Cluster) {
    let digest = new_digest();
    let key = make(cluster, cluster.developer, &digest, &json!({ "pepper_version": 2 }));
    let ask = |asked: &[(&str, i32)]| {
        let digests: Vec<_> =
            asked.iter().map(|(d, version)| json!({ "digest": d, "pepper_version": version })).collect();
        cluster.call(As::Service, "authenticate_key", &json!({ "digests": digests })).unwrap()
    };
    let (third, first) = (new_digest(), new_digest());
    let found = ask(&[(&third, 3), (&digest, 2), (&first, 1)]);
    assert_eq!((&found["key_id"], &found["pepper_version"]), (&key["id"], &json!(2)));
    assert_eq!(authenticate(cluster, &digest, 2), found, "by an edge that knows one pepper");
    assert_eq!(ask(&[(&third, 3), (&digest, 1)]), json!({}), "the pepper of the key has been dropped");
    assert_eq!(ask(&[]), json!({}));
    let four = json!({ "digests": vec![json!({ "digest": digest, "pepper_version": 2 }); 4] });
    assert_eq!(cluster.refusal(As::Service, "authenticate_key", &four), ("PT422".into(), "digests".into()));
}

fn rehash(cluster: &Cluster) {
    let (old, new) = (new_digest(), new_digest());
    let key = make(cluster, cluster.developer, &old, &json!({}));
    let touch = |digest: &str, version: i32| {
        let now: Value = cluster.superuser("postgres").query_one("select to_jsonb(now())", &[]).unwrap().get(0);
        let keys = json!([{ "id": key["id"], "at": now, "digest": digest, "pepper_version": version }]);
        cluster.call(As::Service, "touch_keys", &json!({ "keys": keys })).unwrap()["touched"].clone()
    };
    let plain = json!({ "keys": [{ "id": key["id"], "at": "2026-01-01T00:00:00Z" }] });
    cluster.call(As::Service, "touch_keys", &plain).unwrap();
    assert_eq!(authenticate(cluster, &old, 1)["key_id"], key["id"], "a use alone changes nothing else");
    assert_eq!(touch(&new, 2), 1);
    assert_eq!(authenticate(cluster, &old, 1), json!({}));
    assert_eq!(authenticate(cluster, &new, 2)["key_id"], key["id"]);
    assert_eq!(touch(&new, 2), 0, "once");
    // Within the minute: whoever drops a pepper need not wait for every key's next minute.
    assert_eq!(touch(&old, 1), 1);
    assert_eq!(authenticate(cluster, &old, 1)["key_id"], key["id"]);
}

fn rehash_refused(cluster: &Cluster) {
    let (mine, other) = (new_digest(), new_digest());
    let key = make(cluster, cluster.developer, &mine, &json!({}));
    make(cluster, cluster.owner, &other, &json!({}));
    for more in [
        json!({ "digest": new_digest() }),
        json!({ "pepper_version": 2 }),
        json!({ "digest": "abcd", "pepper_version": 2 }),
        json!({ "digest": "xyz", "pepper_version": 2 }),
        json!({ "digest": new_digest(), "pepper_version": 0 }),
        json!({ "digest": other, "pepper_version": 2 }),
    ] {
        let mut used = json!({ "id": key["id"], "at": "2026-01-01T00:00:00Z" });
        used.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let refused = cluster.refusal(As::Service, "touch_keys", &json!({ "keys": [used] }));
        assert_eq!(refused, ("PT422".into(), "keys".into()), "{more}");
    }
    assert_eq!(authenticate(cluster, &mine, 1)["key_id"], key["id"]);
}

fn no_write(cluster: &Cluster) {
    let digest = new_digest();
    make(cluster, cluster.developer, &digest, &json!({}));
    let found = cluster.transaction(|transaction| {
        transaction.batch_execute("set transaction read only").unwrap();
        let payload = json!({ "digest": digest, "pepper_version": 1 });
        call(transaction, As::Service, "authenticate_key", &payload).unwrap()
    });
    assert!(found["key_id"].is_string());
}

fn touching(cluster: &Cluster) {
    let key = make(cluster, cluster.developer, &new_digest(), &json!({}));
    let touch = |at: &str| {
        let sql = format!("select to_jsonb({at})");
        let at: Value = cluster.superuser("postgres").query_one(&sql, &[]).unwrap().get(0);
        let keys = json!([{ "id": key["id"], "at": at }, { "id": new_id(), "at": at }]);
        cluster.call(As::Service, "touch_keys", &json!({ "keys": keys })).unwrap()["touched"].clone()
    };
    let used = |condition: &str| -> bool {
        let sql = format!("select {condition} from public.api_keys where id = $1::text::uuid");
        cluster.superuser("postgres").query_one(&sql, &[&key["id"].as_str()]).unwrap().get(0)
    };
    assert_eq!(touch("now() - interval '2 hours'"), 1);
    assert_eq!(touch("now() - interval '3 hours'"), 0, "an older use");
    assert_eq!(touch("now() - interval '2 hours' + interval '30 seconds'"), 0, "within the minute");
    assert!(used("last_used_at < now() - interval '119 minutes'"));
    assert_eq!(touch("now() + interval '1 year'"), 1);
    assert!(used("last_used_at <= now()"));
    for keys in [json!(null), json!([{ "id": "mine", "at": "2026-01-01" }]), json!(vec![json!({}); 1001])] {
        let refused = cluster.refusal(As::Service, "touch_keys", &json!({ "keys": keys }));
        assert_eq!(refused, ("PT422".into(), "keys".into()));
    }
    let refused = cluster.refusal(As::User(cluster.owner), "touch_keys", &json!({ "keys": [] }));
    assert_eq!(refused.0, "42501");
}

fn rotate(cluster: &Cluster, user: Uuid, key: &Value, digest: &str, more: &Value) -> Result<Value, postgres::Error> {
    let mut payload = json!({ "id": key["id"], "digest": digest, "pepper_version": 1, "prefix": "qlp_test_cd" });
    payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    cluster.call(As::User(user), "rotate_key", &payload)
}

fn epoch(cluster: &Cluster, user: Uuid) -> i64 {
    let epoch = "select authz_epoch from public.users where id = $1";
    cluster.superuser("postgres").query_one(epoch, &[&user]).unwrap().get(0)
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
