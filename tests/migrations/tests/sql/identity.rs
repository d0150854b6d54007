//! Sign-up and access tokens.

use local_supabase::Login;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Test;
use crate::cluster::{As, Cluster, become_, code, new_id, sign_up};

pub const TESTS: &[Test] = &[
    ("a_new_user_gets_a_row_and_owns_a_personal_organization", welcome),
    ("a_user_without_a_name_is_called_by_the_address", unnamed),
    ("a_deleted_user_leaves_no_row_organization_membership_or_key", deletion),
    ("an_account_can_always_be_deleted_and_a_shared_organization_stays", shared_deletion),
    ("the_token_hook_adds_organization_roles_and_tier_and_keeps_the_rest", hook),
    ("the_token_hook_serves_a_user_without_an_organization", hook_without_organization),
    ("the_token_hook_is_for_supabase_auth_alone", hook_grants),
    ("whoever_switches_gets_tokens_for_an_organization_of_theirs_and_no_other", switching),
    ("a_token_names_further_roles_after_the_first", extra_roles),
    ("the_epoch_goes_up_whenever_what_a_user_may_do_changes", epochs),
    ("the_service_is_told_whose_rights_have_changed", changed_rights),
];

fn welcome(cluster: &Cluster) {
    let user = sign_up(&mut cluster.login(Login::AuthAdmin), "welcome");
    let found = "select p.display_name, o.name, o.tier, m.role
                 from public.users p join public.organization_members m on m.user_id = p.id
                 join public.organizations o on o.id = m.org_id where p.id = $1";
    let row = cluster.superuser("postgres").query_one(found, &[&user]).unwrap();
    let found: [String; 4] = [row.get(0), row.get(1), row.get(2), row.get(3)];
    assert_eq!(found, ["welcome", "Personal", "T1", "owner"]);
}

fn unnamed(cluster: &Cluster) {
    let mut auth = cluster.login(Login::AuthAdmin);
    for (address, name) in [(Some("somebody@example.com"), Some("somebody")), (None, None), (Some("@"), None)] {
        let user: Uuid =
            auth.query_one("insert into auth.users (email) values ($1) returning id", &[&address]).unwrap().get(0);
        let row =
            cluster.superuser("postgres").query_one("select display_name from public.users where id = $1", &[&user]);
        assert_eq!(row.unwrap().get::<_, Option<String>>(0).as_deref(), name);
    }
}

fn deletion(cluster: &Cluster) {
    let mut auth = cluster.login(Login::AuthAdmin);
    let user = sign_up(&mut auth, "leaver");
    let mut superuser = cluster.superuser("postgres");
    let find = "select org_id from public.organization_members where user_id = $1";
    let org: Uuid = superuser.query_one(find, &[&user]).unwrap().get(0);
    auth.execute("delete from auth.users where id = $1", &[&user]).unwrap();
    let left = "select (select count(*) from public.users where id = $1)
                     + (select count(*) from public.organizations where id = $2)
                     + (select count(*) from public.organization_members where user_id = $1)
                     + (select count(*) from public.api_keys where user_id = $1)";
    assert_eq!(superuser.query_one(left, &[&user, &org]).unwrap().get::<_, i64>(0), 0);
}

fn shared_deletion(cluster: &Cluster) {
    let org = cluster.organization("owner-deleted");
    cluster.login(Login::AuthAdmin).execute("delete from auth.users where id = $1", &[&org.owner]).unwrap();
    let left = "select count(*) from public.organization_members where org_id = $1";
    assert_eq!(cluster.superuser("postgres").query_one(left, &[&org.id]).unwrap().get::<_, i64>(0), 3);
}

fn hook(cluster: &Cluster) {
    let claims = json!({
        "sub": cluster.owner, "aal": "aal2", "is_anonymous": true, "user_metadata": { "org_id": cluster.other_org },
        "app_metadata": { "provider": "email", "org_id": "forged", "authz_epoch": 99, "roles": ["admin"] },
    });
    let answer = run_hook(cluster, cluster.owner, &claims);
    let expected = json!({
        "sub": cluster.owner, "aal": "aal2", "is_anonymous": true, "user_metadata": { "org_id": cluster.other_org },
        "app_metadata": {
            "provider": "email", "org_id": cluster.org, "roles": ["owner"], "tier": "T1", "requires_aal2": false,
            "authz_epoch": epoch(cluster, cluster.owner),
        },
    });
    assert_eq!(answer["claims"], expected);
}

fn hook_without_organization(cluster: &Cluster) {
    let answer = run_hook(cluster, Uuid::nil(), &json!({ "sub": Uuid::nil() }));
    let expected = json!({ "org_id": null, "roles": [], "tier": "T1", "requires_aal2": false, "authz_epoch": 0 });
    assert_eq!(answer["claims"]["app_metadata"], expected);
}

fn switching(cluster: &Cluster) {
    let org = cluster.organization("switching");
    let of_token = || run_hook(cluster, org.viewer, &json!({}))["claims"]["app_metadata"].clone();
    let personal = of_token()["org_id"].clone();
    assert_ne!(personal, json!(org.id), "the one joined first");
    let wish = json!({ "org_id": org.id });
    let before = epoch(cluster, org.viewer);
    assert_eq!(cluster.call(As::User(org.viewer), "switch_organization", &wish).unwrap(), wish);
    assert_eq!((&of_token()["org_id"], &of_token()["roles"]), (&json!(org.id), &json!(["viewer"])));
    assert_eq!(epoch(cluster, org.viewer), before, "the present token stays good");
    for elsewhere in [json!(cluster.org), json!(new_id()), json!(null)] {
        let refused = cluster.refusal(As::User(org.viewer), "switch_organization", &json!({ "org_id": elsewhere }));
        assert_eq!(refused, ("PT404".into(), "org_id".into()));
    }
    let directly = cluster.transaction(|transaction| {
        become_(transaction, As::User(org.viewer));
        let update = "update public.users set current_org_id = $1";
        transaction.execute(update, &[&cluster.org]).unwrap_err()
    });
    assert_eq!(code(&directly), "23503");
    let removal = json!({ "org_id": org.id, "user_id": org.viewer });
    cluster.call(As::User(org.owner), "remove_member", &removal).unwrap();
    assert_eq!(of_token()["org_id"], personal, "whoever is removed is back in the one joined first");
}

fn extra_roles(cluster: &Cluster) {
    let org = cluster.organization("token-roles");
    cluster.call(As::User(org.viewer), "switch_organization", &json!({ "org_id": org.id })).unwrap();
    for name in ["zebra", "auditor"] {
        let wish = json!({ "org_id": org.id, "name": name, "permissions": ["audit:read"] });
        let role = cluster.call(As::User(org.owner), "create_role", &wish).unwrap();
        let grant = json!({ "org_id": org.id, "user_id": org.viewer, "role_id": role["id"] });
        cluster.call(As::User(org.owner), "assign_role", &grant).unwrap();
    }
    let app_metadata = run_hook(cluster, org.viewer, &json!({}))["claims"]["app_metadata"].clone();
    assert_eq!(app_metadata["roles"], json!(["viewer", "auditor", "zebra"]));
}

/// Each step that takes a right from somebody makes their tokens stale, and nobody else's.
fn epochs(cluster: &Cluster) {
    let org = cluster.organization("epochs");
    let owner = As::User(org.owner);
    let of = |user: Uuid| json!({ "org_id": org.id, "user_id": user });
    let with = |user: Uuid, name: &str, value: Value| json!({ "org_id": org.id, "user_id": user, name: value });
    let mut before = epoch(cluster, org.viewer);
    let mut expect = |raised: bool, step: &str| {
        let now = epoch(cluster, org.viewer);
        assert_eq!(now > before, raised, "{step}");
        before = now;
    };
    let others = [org.admin, org.developer, cluster.stranger].map(|user| epoch(cluster, user));

    cluster.call(owner, "change_member_role", &with(org.viewer, "role", json!("developer"))).unwrap();
    expect(true, "another role");
    let new_role = json!({ "org_id": org.id, "name": "auditor", "permissions": ["audit:read"] });
    let role = cluster.call(owner, "create_role", &new_role).unwrap()["id"].clone();
    cluster.call(owner, "assign_role", &with(org.viewer, "role_id", role.clone())).unwrap();
    expect(false, "one role more");
    cluster.transaction(|transaction| {
        become_(transaction, owner);
        let narrow = "update public.roles set permissions = '{}' where id = $1::text::uuid";
        transaction.execute(narrow, &[&role.as_str()]).unwrap();
        become_(transaction, As::Service);
        let raised = "select authz_epoch from public.users where id = $1";
        let now: i64 = transaction.query_one(raised, &[&org.viewer]).unwrap().get(0);
        assert_eq!(now, epoch(cluster, org.viewer) + 1, "a role that has changed");
    });
    cluster.call(owner, "delete_role", &json!({ "id": role })).unwrap();
    expect(true, "a role that is gone");
    let team = cluster.call(owner, "create_team", &json!({ "org_id": org.id, "name": "core" })).unwrap();
    let place = json!({ "id": team["id"], "user_id": org.viewer });
    cluster.call(owner, "add_team_member", &place).unwrap();
    expect(false, "a team");
    cluster.call(owner, "delete_team", &json!({ "id": team["id"] })).unwrap();
    expect(false, "no team");
    let ban = "update auth.users set banned_until = now() + interval '1 day' where id = $1";
    cluster.login(Login::AuthAdmin).execute(ban, &[&org.viewer]).unwrap();
    expect(true, "a ban");
    cluster
        .login(Login::AuthAdmin)
        .execute("update auth.users set phone = null where id = $1", &[&org.viewer])
        .unwrap();
    let answer = cluster.call(As::Service, "revoke_sessions", &json!({ "user_id": org.viewer })).unwrap();
    assert_eq!(answer["authz_epoch"], epoch(cluster, org.viewer));
    expect(true, "a sign-out everywhere");
    cluster.call(owner, "remove_member", &of(org.viewer)).unwrap();
    expect(true, "a removal");
    assert_eq!([org.admin, org.developer, cluster.stranger].map(|user| epoch(cluster, user)), others);
}

fn changed_rights(cluster: &Cluster) {
    let org = cluster.organization("changes");
    let newcomer = sign_up(&mut cluster.login(Login::AuthAdmin), "changes-newcomer");
    let asked = |since: &Value| cluster.call(As::Service, "authz_changes", &json!({ "since": since })).unwrap();
    let before = asked(&Value::Null);
    assert!(before["changes"].get(newcomer.to_string()).is_none(), "whoever is new has no token that is stale");
    let place = json!({ "org_id": org.id, "user_id": org.developer, "role": "viewer" });
    cluster.call(As::User(org.owner), "change_member_role", &place).unwrap();
    let after = asked(&before["as_of"]);
    assert_eq!(after["changes"][org.developer.to_string()], epoch(cluster, org.developer));
    cluster.login(Login::AuthAdmin).execute("delete from auth.users where id = $1", &[&org.developer]).unwrap();
    assert_eq!(asked(&after["as_of"])["changes"][org.developer.to_string()], 9_007_199_254_740_991_i64);
    let later = json!("2999-01-01T00:00:00Z");
    assert_eq!(asked(&later)["changes"], json!({}));
    let refused = cluster.refusal(As::Service, "authz_changes", &json!({ "since": "soon" }));
    assert_eq!(refused, ("PT422".into(), "since".into()));
    assert_eq!(cluster.refusal(As::User(cluster.owner), "authz_changes", &json!({})).0, "42501");
}

pub fn epoch(cluster: &Cluster, user: Uuid) -> i64 {
    let epoch = "select authz_epoch from public.users where id = $1";
    cluster.superuser("postgres").query_one(epoch, &[&user]).unwrap().get(0)
}

fn hook_grants(cluster: &Cluster) {
    for who in [As::User(cluster.owner), As::Anonymous, As::Service] {
        let refused = cluster.transaction(|transaction| {
            become_(transaction, who);
            transaction.query_one("select public.custom_access_token_hook('{}')", &[]).unwrap_err()
        });
        assert_eq!(code(&refused), "42501", "{who:?}");
    }
}

pub fn run_hook(cluster: &Cluster, user: Uuid, claims: &Value) -> Value {
    let event = json!({ "user_id": user, "claims": claims, "authentication_method": "password" });
    let call = "select public.custom_access_token_hook($1)";
    cluster.login(Login::AuthAdmin).query_one(call, &[&event]).unwrap().get(0)
}
