//! Prompts and answers: kept only where an owner wants it, read by few, and not for ever.

use local_supabase::Login;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Test;
use crate::cluster::{As, Cluster, become_, code, new_digest, new_id};

pub const TESTS: &[Test] = &[
    ("owners_alone_say_whether_prompts_are_logged_and_it_is_audited", setting),
    ("days_of_another_form_are_refused", refused),
    ("a_prompt_is_kept_once_and_only_while_its_organization_wants_it", recording),
    ("tokens_and_keys_tell_that_prompts_are_logged", told),
    ("a_log_ends_with_its_days_in_bounded_batches_and_with_the_setting", expiry),
    ("users_neither_write_nor_end_logs", grants),
];

fn set(cluster: &Cluster, who: Uuid, org: Uuid, days: &Value) -> Result<Value, postgres::Error> {
    cluster.call(As::User(who), "update_organization", &json!({ "org_id": org, "prompt_log_days": days }))
}

fn record(cluster: &Cluster, org: Uuid, id: Uuid) -> Value {
    let log = json!({
        "id": id, "org_id": org, "user_id": cluster.owner, "alias": "default", "provider": "p", "model": "m",
        "status": "success", "prompt": [{ "role": "user", "text": "hi" }], "answer": "ho", "is_truncated": false,
    });
    cluster.call(As::Service, "record_prompt_log", &log).unwrap()["recorded"].clone()
}

fn count(cluster: &Cluster, org: Uuid) -> i64 {
    let count = "select count(*) from public.llm_prompt_logs where org_id = $1";
    cluster.superuser("postgres").query_one(count, &[&org]).unwrap().get(0)
}

fn setting(cluster: &Cluster) {
    let org = cluster.organization("prompt-setting");
    let admin = org.admin;
    assert_eq!(code(&set(cluster, admin, org.id, &json!(7)).unwrap_err()), "PT403");
    assert_eq!(code(&set(cluster, org.developer, org.id, &json!(7)).unwrap_err()), "PT403");
    assert_eq!(set(cluster, org.owner, org.id, &json!(7)).unwrap()["prompt_log_days"], 7);
    let rename = json!({ "org_id": org.id, "name": "renamed" });
    assert_eq!(cluster.call(As::User(admin), "update_organization", &rename).unwrap()["prompt_log_days"], 7);
    assert_eq!(set(cluster, org.owner, org.id, &Value::Null).unwrap()["prompt_log_days"], Value::Null);
    let entries = "select count(*) from public.audit_logs
                   where org_id = $1 and entry::jsonb #> '{details,prompt_log_days}' is not null and action = 'organization.updated'";
    assert_eq!(cluster.superuser("postgres").query_one(entries, &[&org.id]).unwrap().get::<_, i64>(0), 2);
}

fn refused(cluster: &Cluster) {
    let org = cluster.organization("prompt-refused");
    for days in [json!(0), json!(366), json!("many"), json!(1.5), json!(true)] {
        let payload = json!({ "org_id": org.id, "prompt_log_days": days });
        let refused = cluster.refusal(As::User(org.owner), "update_organization", &payload);
        assert_eq!(refused, ("PT422".into(), "prompt_log_days".into()), "{days}");
    }
}

fn recording(cluster: &Cluster) {
    let (org, id) = (cluster.organization("prompt-recording"), new_id());
    assert_eq!(record(cluster, org.id, id), 0, "nobody wants it");
    set(cluster, org.owner, org.id, &json!(1)).unwrap();
    assert_eq!([record(cluster, org.id, id), record(cluster, org.id, id)], [1, 0]);
    assert_eq!(count(cluster, org.id), 1);
    set(cluster, org.owner, org.id, &Value::Null).unwrap();
    assert_eq!(record(cluster, org.id, new_id()), 0, "not any more, whatever tokens still say");
    let odd = json!({ "id": new_id(), "org_id": org.id, "prompt": "hi" });
    set(cluster, org.owner, org.id, &json!(1)).unwrap();
    assert_eq!(cluster.refusal(As::Service, "record_prompt_log", &odd).0, "PT422");
}

fn told(cluster: &Cluster) {
    let org = cluster.organization("prompt-told");
    cluster.call(As::User(org.developer), "switch_organization", &json!({ "org_id": org.id })).unwrap();
    let claims = || {
        let call = "select public.custom_access_token_hook($1)";
        let event = json!({ "user_id": org.developer, "claims": { "app_metadata": { "logs_prompts": true } } });
        let answer: Value = cluster.login(Login::AuthAdmin).query_one(call, &[&event]).unwrap().get(0);
        answer["claims"]["app_metadata"]["logs_prompts"].clone()
    };
    assert_eq!(claims(), Value::Null, "a word in the account changes nothing");
    set(cluster, org.owner, org.id, &json!(30)).unwrap();
    assert_eq!(claims(), json!(true));
    let digest = new_digest();
    let key = json!({
        "org_id": org.id, "name": "k", "digest": digest, "pepper_version": 1, "prefix": "qlp_test_ab", "scopes": ["llm"],
    });
    cluster.call(As::User(org.developer), "create_key", &key).unwrap();
    let asked = json!({ "digest": digest, "pepper_version": 1 });
    assert_eq!(cluster.call(As::Service, "authenticate_key", &asked).unwrap()["logs_prompts"], true);
}

fn expiry(cluster: &Cluster) {
    let (one, other) = (cluster.organization("prompt-expiry"), cluster.organization("prompt-expiry-other"));
    for (org, days) in [(&one, 2), (&other, 30)] {
        set(cluster, org.owner, org.id, &json!(days)).unwrap();
        (0..5).for_each(|_| assert_eq!(record(cluster, org.id, new_id()), 1));
    }
    let age = "update public.llm_prompt_logs set created_at = now() - interval '3 days'
               where id in (select id from public.llm_prompt_logs where org_id = any ($1) order by id limit 9)";
    cluster.superuser("postgres").execute(age, &[&vec![one.id, other.id]]).unwrap();
    let stays = "update public.llm_prompt_logs set created_at = now()
                 where id = (select id from public.llm_prompt_logs where org_id = $1 order by id limit 1)";
    cluster.superuser("postgres").execute(stays, &[&one.id]).unwrap();
    let expire = |limit: i32| cluster.call(As::Service, "expire_prompt_logs", &json!({ "limit": limit })).unwrap();
    let first = expire(2);
    assert_eq!((&first["deleted"], &first["more"]), (&json!(2), &json!(true)));
    while expire(1_000)["more"] == true {}
    assert!(count(cluster, one.id) >= 1 && count(cluster, one.id) < 5);
    assert_eq!(count(cluster, other.id), 5, "three days are not thirty");
    set(cluster, other.owner, other.id, &Value::Null).unwrap();
    while expire(1_000)["more"] == true {}
    assert_eq!(count(cluster, other.id), 0, "it does not log any more");
    for limit in [json!(0), json!(10_001), json!("all")] {
        let refused = cluster.refusal(As::Service, "expire_prompt_logs", &json!({ "limit": limit }));
        assert_eq!(refused, ("PT422".into(), "limit".into()));
    }
}

fn grants(cluster: &Cluster) {
    for function in ["record_prompt_log", "expire_prompt_logs"] {
        for who in [As::User(cluster.owner), As::Anonymous] {
            assert_eq!(code(&cluster.call(who, function, &json!({})).unwrap_err()), "42501");
        }
    }
    let insert = "insert into public.llm_prompt_logs (id, org_id, alias, status, prompt, answer, is_truncated)
                  values (gen_random_uuid(), $1, 'a', 'success', '[]', '', false)";
    let attempt = cluster.transaction(|transaction| {
        become_(transaction, As::User(cluster.owner));
        transaction.execute(insert, &[&cluster.org]).unwrap_err()
    });
    assert_eq!(code(&attempt), "42501");
}
