//! Roles: built in, made by organizations, and given to members.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::Test;
use crate::cluster::{As, Cluster, Organization, become_, code, new_id};

pub const TESTS: &[Test] = &[
    ("each_built_in_role_has_all_that_the_next_has_and_more", ranks),
    ("built_in_roles_are_nobodys_to_change", built_in),
    ("a_role_is_never_wider_than_its_maker", no_wider),
    ("a_role_is_given_and_taken_only_by_those_who_could_do_all_of_it", assigning),
    ("a_further_role_counts_at_once_and_in_its_organization_alone", effect),
    ("the_owners_role_and_those_of_other_organizations_are_no_further_roles", foreign_roles),
    ("roles_that_do_not_exist_or_cannot_be_seen_are_answered_alike", unknown_roles),
    ("a_role_is_deleted_in_its_own_organization_alone", deleting),
    ("names_and_permissions_have_a_form", forms),
    ("a_member_has_at_most_ten_further_roles_and_an_organization_a_hundred", bounds),
];

fn deleting(cluster: &Cluster) {
    let (org, other) = (cluster.organization("role-deleting"), cluster.organization("role-deleting-other"));
    cluster.join(other.id, org.owner, "owner");
    let auditor = json!({ "org_id": org.id, "name": "auditor", "permissions": ["audit:read"] });
    let made = cluster.call(As::User(org.owner), "create_role", &auditor).unwrap();
    let of_other = json!({ "org_id": other.id, "id": made["id"] });
    assert_eq!(cluster.refusal(As::User(org.owner), "delete_role", &of_other).0, "PT404");
    let own = json!({ "org_id": org.id, "id": made["id"] });
    assert_eq!(cluster.refusal(As::User(org.viewer), "delete_role", &own), ("PT403".into(), "roles:write".into()));
    assert_eq!(cluster.call(As::User(org.owner), "delete_role", &own).unwrap()["id"], made["id"]);
}

fn ranks(cluster: &Cluster) {
    let answer = cluster.call(As::User(cluster.owner), "list_roles", &json!({ "org_id": cluster.org })).unwrap();
    let permissions = |name: &str| -> BTreeSet<String> {
        let role = answer["roles"].as_array().unwrap().iter().find(|role| role["name"] == name).unwrap();
        assert_eq!(role["built_in"], true);
        serde_json::from_value(role["permissions"].clone()).unwrap()
    };
    let ranks = ["owner", "admin", "developer", "viewer"].map(permissions);
    for pair in ranks.windows(2) {
        assert!(pair[0].is_superset(&pair[1]) && pair[0] != pair[1]);
    }
}

fn built_in(cluster: &Cluster) {
    let id = built_in_role(cluster, cluster.owner, cluster.org, "viewer");
    assert_eq!(
        cluster.refusal(As::User(cluster.owner), "delete_role", &json!({ "id": id })),
        ("PT404".into(), "id".into())
    );
    for statement in [
        "update public.roles set permissions = '{organization:delete}' where org_id is null",
        "delete from public.roles where org_id is null",
    ] {
        let changed = cluster.transaction(|transaction| {
            become_(transaction, As::User(cluster.owner));
            transaction.execute(statement, &[]).unwrap()
        });
        assert_eq!(changed, 0, "{statement}");
    }
}

fn no_wider(cluster: &Cluster) {
    let org = cluster.organization("no-wider");
    let wish = |user: Uuid, permissions: Value| {
        let name = format!("r{}", user.simple());
        json!({ "org_id": org.id, "name": name, "permissions": permissions })
    };
    let wide = wish(org.admin, json!(["organization:read", "organization:delete"]));
    assert_eq!(cluster.refusal(As::User(org.admin), "create_role", &wide), ("PT403".into(), "permissions".into()));
    let narrow = wish(org.admin, json!(["members:write", "audit:read"]));
    let made = cluster.call(As::User(org.admin), "create_role", &narrow).unwrap();
    assert_eq!(made["permissions"], json!(["audit:read", "members:write"]));
    for who in [org.developer, org.viewer] {
        let refused = cluster.refusal(As::User(who), "create_role", &wish(who, json!([])));
        assert_eq!(refused, ("PT403".into(), "roles:write".into()));
    }
    // The same through the table.
    for statement in [
        "insert into public.roles (org_id, name, permissions) values ($1, 'wide', '{organization:delete}')",
        "update public.roles set permissions = '{organization:delete}' where org_id = $1",
    ] {
        let refused = cluster.transaction(|transaction| {
            become_(transaction, As::User(org.admin));
            transaction.execute(statement, &[&org.id]).unwrap_err()
        });
        assert_eq!(code(&refused), "42501", "{statement}");
    }
    // Nor does anybody narrow or delete what can do more than they can.
    let wide = wish(org.owner, json!(["organization:delete"]));
    let owners = cluster.call(As::User(org.owner), "create_role", &wide).unwrap();
    assert_eq!(
        cluster.refusal(As::User(org.admin), "delete_role", &json!({ "id": owners["id"] })),
        ("PT403".into(), "id".into())
    );
    cluster.call(As::User(org.owner), "delete_role", &json!({ "id": owners["id"] })).unwrap();
}

fn assigning(cluster: &Cluster) {
    let org = cluster.organization("assigning");
    let wide = role(cluster, &org, "wide", &["billing:write"]);
    let narrow = role(cluster, &org, "narrow", &["billing:read"]);
    let grant = |user: Uuid, role: &Value| json!({ "org_id": org.id, "user_id": user, "role_id": role });
    let refused =
        |who: Uuid, function: &str, role: &Value| cluster.refusal(As::User(who), function, &grant(org.viewer, role));
    assert_eq!(refused(org.admin, "assign_role", &wide), ("PT403".into(), "role_id".into()));
    assert_eq!(refused(org.developer, "assign_role", &narrow), ("PT403".into(), "members:write".into()));
    assert_eq!(refused(org.viewer, "assign_role", &narrow), ("PT403".into(), "members:write".into()));
    for _ in 0..2 {
        let answer = cluster.call(As::User(org.admin), "assign_role", &grant(org.viewer, &narrow)).unwrap();
        assert_eq!(answer["name"], "narrow");
    }
    cluster.call(As::User(org.owner), "assign_role", &grant(org.viewer, &wide)).unwrap();
    assert_eq!(refused(org.admin, "unassign_role", &wide), ("PT403".into(), "role_id".into()));
    assert_eq!(refused(org.viewer, "unassign_role", &wide), ("PT403".into(), "members:write".into()));
    cluster.call(As::User(org.owner), "unassign_role", &grant(org.viewer, &wide)).unwrap();
    assert_eq!(refused(org.owner, "unassign_role", &wide), ("PT404".into(), "role_id".into()));
    let by_table = cluster.transaction(|transaction| {
        become_(transaction, As::User(org.admin));
        let insert = "insert into public.user_roles (org_id, user_id, role_id) values ($1, $2, $3::text::uuid)";
        transaction.execute(insert, &[&org.id, &org.admin, &wide.as_str()]).unwrap_err()
    });
    assert_eq!(code(&by_table), "42501", "nor to oneself");
}

fn effect(cluster: &Cluster) {
    let (org, other) = (cluster.organization("effect"), cluster.organization("effect-elsewhere"));
    cluster.join(other.id, org.viewer, "viewer");
    let auditor = role(cluster, &org, "auditor", &["audit:read"]);
    let of = |org: Uuid| json!({ "org_id": org });
    let missing = ("PT403".to_owned(), "audit:read".to_owned());
    assert_eq!(cluster.refusal(As::User(org.viewer), "list_audit", &of(org.id)), missing);
    let grant = json!({ "org_id": org.id, "user_id": org.viewer, "role_id": auditor });
    cluster.call(As::User(org.owner), "assign_role", &grant).unwrap();
    assert!(cluster.call(As::User(org.viewer), "list_audit", &of(org.id)).unwrap()["events"].is_array());
    assert_eq!(cluster.refusal(As::User(org.viewer), "list_audit", &of(other.id)), missing);
    let seen = cluster.transaction(|transaction| {
        become_(transaction, As::User(org.viewer));
        let find = "select distinct org_id from public.audit_logs";
        transaction.query(find, &[]).unwrap().iter().map(|row| row.get(0)).collect::<BTreeSet<Uuid>>()
    });
    assert!(seen.contains(&org.id) && !seen.contains(&other.id));
    let members = cluster.call(As::User(org.viewer), "list_members", &of(org.id)).unwrap();
    let viewer = members["members"].as_array().unwrap().iter().find(|m| m["user_id"] == json!(org.viewer)).unwrap();
    assert_eq!(viewer["extra_roles"], json!([{ "id": auditor, "name": "auditor" }]));
    cluster.call(As::User(org.owner), "delete_role", &json!({ "id": auditor })).unwrap();
    assert_eq!(cluster.refusal(As::User(org.viewer), "list_audit", &of(org.id)), missing);
}

fn foreign_roles(cluster: &Cluster) {
    let (org, other) = (cluster.organization("foreign"), cluster.organization("foreign-elsewhere"));
    let owner_role = built_in_role(cluster, org.owner, org.id, "owner");
    let grant = |role: &Value| json!({ "org_id": org.id, "user_id": org.viewer, "role_id": role });
    let refused = cluster.refusal(As::User(org.owner), "assign_role", &grant(&owner_role));
    assert_eq!(refused, ("PT422".into(), "role_id".into()));
    let foreign = role(cluster, &other, "foreign", &[]);
    cluster.join(other.id, org.owner, "owner");
    let refused = cluster.refusal(As::User(org.owner), "assign_role", &grant(&foreign));
    assert_eq!(refused, ("PT404".into(), "role_id".into()), "although the caller sees it");
    let by_service = cluster.transaction(|transaction| {
        become_(transaction, As::Service);
        let insert = "insert into public.user_roles (org_id, user_id, role_id) values ($1, $2, $3::text::uuid)";
        transaction.execute(insert, &[&org.id, &org.viewer, &foreign.as_str()]).unwrap_err()
    });
    assert_eq!(code(&by_service), "PT422");
}

fn unknown_roles(cluster: &Cluster) {
    let (org, other) = (cluster.organization("unknown-roles"), cluster.organization("unknown-roles-2"));
    let foreign = role(cluster, &other, "foreign", &[]);
    let errors = [foreign, json!(new_id())].map(|id| {
        let error = cluster.call(As::User(org.owner), "delete_role", &json!({ "id": id })).unwrap_err();
        error.as_db_error().unwrap().to_string()
    });
    assert_eq!(errors[0], errors[1]);
    let grant = json!({ "org_id": org.id, "user_id": other.viewer, "role_id": new_id() });
    assert_eq!(cluster.refusal(As::User(org.owner), "assign_role", &grant), ("PT404".into(), "user_id".into()));
}

fn forms(cluster: &Cluster) {
    let org = cluster.organization("forms");
    let make = |name: &str, permissions: Value| {
        let wish = json!({ "org_id": org.id, "name": name, "permissions": permissions });
        cluster.call(As::User(org.owner), "create_role", &wish)
    };
    for name in ["owner", "admin", "developer", "viewer"] {
        assert_eq!(code(&make(name, json!([])).unwrap_err()), "PT409", "{name}");
    }
    for name in ["", "With Blank", "ünïcode", "1st", &"x".repeat(41)] {
        assert_eq!(code(&make(name, json!([])).unwrap_err()), "PT422", "{name}");
    }
    for permissions in [json!(null), json!("audit:read"), json!(vec!["audit:read"; 51])] {
        assert_eq!(code(&make("fine", permissions).unwrap_err()), "PT422");
    }
    assert_eq!(code(&make("fine", json!(["invented:power"])).unwrap_err()), "PT403");
    make("fine", json!([])).unwrap();
    assert_eq!(code(&make("fine", json!([])).unwrap_err()), "PT409");
    let broken = "insert into public.roles (org_id, name, permissions) values ($1, 'broken', '{everything}')";
    let refused = cluster.superuser("postgres").execute(broken, &[&org.id]).unwrap_err();
    assert_eq!(code(&refused), "23514");
}

fn bounds(cluster: &Cluster) {
    let org = cluster.organization("bounds");
    let assign = |number: i32| {
        let role = role(cluster, &org, &format!("role-{number}"), &[]);
        let grant = json!({ "org_id": org.id, "user_id": org.viewer, "role_id": role });
        cluster.call(As::User(org.owner), "assign_role", &grant)
    };
    for number in 0..10 {
        assign(number).unwrap();
    }
    assert_eq!(code(&assign(10).unwrap_err()), "PT409");
    let fill = "insert into public.roles (org_id, name, permissions)
                select $1, 'filler-' || n, '{}' from generate_series(1, 89) n";
    cluster.superuser("postgres").execute(fill, &[&org.id]).unwrap();
    let wish = json!({ "org_id": org.id, "name": "one-more", "permissions": [] });
    assert_eq!(cluster.refusal(As::User(org.owner), "create_role", &wish), ("PT409".into(), "org_id".into()));
}

fn role(cluster: &Cluster, org: &Organization, name: &str, permissions: &[&str]) -> Value {
    let wish = json!({ "org_id": org.id, "name": name, "permissions": permissions });
    cluster.call(As::User(org.owner), "create_role", &wish).unwrap()["id"].clone()
}

fn built_in_role(cluster: &Cluster, user: Uuid, org: Uuid, name: &str) -> Value {
    let answer = cluster.call(As::User(user), "list_roles", &json!({ "org_id": org })).unwrap();
    let roles = answer["roles"].as_array().unwrap();
    roles.iter().find(|role| role["name"] == name && role["built_in"] == true).unwrap()["id"].clone()
}
