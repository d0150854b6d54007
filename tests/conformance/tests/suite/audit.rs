use conformance::{PASSWORD, Rig, marker, wait_until};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::orgs::{call, join, organization, person};

super::list![
    what_changes_an_organization_is_in_its_log,
    the_log_is_paged_and_filtered,
    the_export_has_the_texts_that_are_hashed,
    parameters_that_are_wrong_are_told_by_name,
    signing_up_in_and_out_is_in_the_log_of_the_users_organization,
    a_failed_sign_in_is_recorded_without_the_address,
];

/// Whose chain has the events of no organization.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

fn id(org: &str) -> &str {
    org.rsplit('/').next().unwrap()
}

fn actions(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|event| event["action"].as_str().unwrap()).collect()
}

fn what_changes_an_organization_is_in_its_log(rig: &Rig) {
    let (owner, member) = (person(rig), person(rig));
    let org = organization(&owner);
    join(&owner, &org, &member, "viewer");
    call(&owner.client, "PATCH", &format!("{org}/members/{}", member.id), &json!({"role": "admin"})).expect(200);
    let page = owner.client.get(&format!("/auth/audit?org={}", id(&org))).expect(200);
    assert!(page.header("cache-control").contains("no-store"));
    let page = page.json();
    assert_eq!(page["next_cursor"], json!(null));
    assert_eq!(
        actions(&page),
        [
            "member.updated",
            "invitation.accepted",
            "member.created",
            "invitation.created",
            "member.created",
            "organization.created"
        ]
    );
    let changed = &page["data"][0];
    assert_eq!((&changed["actor_id"], &changed["target_id"]), (&json!(owner.id), &json!(member.id)));
    assert_eq!(changed["details"]["role"], json!({"from": "viewer", "to": "admin"}));
    // With a token of what holds now: the one from before is refused as soon as the edge has heard of the change.
    member.refreshed(rig).client.get(&format!("/auth/audit?org={}", id(&org))).expect(200);
}

fn the_log_is_paged_and_filtered(rig: &Rig) {
    let (owner, member) = (person(rig), person(rig));
    let org = organization(&owner);
    join(&owner, &org, &member, "viewer");
    let get = |query: &str| owner.client.get(&format!("/auth/audit?org={}&{query}", id(&org))).expect(200).json();
    let (mut seqs, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(&format!("limit=2{cursor}"));
        seqs.extend(page["data"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seqs, [5, 4, 3, 2, 1]);
    assert_eq!(actions(&get("action=member.created")), ["member.created"; 2]);
    assert_eq!(actions(&get(&format!("actor={}", member.id))), ["invitation.accepted", "member.created"]);
    assert_eq!(actions(&get("from=2100-01-01")), [""; 0]);
    assert_eq!(actions(&get("to=2020-01-01T00:00:00%2B01:00")), [""; 0]);
}

fn the_export_has_the_texts_that_are_hashed(rig: &Rig) {
    let owner = person(rig);
    let org = organization(&owner);
    let export = owner.client.get(&format!("/auth/audit/export?org={}", id(&org))).expect(200);
    assert_eq!(export.header("content-type"), "application/jsonl");
    let text = export.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    let mut previous = "00".repeat(32);
    for (line, seq) in lines.iter().zip(1..) {
        assert_eq!((&line["seq"], &line["prev_hash"]), (&json!(seq), &json!(previous)));
        previous = sha256_hex(&previous, line["entry"].as_str().unwrap());
        assert_eq!(line["hash"], previous);
    }
    let rest = owner.client.get(&format!("/auth/audit/export?org={}&after=1", id(&org))).expect(200).text();
    assert_eq!(rest.lines().next(), text.lines().nth(1));
    assert!(owner.client.get("/auth/audit/export?after=999").expect(200).body.is_empty());
}

/// SHA-256 of the hash before and the entry.
fn sha256_hex(previous: &str, entry: &str) -> String {
    let nibbles: Vec<_> = previous.chars().map(|digit| u8::try_from(digit.to_digit(16).unwrap()).unwrap()).collect();
    let mut digest = Sha256::new();
    digest.update(nibbles.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect::<Vec<_>>());
    digest.update(entry);
    digest.finalize().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

fn parameters_that_are_wrong_are_told_by_name(rig: &Rig) {
    let owner = person(rig);
    for (path, name) in [
        ("/auth/audit?org=mine", "org"),
        ("/auth/audit?limit=0", "limit"),
        ("/auth/audit?limit=1&limit=1", "limit"),
        ("/auth/audit?after=1", "after"),
        ("/auth/audit/export?cursor=1", "cursor"),
        ("/auth/audit/export?after=x", "after"),
    ] {
        let problem = owner.client.get(path).expect_problem(400, "invalid-request");
        assert_eq!(problem["errors"][0]["pointer"], name, "{path}");
    }
    owner.client.send("POST", "/auth/audit", &[], None).expect_problem(405, "method-not-allowed");
}

fn signing_up_in_and_out_is_in_the_log_of_the_users_organization(rig: &Rig) {
    let user = person(rig);
    let request_id = marker("sign-in");
    let body = json!({"email": user.email, "password": PASSWORD}).to_string().into_bytes();
    let headers = [("content-type", "application/json"), ("x-request-id", &*request_id), ("user-agent", "a browser")];
    rig.edge.send("POST", "/auth/login", &headers, Some(body)).expect(200);
    let found = |action: &str| {
        wait_until(action, || {
            let page = user.client.get(&format!("/auth/audit?action={action}&actor={}", user.id)).expect(200).json();
            page["data"].as_array().unwrap().first().cloned()
        })
    };
    let signed_in = found("session.created");
    assert_eq!(signed_in["request_id"], request_id);
    assert_eq!((&signed_in["user_agent"], &signed_in["address"]), (&json!("a browser"), &json!("127.0.0.1")));
    assert_eq!((&signed_in["outcome"], &signed_in["actor_kind"]), (&json!("success"), &json!("user")));
    found("account.created");
    user.client.send("POST", "/auth/logout", &[], None).expect(204);
    found("session.ended");
}

fn a_failed_sign_in_is_recorded_without_the_address(rig: &Rig) {
    let user = person(rig);
    let request_id = marker("failed-sign-in");
    let body = json!({"email": user.email, "password": "not the password"}).to_string().into_bytes();
    let headers = [("content-type", "application/json"), ("x-request-id", &*request_id)];
    rig.edge.send("POST", "/auth/login", &headers, Some(body)).expect(401);
    let path = "/rest/v1/audit_logs?action=eq.session.failed&select=entry";
    let entry = wait_until("the event is written", || {
        let headers = [("apikey", rig.stack.supabase.secret_key.as_str()), ("accept-profile", "public")];
        let rows = rig.supabase().get_with(path, &headers);
        let entries: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["entry"].as_str().unwrap()).collect();
        entries.into_iter().find(|entry| entry.contains(&request_id)).map(str::to_owned)
    });
    assert!(!entry.contains(&user.email) && !entry.contains("not the password"), "{entry}");
    let event: Value = serde_json::from_str(&entry).unwrap();
    assert_eq!((&event["outcome"], &event["org_id"]), (&json!("failure"), &json!(NOBODY)));
    assert_eq!(event["details"]["account_digest"].as_str().unwrap().len(), 64);
}
