//! The audit log: what is in it, and that it cannot be changed unnoticed.

use std::thread;

use postgres::Transaction;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Test;
use crate::cluster::{As, Cluster, become_, call, code, new_digest, new_id};

pub const TESTS: &[Test] = &[
    ("every_change_of_who_may_do_what_is_recorded_with_whoever_made_it", mutations),
    ("a_change_that_is_rolled_back_leaves_no_entry", rolled_back),
    ("no_entry_holds_a_digest", no_secrets),
    ("nobody_changes_the_log_not_even_its_owner", append_only),
    ("a_verifier_needs_the_entry_and_the_hash_before_it", hashing),
    ("a_changed_missing_or_added_entry_is_found", tampering),
    ("a_chain_is_verified_in_parts", parts),
    ("events_are_recorded_once_by_their_ids", recording),
    ("an_event_of_no_organization_is_for_the_service_alone", nowhere),
    ("an_event_that_is_wrong_is_named_and_none_is_recorded", wrong_events),
    ("of_many_who_record_at_once_each_gets_a_place_in_one_chain", at_once),
    ("two_batches_in_opposite_orders_do_not_wait_for_each_other_for_ever", opposite_orders),
    ("owners_and_admins_read_the_log_page_by_page", listing),
    ("the_log_is_filtered_by_actor_action_and_time", filters),
    ("an_export_has_every_text_in_order_page_by_page", exporting),
    ("recording_and_verifying_are_for_the_service", grants),
];

fn mutations(cluster: &Cluster) {
    let org = cluster.organization("mutations");
    let (owner, guest) = (As::User(org.owner), cluster.user("mutations-guest"));
    let before = entries(cluster, org.id).len();
    let within = |more: Value| {
        let mut payload = json!({ "org_id": org.id });
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        payload
    };
    let run = |function: &str, payload: Value| cluster.call(owner, function, &payload).unwrap();
    let digest = new_digest();
    run("update_organization", within(json!({ "name": "Renamed" })));
    run("update_organization", within(json!({ "name": "Renamed" })));
    let made =
        run("invite_member", within(json!({ "email": "x@example.com", "role": "viewer", "digest": new_digest() })));
    run("revoke_invitation", json!({ "id": made["id"] }));
    run("invite_member", within(json!({ "email": "mutations-guest@example.com", "role": "viewer", "digest": digest })));
    cluster.call(As::User(guest), "accept_invitation", &json!({ "digest": digest })).unwrap();
    run("change_member_role", within(json!({ "user_id": guest, "role": "developer" })));
    let role = run("create_role", within(json!({ "name": "auditor", "permissions": ["audit:read"] })))["id"].clone();
    run("assign_role", within(json!({ "user_id": guest, "role_id": role })));
    run("unassign_role", within(json!({ "user_id": guest, "role_id": role })));
    run("delete_role", json!({ "id": role }));
    let team = run("create_team", within(json!({ "name": "core" })))["id"].clone();
    run("rename_team", json!({ "id": team, "name": "edge" }));
    run("add_team_member", json!({ "id": team, "user_id": guest }));
    run("remove_team_member", json!({ "id": team, "user_id": guest }));
    run("delete_team", json!({ "id": team }));
    let key = run("create_key", within(key(&new_digest())))["id"].clone();
    let successor = json!({ "id": key, "digest": new_digest(), "pepper_version": 1, "prefix": "p" });
    let successor = run("rotate_key", successor)["id"].clone();
    run("revoke_key", json!({ "id": successor }));
    run("revoke_key", json!({ "id": successor }));
    run("remove_member", within(json!({ "user_id": guest })));
    run("transfer_ownership", within(json!({ "user_id": org.admin })));

    let found = entries(cluster, org.id).split_off(before);
    let actions: Vec<_> = found.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    let expected = [
        "organization.updated",
        "invitation.created",
        "invitation.revoked",
        "invitation.created",
        "member.created",
        "invitation.accepted",
        "member.updated",
        "role.created",
        "member_role.created",
        "member_role.deleted",
        "role.deleted",
        "team.created",
        "team.updated",
        "team_member.created",
        "team_member.deleted",
        "team.deleted",
        "key.created",
        "key.created",
        "key.rotated",
        "key.revoked",
        "member.deleted",
        "member.updated",
        "member.updated",
    ];
    assert_eq!(actions, expected, "what changes nothing leaves nothing");
    for entry in &found {
        let is_guests = ["member.created", "invitation.accepted"].contains(&entry["action"].as_str().unwrap());
        let actor = if is_guests { guest } else { org.owner };
        assert_eq!((&entry["actor_id"], &entry["actor_kind"]), (&json!(actor), &json!("user")), "{entry}");
    }
    assert_eq!(found[0]["details"], json!({ "name": { "from": "mutations", "to": "Renamed" } }));
    assert_eq!(found[6]["target_id"], json!(guest));
    assert_eq!(verify(cluster, &json!({ "org_id": org.id }))["ok"], true);
}

fn rolled_back(cluster: &Cluster) {
    let org = cluster.organization("rolled-back");
    let before = entries(cluster, org.id).len();
    cluster.transaction(|transaction| {
        let payload = json!({ "org_id": org.id, "name": "other" });
        call(transaction, As::User(org.owner), "update_organization", &payload).unwrap();
    });
    assert_eq!(entries(cluster, org.id).len(), before);
    assert_eq!(verify(cluster, &json!({ "org_id": org.id }))["complete"], true);
}

fn no_secrets(cluster: &Cluster) {
    let org = cluster.organization("no-secrets");
    let digest = new_digest();
    let mut payload = key(&digest);
    payload["org_id"] = json!(org.id);
    cluster.call(As::User(org.owner), "create_key", &payload).unwrap();
    let invitation = json!({ "org_id": org.id, "email": "a@example.com", "role": "viewer", "digest": digest });
    cluster.call(As::User(org.owner), "invite_member", &invitation).unwrap();
    let all = json!(entries(cluster, org.id)).to_string();
    assert!(all.contains("key.created") && all.contains("invitation.created"));
    assert!(!all.contains(&digest) && !all.contains("digest"));
}

fn append_only(cluster: &Cluster) {
    for statement in [
        "update public.audit_logs set occurred_at = now()",
        "delete from public.audit_logs",
        "truncate public.audit_logs",
    ] {
        for who in [As::User(cluster.owner), As::Anonymous, As::Service] {
            let refused = cluster.transaction(|transaction| {
                become_(transaction, who);
                transaction.execute(statement, &[]).unwrap_err()
            });
            assert_eq!(code(&refused), "42501", "{statement}");
        }
        let mut superuser = cluster.superuser("postgres");
        let mut transaction = superuser.transaction().unwrap();
        transaction.batch_execute("set local role project_owner").unwrap();
        assert_eq!(code(&transaction.execute(statement, &[]).unwrap_err()), "PT403", "{statement}");
    }
}

fn hashing(cluster: &Cluster) {
    let org = cluster.organization("hashing");
    let event =
        json!({ "id": new_id(), "org_id": org.id, "action": "session.failed", "details": { "why": "é \"\\ ☃" } });
    cluster.call(As::Service, "record_audit", &json!({ "events": [event] })).unwrap();
    let mut superuser = cluster.superuser("postgres");
    let rows = "select seq, entry, prev_hash, hash, entry = (entry::jsonb)::text from public.audit_logs
                where org_id = $1 order by seq";
    let mut before = vec![0_u8; 32];
    let rows = superuser.query(rows, &[&org.id]).unwrap();
    assert!(rows.len() > 4);
    for (index, row) in rows.iter().enumerate() {
        let (seq, entry): (i64, String) = (row.get(0), row.get(1));
        assert_eq!(seq, i64::try_from(index).unwrap() + 1);
        assert_eq!(row.get::<_, Vec<u8>>(2), before);
        let bytes = [before.as_slice(), entry.as_bytes()].concat();
        let hashed: Vec<u8> = superuser.query_one("select sha256($1)", &[&bytes]).unwrap().get(0);
        assert_eq!(row.get::<_, Vec<u8>>(3), hashed);
        assert!(row.get::<_, bool>(4), "the canonical form");
        let entry: Value = serde_json::from_str(&entry).unwrap();
        assert_eq!((&entry["seq"], &entry["org_id"]), (&json!(seq), &json!(org.id)));
        before = hashed;
    }
}

/// What somebody with every right could do to the rows, and where it shows.
fn tampering(cluster: &Cluster) {
    let org = cluster.organization("tampering");
    let last = i64::try_from(entries(cluster, org.id).len()).unwrap();
    assert_eq!(last, 5, "an organization and four members");
    let rehash = "hash = sha256(prev_hash || convert_to(replace(entry, 'member', 'nobody'), 'UTF8'))";
    let cases = [
        (
            "update public.audit_logs set entry = replace(entry, 'member', 'nobody') where org_id = $1 and seq = 3",
            Some(3),
        ),
        (
            "update public.audit_logs set entry = replace(entry, 'member', 'nobody'), REHASH where org_id = $1 and seq = 3",
            Some(4),
        ),
        (
            "update public.audit_logs set entry = replace(entry, 'member', 'nobody'), REHASH where org_id = $1 and seq = 5",
            Some(6),
        ),
        ("update public.audit_logs set prev_hash = sha256('') where org_id = $1 and seq = 1", Some(1)),
        ("delete from public.audit_logs where org_id = $1 and seq = 1", Some(1)),
        ("delete from public.audit_logs where org_id = $1 and seq = 3", Some(3)),
        ("delete from public.audit_logs where org_id = $1 and seq >= 4", Some(4)),
        ("delete from public.audit_logs where org_id = $1", Some(1)),
        ("delete from private.audit_heads where org_id = $1", Some(6)),
        ("select $1::uuid", None),
    ];
    for (statement, expected) in cases {
        let mut superuser = cluster.superuser("postgres");
        let mut transaction = superuser.transaction().unwrap();
        let unguard = "alter table public.audit_logs disable trigger user,
                         drop constraint audit_logs_hash, drop constraint audit_logs_canonical";
        transaction.batch_execute(unguard).unwrap();
        transaction.execute(&statement.replace("REHASH", rehash), &[&org.id]).unwrap();
        let answer = verify_in(&mut transaction, &json!({ "org_id": org.id }));
        match expected {
            Some(seq) => assert_eq!(answer, json!({ "ok": false, "bad_seq": seq }), "{statement}"),
            None => assert_eq!(answer, json!({ "ok": true, "checked_to": last, "complete": true })),
        }
    }
    // With the guards in place, an entry does not part from its hash at all.
    let mut superuser = cluster.superuser("postgres");
    let mut transaction = superuser.transaction().unwrap();
    transaction.batch_execute("alter table public.audit_logs disable trigger user").unwrap();
    let refused = transaction.execute(cases[0].0, &[&org.id]).unwrap_err();
    assert_eq!(code(&refused), "23514");
}

fn parts(cluster: &Cluster) {
    let org = cluster.organization("parts");
    let part =
        |after: i64, limit: i64| verify(cluster, &json!({ "org_id": org.id, "after_seq": after, "limit": limit }));
    assert_eq!(part(0, 2), json!({ "ok": true, "checked_to": 2, "complete": false }));
    assert_eq!(part(2, 3), json!({ "ok": true, "checked_to": 5, "complete": true }));
    assert_eq!(part(2, 100), json!({ "ok": true, "checked_to": 5, "complete": true }));
    assert_eq!(part(5, 100), json!({ "ok": true, "checked_to": 5, "complete": true }));
    assert_eq!(part(6, 100), json!({ "ok": false, "bad_seq": 7 }), "beyond the end");
    assert_eq!(
        verify(cluster, &json!({ "org_id": new_id() })),
        json!({ "ok": true, "checked_to": 0, "complete": true })
    );
}

fn recording(cluster: &Cluster) {
    let org = cluster.organization("recording");
    let event = |action: &str| {
        json!({
            "id": new_id(), "org_id": org.id, "actor_id": org.viewer, "actor_kind": "user", "action": action,
            "outcome": "denied", "target_id": "t".repeat(300), "address": "2001:db8::1", "user_agent": "x".repeat(600),
            "request_id": "r-1", "details": { "why": "because" }, "occurred_at": "2026-11-28T12:00:00.5+01:00",
        })
    };
    let events = json!({ "events": [event("session.failed"), event("session.created")] });
    assert_eq!(cluster.call(As::Service, "record_audit", &events).unwrap(), json!({ "recorded": 2 }));
    assert_eq!(cluster.call(As::Service, "record_audit", &events).unwrap(), json!({ "recorded": 0 }));
    let all = entries(cluster, org.id);
    let (first, second) = (&all[all.len() - 2], &all[all.len() - 1]);
    assert_eq!([&first["action"], &second["action"]], ["session.failed", "session.created"]);
    let expected = json!({
        "id": events["events"][0]["id"], "org_id": org.id, "seq": all.len() - 1, "actor_id": org.viewer,
        "actor_kind": "user", "action": "session.failed", "outcome": "denied", "target_id": "t".repeat(200),
        "address": "2001:db8::1", "user_agent": "x".repeat(500), "request_id": "r-1", "details": { "why": "because" },
        "occurred_at": "2026-11-28T11:00:00.500000Z",
    });
    assert_eq!(*first, expected);
}

fn nowhere(cluster: &Cluster) {
    let id = new_id();
    let event = json!({ "id": id, "action": "session.failed", "outcome": "failure" });
    cluster.call(As::Service, "record_audit", &json!({ "events": [event] })).unwrap();
    assert!(entries(cluster, Uuid::nil()).iter().any(|entry| entry["id"] == json!(id)));
    for who in [cluster.owner, cluster.stranger] {
        let refused = cluster.refusal(As::User(who), "list_audit", &json!({ "org_id": Uuid::nil() }));
        assert_eq!(refused, ("PT404".into(), "org_id".into()));
    }
    assert_eq!(verify(cluster, &json!({ "limit": 100_000 }))["ok"], true);
}

fn wrong_events(cluster: &Cluster) {
    let org = cluster.organization("wrong-events");
    let before = entries(cluster, org.id).len();
    let cases = [
        ("action", json!("Failed"), "events/1/action"),
        ("action", json!(null), "events/1/action"),
        ("action", json!("a.".to_owned() + &"b".repeat(99)), "events/1/action"),
        ("actor_kind", json!("ghost"), "events/1/actor_kind"),
        ("outcome", json!("maybe"), "events/1/outcome"),
        ("details", json!("text"), "events/1/details"),
        ("details", json!({ "a": "x".repeat(8200) }), "events/1/details"),
        ("id", json!(null), "events/1/id"),
        ("id", json!("mine"), "id"),
        ("org_id", json!("mine"), "org_id"),
        ("actor_id", json!("mine"), "actor_id"),
        ("address", json!("localhost"), "address"),
        ("occurred_at", json!("soon"), "occurred_at"),
    ];
    for (field, value, place) in cases {
        let good = json!({ "id": new_id(), "org_id": org.id, "action": "session.failed" });
        let mut bad = json!({ "id": new_id(), "org_id": org.id, "action": "session.failed" });
        bad[field] = value;
        let refused = cluster.refusal(As::Service, "record_audit", &json!({ "events": [good, bad] }));
        assert_eq!(refused, ("PT422".into(), place.into()));
    }
    for events in [json!(null), json!({}), json!(vec![json!({}); 101])] {
        let refused = cluster.refusal(As::Service, "record_audit", &json!({ "events": events }));
        assert_eq!(refused, ("PT422".into(), "events".into()));
    }
    assert_eq!(entries(cluster, org.id).len(), before);
}

fn at_once(cluster: &Cluster) {
    let org = cluster.organization("audit-at-once");
    thread::scope(|scope| {
        for number in 0..8 {
            let org = &org;
            scope.spawn(move || {
                for _ in 0..5 {
                    let event = json!({ "id": new_id(), "org_id": org.id, "action": "session.failed" });
                    cluster.call(As::Service, "record_audit", &json!({ "events": [event] })).unwrap();
                    let rename = json!({ "org_id": org.id, "name": new_id() });
                    let who = if number % 2 == 0 { org.owner } else { org.admin };
                    cluster.call(As::User(who), "update_organization", &rename).unwrap();
                }
            });
        }
    });
    let answer = verify(cluster, &json!({ "org_id": org.id }));
    assert_eq!(answer, json!({ "ok": true, "checked_to": 5 + 80, "complete": true }));
}

fn opposite_orders(cluster: &Cluster) {
    let orgs = [cluster.organization("opposite-1").id, cluster.organization("opposite-2").id];
    thread::scope(|scope| {
        for number in 0..8 {
            scope.spawn(move || {
                for _ in 0..5 {
                    let mut order = orgs;
                    if number % 2 == 0 {
                        order.reverse();
                    }
                    let events = order.map(|org| json!({ "id": new_id(), "org_id": org, "action": "session.failed" }));
                    cluster.call(As::Service, "record_audit", &json!({ "events": events })).unwrap();
                }
            });
        }
    });
    for org in orgs {
        assert_eq!(verify(cluster, &json!({ "org_id": org }))["checked_to"], 5 + 40);
    }
}

fn listing(cluster: &Cluster) {
    let org = cluster.organization("audit-listing");
    for (who, expected) in [(org.developer, "PT403"), (org.viewer, "PT403"), (cluster.stranger, "PT404")] {
        assert_eq!(cluster.refusal(As::User(who), "list_audit", &json!({ "org_id": org.id })).0, expected);
    }
    for who in [org.owner, org.admin] {
        let (mut cursor, mut seqs) = (Value::Null, Vec::new());
        loop {
            let page = json!({ "org_id": org.id, "limit": 2, "cursor": cursor });
            let page = cluster.call(As::User(who), "list_audit", &page).unwrap();
            seqs.extend(page["events"].as_array().unwrap().iter().map(|event| event["seq"].as_i64().unwrap()));
            cursor = page["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        assert_eq!(seqs, [5, 4, 3, 2, 1]);
    }
    for (field, value) in [
        ("limit", json!(0)),
        ("limit", json!(201)),
        ("cursor", json!("x")),
        ("actor_id", json!("x")),
        ("from", json!("x")),
        ("to", json!("x")),
    ] {
        let refused = cluster.refusal(As::User(org.owner), "list_audit", &json!({ "org_id": org.id, field: value }));
        assert_eq!(refused, ("PT422".into(), field.into()));
    }
}

fn filters(cluster: &Cluster) {
    let org = cluster.organization("audit-filters");
    let event = |action: &str, actor: Uuid, day: &str| {
        let id = new_id();
        json!({ "id": id, "org_id": org.id, "action": action, "actor_id": actor, "occurred_at": day })
    };
    let events = [
        event("session.failed", org.owner, "2020-01-01T00:00:00Z"),
        event("session.created", org.owner, "2020-01-02T00:00:00Z"),
        event("session.failed", org.viewer, "2020-01-03T00:00:00Z"),
    ];
    cluster.call(As::Service, "record_audit", &json!({ "events": events })).unwrap();
    let found = |filter: Value| -> Vec<i64> {
        let mut payload = json!({ "org_id": org.id, "to": "2020-12-31T00:00:00Z" });
        payload.as_object_mut().unwrap().extend(filter.as_object().unwrap().clone());
        let page = cluster.call(As::User(org.owner), "list_audit", &payload).unwrap();
        page["events"].as_array().unwrap().iter().map(|event| event["seq"].as_i64().unwrap()).collect()
    };
    assert_eq!(found(json!({})), [8, 7, 6]);
    assert_eq!(found(json!({ "actor_id": org.owner })), [7, 6]);
    assert_eq!(found(json!({ "action": "session.failed" })), [8, 6]);
    assert_eq!(found(json!({ "action": "session.failed", "actor_id": org.viewer })), [8]);
    assert_eq!(found(json!({ "from": "2020-01-02T00:00:00Z" })), [8, 7]);
    assert_eq!(found(json!({ "to": "2020-01-02T00:00:00Z" })), [6]);
}

fn exporting(cluster: &Cluster) {
    let org = cluster.organization("audit-export");
    let export = |payload: Value| cluster.call(As::User(org.owner), "export_audit", &payload).unwrap();
    for (who, expected) in [(org.developer, "PT403"), (org.viewer, "PT403"), (cluster.stranger, "PT404")] {
        assert_eq!(cluster.refusal(As::User(who), "export_audit", &json!({ "org_id": org.id })).0, expected);
    }
    // As large as an event can be: a page ends before its number of entries does.
    let large = |_| json!({ "id": new_id(), "org_id": org.id, "action": "a.b", "details": { "a": "x".repeat(8000) } });
    let events: Vec<Value> = (0..50).map(large).collect();
    cluster.call(As::Service, "record_audit", &json!({ "events": events })).unwrap();

    let (mut after, mut exported, mut pages) = (Value::Null, Vec::new(), Vec::new());
    loop {
        let page = export(json!({ "org_id": org.id, "after_seq": after }));
        assert!(page.to_string().len() < 400_000, "a page is bounded");
        pages.push(page["entries"].as_array().unwrap().len());
        exported.extend(page["entries"].as_array().unwrap().clone());
        after = page["next_after"].clone();
        if after.is_null() {
            break;
        }
    }
    assert!(pages.len() == 2 && pages[0] > 5, "{pages:?}");
    let stored: Vec<Value> = cluster.transaction(|transaction| {
        become_(transaction, As::Service);
        let find = "select jsonb_build_object('seq', seq, 'entry', entry, 'prev_hash', encode(prev_hash, 'hex'),
                      'hash', encode(hash, 'hex')) from public.audit_logs where org_id = $1 order by seq";
        transaction.query(find, &[&org.id]).unwrap().iter().map(|row| row.get(0)).collect()
    });
    assert_eq!(exported, stored);

    let page = export(json!({ "org_id": org.id, "after_seq": 1, "limit": 2 }));
    assert_eq!((page["entries"].as_array().unwrap().as_slice(), &page["next_after"]), (&stored[1..3], &json!(3)));
    let end = export(json!({ "org_id": org.id, "after_seq": stored.len() }));
    assert_eq!(end, json!({ "entries": [], "next_after": null }));
    for (field, value) in [("limit", json!(0)), ("limit", json!(501)), ("after_seq", json!(-1))] {
        let refused = cluster.refusal(As::User(org.owner), "export_audit", &json!({ "org_id": org.id, field: value }));
        assert_eq!(refused, ("PT422".into(), field.into()));
    }
}

fn grants(cluster: &Cluster) {
    for who in [As::User(cluster.owner), As::Anonymous] {
        for function in ["record_audit", "verify_audit"] {
            assert_eq!(cluster.refusal(who, function, &json!({ "events": [] })).0, "42501", "{function}");
        }
    }
}

/// Every entry of an organization, as the service sees them.
fn entries(cluster: &Cluster, org: Uuid) -> Vec<Value> {
    cluster.transaction(|transaction| {
        become_(transaction, As::Service);
        let find = "select entry::jsonb from public.audit_logs where org_id = $1 order by seq";
        transaction.query(find, &[&org]).unwrap().iter().map(|row| row.get(0)).collect()
    })
}

fn verify(cluster: &Cluster, payload: &Value) -> Value {
    cluster.call(As::Service, "verify_audit", payload).unwrap()
}

fn verify_in(transaction: &mut Transaction<'_>, payload: &Value) -> Value {
    transaction.query_one("select api.verify_audit($1)", &[payload]).unwrap().get(0)
}

fn key(digest: &str) -> Value {
    json!({ "name": "k", "digest": digest, "pepper_version": 1, "prefix": "qlp_test_ab", "scopes": ["llm"] })
}
