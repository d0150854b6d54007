//! Organizations and their members: who may do what, and that an owner stays.

use std::thread;

use local_supabase::Login;
use postgres::Client;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Test;
use crate::cluster::{As, Cluster, Organization, become_, call, code, new_id, wait_until_blocked};

pub const TESTS: &[Test] = &[
    ("whoever_makes_an_organization_owns_it", creation),
    ("anonymous_users_make_no_organization", anonymous),
    ("a_user_owns_at_most_a_hundred_organizations", bounds),
    ("organizations_are_listed_in_the_order_of_joining", listing),
    ("owners_and_admins_rename_an_organization", renaming),
    ("owners_alone_delete_an_organization_and_its_log_stays", deleting),
    ("a_personal_organization_is_neither_deleted_nor_left_nor_handed_over", personal),
    ("members_are_listed_for_members", members),
    ("an_organization_that_is_unknown_or_not_ones_own_is_answered_alike", unknown),
    ("who_may_give_whom_which_role", role_changes),
    ("a_role_is_one_of_four", role_names),
    ("who_may_remove_whom", removals),
    ("a_permission_to_manage_members_reaches_no_higher_than_ones_own_role", custom_managers),
    ("the_last_owner_neither_leaves_nor_is_removed_nor_demoted", last_owner),
    ("the_service_too_leaves_an_owner", service),
    ("of_two_owners_who_go_at_once_one_stays", at_once),
    ("ownership_is_handed_over_by_an_owner_to_a_member", transfer),
    ("whoever_leaves_takes_keys_teams_and_roles_along", leaving),
];

fn creation(cluster: &Cluster) {
    let user = As::User(cluster.user("creation"));
    let made = cluster.call(user, "create_organization", &json!({ "name": "  Acme " })).unwrap();
    assert_eq!(
        [&made["name"], &made["tier"], &made["personal"], &made["role"]],
        [&json!("Acme"), &json!("T1"), &json!(false), &json!("owner")]
    );
    assert_eq!(cluster.call(user, "get_organization", &json!({ "org_id": made["id"] })).unwrap(), made);
    for name in [json!(null), json!(""), json!("   "), json!("x".repeat(101))] {
        let refused = cluster.refusal(user, "create_organization", &json!({ "name": name }));
        assert_eq!(refused, ("PT422".into(), "name".into()));
    }
    assert_eq!(cluster.refusal(As::Anonymous, "create_organization", &json!({ "name": "x" })).0, "42501");
}

fn anonymous(cluster: &Cluster) {
    let user = cluster.user("anonymous-founder");
    let refused = cluster.transaction(|transaction| {
        become_(transaction, As::User(user));
        let claims = json!({ "role": "authenticated", "sub": user, "is_anonymous": true }).to_string();
        transaction.execute("select set_config('request.jwt.claims', $1, true)", &[&claims]).unwrap();
        let payload = json!({ "name": "Acme" });
        transaction.query_one("select api.create_organization($1)", &[&payload]).unwrap_err()
    });
    assert_eq!(code(&refused), "PT403");
}

fn bounds(cluster: &Cluster) {
    let user = cluster.user("many-organizations");
    let fill =
        "with made as (insert into public.organizations (name) select 'many' from generate_series(1, 99) returning id)
                insert into public.organization_members (org_id, user_id, role) select id, $1, 'owner' from made";
    cluster.superuser("postgres").execute(fill, &[&user]).unwrap();
    assert_eq!(cluster.refusal(As::User(user), "create_organization", &json!({ "name": "one more" })).0, "PT409");
}

fn listing(cluster: &Cluster) {
    let org = cluster.organization("listing");
    let listed = cluster.call(As::User(org.viewer), "list_organizations", &json!({})).unwrap();
    let listed = listed["organizations"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!([&listed[0]["personal"], &listed[0]["role"]], [&json!(true), &json!("owner")]);
    assert_eq!([&listed[1]["id"], &listed[1]["role"]], [&json!(org.id), &json!("viewer")]);
    assert!(listed[1]["permissions"].as_array().unwrap().contains(&json!("members:read")));
    assert!(!listed[1]["permissions"].as_array().unwrap().contains(&json!("members:write")));
}

fn renaming(cluster: &Cluster) {
    let org = cluster.organization("renaming");
    let wish = |name: &str| json!({ "org_id": org.id, "name": name });
    for who in [org.owner, org.admin] {
        let name = who.to_string();
        assert_eq!(cluster.call(As::User(who), "update_organization", &wish(&name)).unwrap()["name"], name);
    }
    for who in [org.developer, org.viewer] {
        let refused = cluster.refusal(As::User(who), "update_organization", &wish("mine"));
        assert_eq!(refused, ("PT403".into(), "organization:write".into()));
    }
    let refused = cluster.refusal(As::User(cluster.stranger), "update_organization", &wish("mine"));
    assert_eq!(refused, ("PT404".into(), "org_id".into()));
}

fn deleting(cluster: &Cluster) {
    let org = cluster.organization("deleting");
    let wish = json!({ "org_id": org.id });
    for who in [org.admin, org.developer, org.viewer] {
        let refused = cluster.refusal(As::User(who), "delete_organization", &wish);
        assert_eq!(refused, ("PT403".into(), "organization:delete".into()));
    }
    assert_eq!(cluster.refusal(As::User(cluster.stranger), "delete_organization", &wish).0, "PT404");
    assert_eq!(cluster.call(As::User(org.owner), "delete_organization", &wish).unwrap(), json!({ "id": org.id }));
    let left = "select (select count(*) from public.organization_members where org_id = $1),
                       (select action from public.audit_logs where org_id = $1 order by seq desc limit 1)";
    let row = cluster.superuser("postgres").query_one(left, &[&org.id]).unwrap();
    assert_eq!((row.get(0), row.get(1)), (0_i64, "organization.deleted"));
}

fn personal(cluster: &Cluster) {
    let (user, guest) = (cluster.user("personal"), cluster.user("personal-guest"));
    let org = personal_org(cluster, user);
    cluster.join(org, guest, "owner");
    let attempts = [
        (user, "delete_organization", json!({ "org_id": org })),
        (user, "leave_organization", json!({ "org_id": org })),
        (user, "transfer_ownership", json!({ "org_id": org, "user_id": guest })),
        (guest, "remove_member", json!({ "org_id": org, "user_id": user })),
        (guest, "change_member_role", json!({ "org_id": org, "user_id": user, "role": "viewer" })),
        (guest, "delete_organization", json!({ "org_id": org })),
    ];
    for (who, function, payload) in attempts {
        assert_eq!(cluster.refusal(As::User(who), function, &payload).0, "PT409", "{function}");
    }
    cluster.call(As::User(guest), "leave_organization", &json!({ "org_id": org })).unwrap();
}

fn members(cluster: &Cluster) {
    let org = cluster.organization("members");
    let of = json!({ "org_id": org.id });
    let listed = cluster.call(As::User(org.viewer), "list_members", &of).unwrap();
    let listed = listed["members"].as_array().unwrap();
    let mut roles: Vec<_> = listed.iter().map(|member| member["role"].as_str().unwrap()).collect();
    roles.sort_unstable();
    assert_eq!((roles, &listed[0]["role"]), (vec!["admin", "developer", "owner", "viewer"], &json!("owner")));
    assert_eq!(
        [&listed[0]["user_id"], &listed[0]["email"], &listed[0]["display_name"], &listed[0]["extra_roles"]],
        [&json!(org.owner), &json!("members-owner@example.com"), &json!("members-owner"), &json!([])]
    );
    assert_eq!(cluster.refusal(As::User(cluster.stranger), "list_members", &of), ("PT404".into(), "org_id".into()));
}

fn unknown(cluster: &Cluster) {
    let org = cluster.organization("unknown-org");
    let functions = [
        "get_organization",
        "update_organization",
        "delete_organization",
        "switch_organization",
        "list_members",
        "change_member_role",
        "remove_member",
        "leave_organization",
        "transfer_ownership",
        "invite_member",
        "list_invitations",
        "create_team",
        "list_teams",
        "list_roles",
        "create_role",
        "assign_role",
        "unassign_role",
        "list_audit",
        "export_audit",
    ];
    for function in functions {
        let errors = [org.id, new_id()].map(|id| {
            let payload = json!({
                "org_id": id, "name": "name", "user_id": org.owner, "role": "viewer", "email": "a@example.com",
                "digest": "00".repeat(32), "permissions": [], "role_id": id,
            });
            cluster.call(As::User(cluster.stranger), function, &payload).unwrap_err()
        });
        assert_eq!(code(&errors[0]), "PT404", "{function}");
        let [one, other] = errors.map(|error| error.as_db_error().unwrap().to_string());
        assert_eq!(one, other, "{function}");
    }
    let mistyped = cluster.refusal(As::User(org.owner), "list_members", &json!({ "org_id": "mine" }));
    assert_eq!(mistyped, ("PT422".into(), "org_id".into()));
}

/// Who changes whose role into which, and whether it works: of 4 × 4 × 4, in transactions that are rolled back.
fn role_changes(cluster: &Cluster) {
    let org = cluster.organization("role-changes");
    // A second owner, so that the first is not the last.
    cluster.join(org.id, cluster.user("role-changes-second"), "owner");
    let people = people(&org);
    for (actor, actor_role) in people {
        for (target, target_role) in people {
            for (_, wanted) in people {
                let expected = match actor_role {
                    "owner" => "fine",
                    "admin" if target_role != "owner" && wanted != "owner" => "fine",
                    _ => "PT403",
                };
                let payload = json!({ "org_id": org.id, "user_id": target, "role": wanted });
                let found = outcome(cluster, actor, "change_member_role", &payload);
                assert_eq!(found, expected, "{actor_role} makes {target_role} {wanted}");
                // Without the function, row level security says the same.
                let changed = cluster.transaction(|transaction| {
                    become_(transaction, As::User(actor));
                    let update = "update public.organization_members set role = $3 where org_id = $1 and user_id = $2";
                    transaction.execute(update, &[&org.id, &target, &wanted]).unwrap_or(0)
                });
                assert_eq!(changed == 1, expected == "fine", "{actor_role} makes {target_role} {wanted}");
            }
        }
    }
}

fn role_names(cluster: &Cluster) {
    let org = cluster.organization("role-names");
    for role in [json!("root"), json!(null), json!("Owner"), json!(1)] {
        let payload = json!({ "org_id": org.id, "user_id": org.viewer, "role": role });
        let refused = cluster.refusal(As::User(org.owner), "change_member_role", &payload);
        assert_eq!(refused, ("PT422".into(), "role".into()));
    }
}

fn removals(cluster: &Cluster) {
    let org = cluster.organization("removals");
    cluster.join(org.id, cluster.user("removals-second"), "owner");
    for (actor, actor_role) in people(&org) {
        for (target, target_role) in people(&org) {
            let expected = match actor_role {
                "owner" => "fine",
                "admin" if target_role != "owner" => "fine",
                _ => "PT403",
            };
            let payload = json!({ "org_id": org.id, "user_id": target });
            let found = outcome(cluster, actor, "remove_member", &payload);
            assert_eq!(found, expected, "{actor_role} removes {target_role}");
            let removed = cluster.transaction(|transaction| {
                become_(transaction, As::User(actor));
                let delete = "delete from public.organization_members where org_id = $1 and user_id = $2";
                transaction.execute(delete, &[&org.id, &target]).unwrap()
            });
            assert_eq!(removed == 1, expected == "fine" || actor == target, "{actor_role} removes {target_role}");
        }
    }
    let nobody = json!({ "org_id": org.id, "user_id": cluster.stranger });
    assert_eq!(cluster.refusal(As::User(org.owner), "remove_member", &nobody), ("PT404".into(), "user_id".into()));
}

fn custom_managers(cluster: &Cluster) {
    let org = cluster.organization("custom-managers");
    let wish = json!({ "org_id": org.id, "name": "hr", "permissions": ["members:write"] });
    let role = cluster.call(As::User(org.owner), "create_role", &wish).unwrap();
    let grant = json!({ "org_id": org.id, "user_id": org.developer, "role_id": role["id"] });
    cluster.call(As::User(org.owner), "assign_role", &grant).unwrap();
    let change = |target: Uuid, role: &str| {
        let payload = json!({ "org_id": org.id, "user_id": target, "role": role });
        outcome(cluster, org.developer, "change_member_role", &payload)
    };
    assert_eq!(change(org.viewer, "developer"), "fine");
    assert_eq!(change(org.viewer, "admin"), "PT403");
    assert_eq!(change(org.developer, "owner"), "PT403", "nor themselves");
    assert_eq!(change(org.admin, "viewer"), "PT403");
}

fn last_owner(cluster: &Cluster) {
    let org = cluster.organization("last-owner");
    let attempts = [
        ("leave_organization", json!({ "org_id": org.id })),
        ("remove_member", json!({ "org_id": org.id, "user_id": org.owner })),
        ("change_member_role", json!({ "org_id": org.id, "user_id": org.owner, "role": "admin" })),
    ];
    for (function, payload) in &attempts {
        let refused = cluster.refusal(As::User(org.owner), function, payload);
        assert_eq!(refused, ("PT409".into(), "user_id".into()), "{function}");
    }
    let second = cluster.user("last-owner-second");
    cluster.join(org.id, second, "owner");
    for (function, payload) in &attempts {
        assert_eq!(outcome(cluster, org.owner, function, payload), "fine", "{function}");
    }
}

fn service(cluster: &Cluster) {
    let org = cluster.organization("service-owner");
    for statement in [
        "delete from public.organization_members where org_id = $1",
        "update public.organization_members set role = 'viewer' where org_id = $1",
    ] {
        let refused = cluster.transaction(|transaction| {
            become_(transaction, As::Service);
            transaction.execute(statement, &[&org.id]).unwrap_err()
        });
        assert_eq!(code(&refused), "PT409", "{statement}");
    }
}

/// The first owner acts, and before that is committed the second; each goes, or makes the other a viewer.
fn at_once(cluster: &Cluster) {
    let (leave, demote) = ("leave_organization", "change_member_role");
    let cases = [
        (leave, leave, "PT409"),
        (leave, demote, "PT404"),
        // The second is an owner no more, and may go.
        (demote, leave, "fine"),
        (demote, demote, "PT409"),
    ];
    for (round, (one, other, expected)) in cases.into_iter().enumerate() {
        let org = cluster.organization(&format!("at-once-{round}"));
        let second = cluster.user(&format!("at-once-{round}-second"));
        cluster.join(org.id, second, "owner");
        let payload = |target: Uuid| json!({ "org_id": org.id, "user_id": target, "role": "viewer" });
        let (mut early, mut late) = (cluster.login(Login::Authenticator), cluster.login(Login::Authenticator));
        let late_pid: i32 = late.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
        let outcome = thread::scope(|scope| {
            let mut transaction = early.transaction().unwrap();
            call(&mut transaction, As::User(org.owner), one, &payload(second)).unwrap();
            let payload = payload(org.owner);
            let waiting = scope.spawn(move || commit(&mut late, second, other, &payload));
            wait_until_blocked(&mut cluster.superuser("postgres"), late_pid);
            transaction.commit().unwrap();
            waiting.join().unwrap()
        });
        assert_eq!(outcome, expected, "{one}, then {other}");
        let owners = "select count(*) from public.organization_members where org_id = $1 and role = 'owner'";
        let owners: i64 = cluster.superuser("postgres").query_one(owners, &[&org.id]).unwrap().get(0);
        assert_eq!(owners, 1, "{one}, then {other}");
    }
}

fn commit(client: &mut Client, who: Uuid, function: &str, payload: &Value) -> String {
    let mut transaction = client.transaction().unwrap();
    match call(&mut transaction, As::User(who), function, payload) {
        Ok(_) => transaction.commit().map_or_else(|error| code(&error).to_owned(), |()| "fine".to_owned()),
        Err(error) => code(&error).to_owned(),
    }
}

fn transfer(cluster: &Cluster) {
    let org = cluster.organization("transfer");
    let to = |user: Uuid| json!({ "org_id": org.id, "user_id": user });
    for who in [org.admin, org.developer, org.viewer] {
        let refused = cluster.refusal(As::User(who), "transfer_ownership", &to(who));
        assert_eq!(refused, ("PT403".into(), "org_id".into()));
    }
    let owner = As::User(org.owner);
    assert_eq!(cluster.refusal(owner, "transfer_ownership", &to(cluster.stranger)), ("PT404".into(), "user_id".into()));
    assert_eq!(cluster.refusal(owner, "transfer_ownership", &to(org.owner)), ("PT422".into(), "user_id".into()));
    let answer = cluster.call(owner, "transfer_ownership", &to(org.viewer)).unwrap();
    assert_eq!(answer, json!({ "org_id": org.id, "owner_id": org.viewer }));
    let roles = "select array_agg(role order by user_id = $2 desc) from public.organization_members
                 where org_id = $1 and user_id in ($2, $3)";
    let row = cluster.superuser("postgres").query_one(roles, &[&org.id, &org.viewer, &org.owner]).unwrap();
    assert_eq!(row.get::<_, Vec<String>>(0), ["owner", "admin"]);
}

fn leaving(cluster: &Cluster) {
    let org = cluster.organization("leaving");
    let team = cluster.call(As::User(org.owner), "create_team", &json!({ "org_id": org.id, "name": "t" })).unwrap();
    let place = json!({ "id": team["id"], "user_id": org.developer });
    cluster.call(As::User(org.owner), "add_team_member", &place).unwrap();
    let wish = json!({ "org_id": org.id, "name": "r", "permissions": [] });
    let role = cluster.call(As::User(org.owner), "create_role", &wish).unwrap();
    let grant = json!({ "org_id": org.id, "user_id": org.developer, "role_id": role["id"] });
    cluster.call(As::User(org.owner), "assign_role", &grant).unwrap();
    cluster.call(As::User(org.developer), "leave_organization", &json!({ "org_id": org.id })).unwrap();
    let left = "select (select count(*) from public.team_members where user_id = $1)
                     + (select count(*) from public.user_roles where user_id = $1)";
    let left: i64 = cluster.superuser("postgres").query_one(left, &[&org.developer]).unwrap().get(0);
    assert_eq!(left, 0);
    let again = cluster.refusal(As::User(org.developer), "leave_organization", &json!({ "org_id": org.id }));
    assert_eq!(again.0, "PT404");
}

fn people(org: &Organization) -> [(Uuid, &'static str); 4] {
    [(org.owner, "owner"), (org.admin, "admin"), (org.developer, "developer"), (org.viewer, "viewer")]
}

/// `fine` or the SQLSTATE of a call that is rolled back.
fn outcome(cluster: &Cluster, who: Uuid, function: &str, payload: &Value) -> String {
    cluster.transaction(|transaction| match call(transaction, As::User(who), function, payload) {
        Ok(_) => "fine".to_owned(),
        Err(error) => code(&error).to_owned(),
    })
}

fn personal_org(cluster: &Cluster, user: Uuid) -> Uuid {
    let find = "select id from public.organizations where personal_user_id = $1";
    cluster.superuser("postgres").query_one(find, &[&user]).unwrap().get(0)
}
