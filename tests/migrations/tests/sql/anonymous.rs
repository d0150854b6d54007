//! Users without an identity of their own belong to nothing.

use local_supabase::Login;
use serde_json::json;
use uuid::Uuid;

use crate::Test;
use crate::cluster::{As, Cluster, code, new_digest};

pub const TESTS: &[Test] = &[
    ("an_anonymous_user_belongs_to_no_organization_and_gets_a_personal_one_with_an_identity", life),
    ("nobody_adds_an_anonymous_user_to_an_organization", adding),
    ("an_anonymous_user_makes_no_key", keys),
];

fn guest(cluster: &Cluster) -> Uuid {
    let insert = "insert into auth.users (is_anonymous) values (true) returning id";
    cluster.login(Login::AuthAdmin).query_one(insert, &[]).unwrap().get(0)
}

fn organizations(cluster: &Cluster, user: Uuid) -> usize {
    let listed = cluster.call(As::User(user), "list_organizations", &json!({})).unwrap();
    listed["organizations"].as_array().unwrap().len()
}

fn life(cluster: &Cluster) {
    let guest = guest(cluster);
    assert_eq!(organizations(cluster, guest), 0);
    let named = "update auth.users set email = $2, is_anonymous = false where id = $1";
    let address = format!("{guest}@example.com");
    let mut auth = cluster.login(Login::AuthAdmin);
    auth.execute(named, &[&guest, &address]).unwrap();
    auth.execute(named, &[&guest, &address]).unwrap();
    assert_eq!(organizations(cluster, guest), 1);
    let name = "select display_name from public.users where id = $1";
    let name: Option<String> = cluster.superuser("postgres").query_one(name, &[&guest]).unwrap().get(0);
    assert_eq!(name, Some(guest.to_string()));
}

fn adding(cluster: &Cluster) {
    let guest = guest(cluster);
    let mut superuser = cluster.superuser("postgres");
    let add = "insert into public.organization_members (org_id, user_id, role) values ($1, $2, 'viewer')";
    assert_eq!(code(&superuser.execute(add, &[&cluster.org, &guest]).unwrap_err()), "PT403");
    let replace = "update public.organization_members set user_id = $2 where org_id = $1 and role = 'viewer'";
    assert_eq!(code(&superuser.execute(replace, &[&cluster.org, &guest]).unwrap_err()), "PT403");
}

fn keys(cluster: &Cluster) {
    let key = json!({ "org_id": cluster.org, "name": "k", "digest": new_digest(), "pepper_version": 1, "prefix": "p",
        "scopes": ["llm"] });
    assert_eq!(cluster.refusal(As::User(guest(cluster)), "create_key", &key), ("PT404".into(), "org_id".into()));
}
