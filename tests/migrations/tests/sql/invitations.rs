//! Invitations: who makes them, who accepts them, and once.

use std::thread;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::Test;
use crate::cluster::{As, Cluster, Organization, code, new_digest, new_id};

pub const TESTS: &[Test] = &[
    ("an_invitation_makes_whoever_has_the_address_a_member_once", accepting),
    ("an_invitation_is_for_the_verified_address_alone", addresses),
    ("an_invitation_that_is_unknown_expired_revoked_or_used_is_answered_alike", dead),
    ("who_may_invite_to_which_role", inviting),
    ("an_invitation_lasts_seven_days_unless_told_otherwise", lifetimes),
    ("a_new_invitation_takes_the_place_of_the_one_before", again),
    ("open_invitations_are_listed_without_their_digests", listing),
    ("an_invitation_is_revoked_in_its_own_organization_alone", revoking),
    ("a_member_is_not_made_a_member_again", member_already),
    ("an_invitation_accepted_at_once_makes_one_member", at_once),
    ("an_organization_has_at_most_two_hundred_open_invitations", bounds),
];

fn revoking(cluster: &Cluster) {
    let (org, other) = (cluster.organization("revoking"), cluster.organization("revoking-other"));
    cluster.join(other.id, org.owner, "owner");
    let made = invite(cluster, &org, "revoked@example.com", "viewer", &new_digest()).unwrap();
    let of = |id: Uuid| json!({ "org_id": id, "id": made["id"] });
    let refusal = |who: Uuid, id: Uuid| cluster.refusal(As::User(who), "revoke_invitation", &of(id));
    assert_eq!(refusal(org.owner, other.id).0, "PT404");
    assert_eq!(refusal(org.viewer, org.id), ("PT403".into(), "members:write".into()));
    assert_eq!(refusal(cluster.stranger, org.id).0, "PT404");
    assert_eq!(cluster.call(As::User(org.owner), "revoke_invitation", &of(org.id)).unwrap()["id"], made["id"]);
}

fn accepting(cluster: &Cluster) {
    let org = cluster.organization("accepting");
    let guest = cluster.user("accepting-guest");
    let digest = new_digest();
    // However the address is written.
    let made = invite(cluster, &org, "Accepting-Guest@Example.com", "developer", &digest).unwrap();
    assert_eq!([&made["email"], &made["role"]], ["accepting-guest@example.com", "developer"]);
    let joined = cluster.call(As::User(guest), "accept_invitation", &json!({ "digest": digest })).unwrap();
    assert_eq!(joined, json!({ "org_id": org.id, "name": "accepting", "role": "developer" }));
    let left = cluster.call(As::User(guest), "leave_organization", &json!({ "org_id": org.id }));
    assert!(left.is_ok());
    assert_eq!(accept(cluster, guest, &digest), "PT404", "used");
    assert_eq!(cluster.refusal(As::User(org.owner), "revoke_invitation", &json!({ "id": made["id"] })).0, "PT404");
}

fn addresses(cluster: &Cluster) {
    let org = cluster.organization("addresses");
    let guest = cluster.user("addresses-guest");
    let digest = new_digest();
    invite(cluster, &org, "addresses-guest@example.com", "viewer", &digest).unwrap();
    for other in [cluster.stranger, org.viewer] {
        assert_eq!(accept(cluster, other, &digest), "PT404");
    }
    let set = |column: &str| {
        let sql = format!("update auth.users set {column} where id = $1");
        cluster.superuser("postgres").execute(&sql, &[&guest]).unwrap();
    };
    set("email_confirmed_at = null");
    assert_eq!(accept(cluster, guest, &digest), "PT404", "not verified");
    set("email_confirmed_at = now(), is_anonymous = true");
    assert_eq!(accept(cluster, guest, &digest), "PT404", "anonymous");
    set("is_anonymous = false, banned_until = now() + interval '1 hour'");
    assert_eq!(accept(cluster, guest, &digest), "PT404", "banned");
    set("banned_until = null");
    assert_eq!(accept(cluster, guest, &digest), "fine");
    assert_eq!(code(&cluster.call(As::Anonymous, "accept_invitation", &json!({})).unwrap_err()), "42501");
}

fn dead(cluster: &Cluster) {
    let org = cluster.organization("dead");
    let guest = cluster.user("dead-guest");
    let digests = [new_digest(), new_digest(), new_digest()];
    let [unknown, expired, revoked] = &digests;
    let made = invite(cluster, &org, "dead-guest@example.com", "viewer", revoked).unwrap();
    cluster.call(As::User(org.owner), "revoke_invitation", &json!({ "id": made["id"] })).unwrap();
    let made = invite(cluster, &org, "dead-guest@example.com", "viewer", expired).unwrap();
    let end = "update public.organization_invitations set expires_at = now() where id = $1::text::uuid";
    cluster.superuser("postgres").execute(end, &[&made["id"].as_str()]).unwrap();
    let errors = [unknown, expired, revoked].map(|digest| {
        let error = cluster.call(As::User(guest), "accept_invitation", &json!({ "digest": digest })).unwrap_err();
        assert_eq!(code(&error), "PT404");
        error.as_db_error().unwrap().to_string()
    });
    assert!(errors.iter().all(|error| *error == errors[0]));
}

fn inviting(cluster: &Cluster) {
    let org = cluster.organization("inviting");
    for (who, role, expected) in [
        (org.owner, "owner", "fine"),
        (org.admin, "owner", "PT403"),
        (org.admin, "admin", "fine"),
        (org.developer, "viewer", "PT403"),
        (org.viewer, "viewer", "PT403"),
        (cluster.stranger, "viewer", "PT404"),
        (org.owner, "root", "PT422"),
    ] {
        let payload = payload(&org, "inviting-guest@example.com", role, &new_digest());
        let found = match cluster.call(As::User(who), "invite_member", &payload) {
            Ok(_) => "fine".to_owned(),
            Err(error) => code(&error).to_owned(),
        };
        assert_eq!(found, expected, "{who} invites {role}");
    }
    for address in ["nobody", "two@@example.com", "with blank@example.com", "", &format!("{}@x.y", "a".repeat(320))] {
        let payload = payload(&org, address, "viewer", &new_digest());
        let refused = cluster.refusal(As::User(org.owner), "invite_member", &payload);
        assert_eq!(refused, ("PT422".into(), "email".into()), "{address}");
    }
    for digest in ["", "abcd", &"zz".repeat(32)] {
        let payload = payload(&org, "a@example.com", "viewer", digest);
        let refused = cluster.refusal(As::User(org.owner), "invite_member", &payload);
        assert_eq!(refused, ("PT422".into(), "digest".into()));
    }
}

fn lifetimes(cluster: &Cluster) {
    let org = cluster.organization("lifetimes");
    let lasts = |seconds: Value| {
        let mut payload = payload(&org, "lifetimes@example.com", "viewer", &new_digest());
        payload["expires_in_seconds"] = seconds;
        let made = cluster.call(As::User(org.owner), "invite_member", &payload)?;
        let lasts = "select extract(epoch from expires_at - created_at)::bigint from public.organization_invitations
                     where id = $1::text::uuid";
        Ok(cluster.superuser("postgres").query_one(lasts, &[&made["id"].as_str()])?.get::<_, i64>(0))
    };
    assert_eq!(lasts(json!(null)).unwrap(), 7 * 24 * 3600);
    assert_eq!(lasts(json!(3600)).unwrap(), 3600);
    for seconds in [json!(59), json!(2_592_001), json!(-1), json!("x"), json!(1.5)] {
        let refused: postgres::Error = lasts(seconds).unwrap_err();
        assert_eq!(code(&refused), "PT422");
    }
}

fn again(cluster: &Cluster) {
    let org = cluster.organization("again");
    let guest = cluster.user("again-guest");
    let (first, second) = (new_digest(), new_digest());
    invite(cluster, &org, "again-guest@example.com", "admin", &first).unwrap();
    invite(cluster, &org, "again-guest@example.com", "viewer", &second).unwrap();
    assert_eq!(accept(cluster, guest, &first), "PT404");
    assert_eq!(accept(cluster, guest, &second), "fine");
    let taken = payload(&org, "somebody-else@example.com", "viewer", &first);
    assert_eq!(cluster.refusal(As::User(org.owner), "invite_member", &taken), ("PT409".into(), "digest".into()));
}

fn listing(cluster: &Cluster) {
    let org = cluster.organization("invitations");
    let made = invite(cluster, &org, "listed@example.com", "viewer", &new_digest()).unwrap();
    invite(cluster, &org, "revoked@example.com", "viewer", &new_digest())
        .and_then(|made| cluster.call(As::User(org.admin), "revoke_invitation", &json!({ "id": made["id"] })))
        .unwrap();
    let listed = cluster.call(As::User(org.admin), "list_invitations", &json!({ "org_id": org.id })).unwrap();
    assert_eq!(listed, json!({ "invitations": [made] }));
    assert_eq!(made["invited_by"], json!(org.owner));
    assert!(made.get("token_digest").is_none() && made.get("digest").is_none());
    for who in [org.developer, org.viewer] {
        let refused = cluster.refusal(As::User(who), "list_invitations", &json!({ "org_id": org.id }));
        assert_eq!(refused, ("PT403".into(), "members:write".into()));
        let refused = cluster.refusal(As::User(who), "revoke_invitation", &json!({ "id": made["id"] }));
        assert_eq!(refused, ("PT404".into(), "id".into()));
    }
    assert_eq!(cluster.refusal(As::User(org.owner), "revoke_invitation", &json!({ "id": new_id() })).0, "PT404");
}

fn member_already(cluster: &Cluster) {
    let org = cluster.organization("already");
    let digest = new_digest();
    invite(cluster, &org, "already-viewer@example.com", "admin", &digest).unwrap();
    let refused = cluster.refusal(As::User(org.viewer), "accept_invitation", &json!({ "digest": digest }));
    assert_eq!(refused, ("PT409".into(), "digest".into()));
    let role = "select role from public.organization_members where org_id = $1 and user_id = $2";
    let row = cluster.superuser("postgres").query_one(role, &[&org.id, &org.viewer]).unwrap();
    assert_eq!(row.get::<_, String>(0), "viewer");
}

fn at_once(cluster: &Cluster) {
    let org = cluster.organization("invited-at-once");
    let guest = cluster.user("invited-at-once-guest");
    let digest = new_digest();
    invite(cluster, &org, "invited-at-once-guest@example.com", "viewer", &digest).unwrap();
    let outcomes: Vec<String> = thread::scope(|scope| {
        let calls: Vec<_> = (0..8).map(|_| scope.spawn(|| accept(cluster, guest, &digest))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "fine").count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "PT404").count(), 7, "{outcomes:?}");
}

fn bounds(cluster: &Cluster) {
    let org = cluster.organization("invitation-bounds");
    let fill = "insert into public.organization_invitations (org_id, email, role, token_digest)
                select $1, n || '@example.com', 'viewer', sha256(($1::uuid::text || n)::bytea)
                from generate_series(1, 200) n";
    cluster.superuser("postgres").execute(fill, &[&org.id]).unwrap();
    let refused = invite(cluster, &org, "one-more@example.com", "viewer", &new_digest()).unwrap_err();
    assert_eq!(code(&refused), "PT409");
    invite(cluster, &org, "7@example.com", "viewer", &new_digest()).unwrap();
}

fn invite(
    cluster: &Cluster,
    org: &Organization,
    email: &str,
    role: &str,
    digest: &str,
) -> Result<Value, postgres::Error> {
    cluster.call(As::User(org.owner), "invite_member", &payload(org, email, role, digest))
}

fn payload(org: &Organization, email: &str, role: &str, digest: &str) -> Value {
    json!({ "org_id": org.id, "email": email, "role": role, "digest": digest })
}

fn accept(cluster: &Cluster, user: Uuid, digest: &str) -> String {
    match cluster.call(As::User(user), "accept_invitation", &json!({ "digest": digest })) {
        Ok(_) => "fine".to_owned(),
        Err(error) => code(&error).to_owned(),
    }
}
