//! Sign-up and access tokens.

use local_supabase::Login;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Test;
use crate::cluster::{As, Cluster, become_, code, sign_up};

pub const TESTS: &[Test] = &[
    ("a_new_user_gets_a_profile_and_owns_a_personal_organization", welcome),
    ("a_user_without_a_name_is_called_by_the_address", unnamed),
    ("a_deleted_user_leaves_no_profile_membership_or_key", deletion),
    ("the_token_hook_adds_organization_roles_and_tier_and_keeps_the_rest", hook),
    ("the_token_hook_serves_a_user_without_an_organization", hook_without_organization),
    ("the_token_hook_is_for_supabase_auth_alone", hook_grants),
];

fn welcome(cluster: &Cluster) {
    let user = sign_up(&mut cluster.login(Login::AuthAdmin), "welcome");
    let found = "select p.display_name, o.name, o.tier, m.role
                 from public.profiles p join public.organization_members m on m.user_id = p.id
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
            cluster.superuser("postgres").query_one("select display_name from public.profiles where id = $1", &[&user]);
        assert_eq!(row.unwrap().get::<_, Option<String>>(0).as_deref(), name);
    }
}

fn deletion(cluster: &Cluster) {
    let mut auth = cluster.login(Login::AuthAdmin);
    let user = sign_up(&mut auth, "leaver");
    auth.execute("delete from auth.users where id = $1", &[&user]).unwrap();
    let left = "select (select count(*) from public.profiles where id = $1)
                     + (select count(*) from public.organization_members where user_id = $1)
                     + (select count(*) from public.api_keys where user_id = $1)";
    assert_eq!(cluster.superuser("postgres").query_one(left, &[&user]).unwrap().get::<_, i64>(0), 0);
}

fn hook(cluster: &Cluster) {
    let claims =
        json!({ "sub": cluster.owner, "aal": "aal1", "app_metadata": { "provider": "email", "org_id": "forged" } });
    let answer = run_hook(cluster, cluster.owner, &claims);
    let expected = json!({
        "sub": cluster.owner, "aal": "aal1",
        "app_metadata": { "provider": "email", "org_id": cluster.org, "roles": ["owner"], "tier": "T1" },
    });
    assert_eq!(answer["claims"], expected);
}

fn hook_without_organization(cluster: &Cluster) {
    let answer = run_hook(cluster, Uuid::nil(), &json!({ "sub": Uuid::nil() }));
    assert_eq!(answer["claims"]["app_metadata"], json!({ "org_id": null, "roles": [], "tier": "T1" }));
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

fn run_hook(cluster: &Cluster, user: Uuid, claims: &Value) -> Value {
    let event = json!({ "user_id": user, "claims": claims, "authentication_method": "password" });
    let call = "select public.custom_access_token_hook($1)";
    cluster.login(Login::AuthAdmin).query_one(call, &[&event]).unwrap().get(0)
}
