//! Organizations that require a second factor of their members.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::Test;
use crate::cluster::{As, Cluster, Organization, become_, code, new_digest};
use crate::identity::{epoch, run_hook};

pub const TESTS: &[Test] = &[
    ("an_owner_with_a_second_factor_alone_says_whether_one_is_required", setting),
    ("without_the_second_factor_that_is_required_a_member_may_do_nothing", functions),
    ("without_the_second_factor_that_is_required_no_row_is_written", tables),
    ("without_a_second_factor_an_organization_is_seen_chosen_and_left", leaving),
    ("keys_go_on_working_where_a_second_factor_is_required", keys),
    ("whoever_switches_it_on_makes_the_tokens_of_all_members_stale", epochs),
    ("an_access_token_says_whether_a_second_factor_is_required", tokens),
];

fn require(cluster: &Cluster, org: &Organization, required: bool) {
    let wish = json!({ "org_id": org.id, "requires_aal2": required });
    let changed = cluster.call(As::SecondFactor(org.owner), "update_organization", &wish).unwrap();
    assert_eq!(changed["requires_aal2"], required);
}

fn setting(cluster: &Cluster) {
    let org = cluster.organization("factor-setting");
    let wish = json!({ "org_id": org.id, "requires_aal2": true });
    let refusal = |who| cluster.refusal(who, "update_organization", &wish);
    assert_eq!(refusal(As::User(org.owner)), ("PT403".into(), "aal2".into()), "an owner who could be locked out");
    assert_eq!(refusal(As::SecondFactor(org.admin)), ("PT403".into(), "organization:delete".into()));
    assert_eq!(refusal(As::SecondFactor(org.viewer)), ("PT403".into(), "organization:write".into()));
    assert_eq!(refusal(As::SecondFactor(cluster.stranger)).0, "PT404");
    let directly = |who: As| {
        cluster.transaction(|transaction| {
            become_(transaction, who);
            let update = "update public.organizations set requires_aal2 = true where id = $1";
            transaction.execute(update, &[&org.id]).map_err(|error| code(&error).to_owned())
        })
    };
    assert_eq!(directly(As::User(org.owner)), Err("PT403".to_owned()));
    assert_eq!(directly(As::SecondFactor(org.admin)), Err("PT403".to_owned()));
    assert_eq!(directly(As::SecondFactor(org.owner)), Ok(1));
    require(cluster, &org, true);
    let off = json!({ "org_id": org.id, "requires_aal2": false });
    assert_eq!(cluster.refusal(As::User(org.owner), "update_organization", &off), ("PT403".into(), "aal2".into()));
    require(cluster, &org, false);
    for wrong in [json!("yes"), json!(1), json!([])] {
        let wish = json!({ "org_id": org.id, "requires_aal2": wrong });
        let refused = cluster.refusal(As::SecondFactor(org.owner), "update_organization", &wish);
        assert_eq!(refused, ("PT422".into(), "requires_aal2".into()));
    }
    let entries = json!({ "org_id": org.id, "action": "organization.updated" });
    let log = cluster.call(As::User(org.owner), "list_audit", &entries).unwrap();
    let changes: Vec<_> = log["events"].as_array().unwrap().iter().map(|event| event["details"].clone()).collect();
    let change = |from, to| json!({ "requires_aal2": { "from": from, "to": to } });
    assert_eq!(changes, [change(true, false), change(false, true)]);
}

/// Each function that changes or tells something in an organization, with an argument that an owner gets through with.
fn attempts(org: &Organization) -> Vec<(&'static str, Value)> {
    let with = |more: Value| {
        let mut payload = json!({ "org_id": org.id });
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        payload
    };
    let digest = new_digest();
    vec![
        ("get_organization", with(json!({}))),
        ("update_organization", with(json!({ "name": "renamed" }))),
        ("list_members", with(json!({}))),
        ("change_member_role", with(json!({ "user_id": org.viewer, "role": "developer" }))),
        ("remove_member", with(json!({ "user_id": org.developer }))),
        ("list_roles", with(json!({}))),
        ("create_role", with(json!({ "name": "auditor", "permissions": ["audit:read"] }))),
        ("invite_member", with(json!({ "email": "a@example.com", "role": "viewer", "digest": digest }))),
        ("list_invitations", with(json!({}))),
        ("create_team", with(json!({ "name": "core" }))),
        ("list_teams", with(json!({}))),
        ("list_audit", with(json!({}))),
        ("export_audit", with(json!({}))),
        (
            "create_key",
            with(json!({ "name": "k", "digest": digest, "pepper_version": 1, "prefix": "p", "scopes": ["llm"] })),
        ),
        ("transfer_ownership", with(json!({ "user_id": org.admin }))),
        ("delete_organization", with(json!({}))),
    ]
}

fn functions(cluster: &Cluster) {
    let org = cluster.organization("factor-functions");
    require(cluster, &org, true);
    for (function, payload) in attempts(&org) {
        let refused = cluster.refusal(As::User(org.owner), function, &payload);
        assert_eq!(refused, ("PT403".into(), "aal2".into()), "{function}");
        let refused = cluster.refusal(As::User(cluster.stranger), function, &payload);
        assert_eq!(refused.0, "PT404", "{function}: a stranger is told nothing");
    }
    for (function, payload) in attempts(&org) {
        // Whoever has handed it over does not delete it.
        let who = if function == "delete_organization" { org.admin } else { org.owner };
        cluster.call(As::SecondFactor(who), function, &payload).expect(function);
    }
}

fn tables(cluster: &Cluster) {
    let org = cluster.organization("factor-tables");
    require(cluster, &org, true);
    let Organization { id, owner, viewer, .. } = org;
    let statements = [
        format!("update public.organizations set name = 'mine' where id = '{id}'"),
        format!("delete from public.organizations where id = '{id}'"),
        format!("update public.organization_members set role = 'admin' where org_id = '{id}' and user_id = '{viewer}'"),
        format!("delete from public.organization_members where org_id = '{id}' and user_id = '{viewer}'"),
        format!("insert into public.teams (org_id, name) values ('{id}', 'core')"),
        format!("insert into public.roles (org_id, name, permissions) values ('{id}', 'x', '{{}}')"),
        format!(
            "insert into public.webhooks (org_id, url, events) values ('{id}', 'https://a.test', '{{key.created}}')"
        ),
        format!(
            "insert into public.organization_invitations (org_id, email, role, token_digest) \
             values ('{id}', 'a@example.com', 'viewer', sha256('factor-tables'))"
        ),
        format!(
            "insert into public.api_keys (org_id, name, digest, pepper_version, prefix, scopes) \
             values ('{id}', 'k', sha256('factor-tables'), 1, 'p', '{{llm}}')"
        ),
        format!("select 1 from public.audit_logs where org_id = '{id}'"),
    ];
    for statement in statements {
        let rows = |who: As| {
            cluster.transaction(|transaction| {
                become_(transaction, who);
                transaction.execute(&statement, &[]).map_err(|error| code(&error).to_owned())
            })
        };
        let found = rows(As::User(owner));
        assert!(matches!(&found, Ok(0)) || found == Err("42501".to_owned()), "{found:?}: {statement}");
        assert!(rows(As::SecondFactor(owner)).unwrap() > 0, "{statement}");
    }
}

fn leaving(cluster: &Cluster) {
    let org = cluster.organization("factor-leaving");
    require(cluster, &org, true);
    let listed = cluster.call(As::User(org.viewer), "list_organizations", &json!({})).unwrap();
    let shown = &listed["organizations"][1];
    assert_eq!((&shown["requires_aal2"], &shown["permissions"]), (&json!(true), &json!([])));
    let of = json!({ "org_id": org.id });
    cluster.call(As::User(org.viewer), "switch_organization", &of).unwrap();
    cluster.call(As::User(org.viewer), "leave_organization", &of).unwrap();
    assert_eq!(cluster.refusal(As::User(org.viewer), "leave_organization", &of), ("PT404".into(), "org_id".into()));
}

fn keys(cluster: &Cluster) {
    let org = cluster.organization("factor-keys");
    let digest = new_digest();
    let key = json!({ "org_id": org.id, "name": "k", "digest": digest, "pepper_version": 1, "prefix": "p",
        "scopes": ["usage:read"] });
    let key = cluster.call(As::User(org.developer), "create_key", &key).unwrap();
    require(cluster, &org, true);
    let asked = json!({ "digests": [{ "digest": digest, "pepper_version": 1 }] });
    assert_eq!(cluster.call(As::Service, "authenticate_key", &asked).unwrap()["key_id"], key["id"]);
    // As the token says that a key is exchanged for; it changes nothing, which needs the user's own.
    let of = json!({ "org_id": org.id });
    cluster.call(As::Key(org.developer), "list_members", &of).unwrap();
    let rename = json!({ "org_id": org.id, "name": "mine" });
    assert_eq!(cluster.refusal(As::Key(org.owner), "update_organization", &rename).0, "PT403");
    let rotation = json!({ "id": key["id"], "digest": new_digest(), "pepper_version": 1, "prefix": "p" });
    let refused = cluster.refusal(As::User(org.developer), "rotate_key", &rotation);
    assert_eq!(refused, ("PT403".into(), "aal2".into()));
    cluster.call(As::User(org.developer), "revoke_key", &json!({ "id": key["id"] })).unwrap();
}

fn epochs(cluster: &Cluster) {
    let org = cluster.organization("factor-epochs");
    let all = || [org.owner, org.admin, org.developer, org.viewer].map(|user: Uuid| epoch(cluster, user));
    let before = all();
    require(cluster, &org, true);
    let on = all();
    assert!(before.iter().zip(&on).all(|(before, on)| before < on), "{before:?} {on:?}");
    let changes = cluster.call(As::Service, "authz_changes", &json!({})).unwrap();
    assert_eq!(changes["changes"][org.viewer.to_string()], on[3]);
    require(cluster, &org, true);
    require(cluster, &org, false);
    assert_eq!(all(), on, "whoever may do more needs no other token");
}

fn tokens(cluster: &Cluster) {
    let org = cluster.organization("factor-tokens");
    let of = json!({ "org_id": org.id });
    cluster.call(As::User(org.viewer), "switch_organization", &of).unwrap();
    let required = || {
        let forged = json!({ "app_metadata": { "requires_aal2": false } });
        run_hook(cluster, org.viewer, &forged)["claims"]["app_metadata"]["requires_aal2"].clone()
    };
    assert_eq!(required(), false);
    require(cluster, &org, true);
    assert_eq!(required(), true);
}
