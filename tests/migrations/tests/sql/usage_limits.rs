//! Limits that organizations set in place of the defaults.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::Test;
use crate::cluster::{As, Cluster, new_digest, new_id};

pub const TESTS: &[Test] = &[
    ("limits_are_set_read_changed_and_taken_back", life),
    ("owners_and_admins_alone_see_and_set_limits", grants),
    ("limits_are_set_for_an_organization_its_members_and_its_keys_alone", subjects),
    ("limits_of_who_has_left_can_be_taken_back", leavers),
    ("what_is_no_limit_is_not_stored", forms),
    ("of_two_who_set_limits_at_once_the_last_one_s_hold", at_once),
    ("whoever_sets_limits_leaves_an_entry_in_the_log", audited),
];

fn rules(limit: u64) -> Value {
    json!([{"unit": "requests", "window": {"seconds": 60}, "limit": limit}])
}

fn set(cluster: &Cluster, who: Uuid, org: Uuid, subject: &str, rules: &Value) -> Value {
    let payload = json!({"org_id": org, "subject": subject, "rules": rules});
    cluster.call(As::User(who), "set_limits", &payload).unwrap()
}

fn refused(cluster: &Cluster, who: Uuid, org: Uuid, subject: &str, rules: &Value) -> (String, String) {
    cluster.refusal(As::User(who), "set_limits", &json!({"org_id": org, "subject": subject, "rules": rules}))
}

fn listed(cluster: &Cluster, who: Uuid, payload: &Value) -> Vec<Value> {
    let listed = cluster.call(As::User(who), "list_limits", payload).unwrap();
    listed["limits"].as_array().unwrap().clone()
}

fn key(cluster: &Cluster, org: Uuid, user: Uuid) -> String {
    let wish = json!({
        "org_id": org, "name": "ci", "digest": new_digest(), "pepper_version": 1, "prefix": "qlp_test_ab",
        "scopes": ["llm"],
    });
    cluster.call(As::User(user), "create_key", &wish).unwrap()["id"].as_str().unwrap().to_owned()
}

fn life(cluster: &Cluster) {
    let org = cluster.organization("limits-life");
    let one = json!({"org_id": org.id, "subject": "org"});
    assert_eq!(listed(cluster, org.admin, &one), [json!(null); 0]);
    let stored = set(cluster, org.admin, org.id, "org", &rules(10));
    assert_eq!((&stored["subject"], &stored["version"]), (&json!("org"), &json!(1)));
    assert_eq!((&stored["rules"], &stored["updated_by"]), (&rules(10), &json!(org.admin)));
    let changed = set(cluster, org.owner, org.id, "org", &rules(20));
    assert_eq!((&changed["version"], &changed["updated_by"]), (&json!(2), &json!(org.owner)));
    assert_eq!(listed(cluster, org.admin, &one), [changed]);
    let user = format!("user:{}", org.viewer);
    set(cluster, org.admin, org.id, &user, &rules(1));
    let all = listed(cluster, org.admin, &json!({"org_id": org.id}));
    assert_eq!(all.iter().map(|one| &one["subject"]).collect::<Vec<_>>(), [&json!("org"), &json!(user)]);
    for _ in 0..2 {
        let gone = set(cluster, org.admin, org.id, "org", &json!([]));
        assert_eq!((&gone["rules"], &gone["version"]), (&json!([]), &json!(null)));
    }
    assert_eq!(listed(cluster, org.admin, &one), [json!(null); 0]);
    assert_eq!(set(cluster, org.admin, org.id, "org", &rules(1))["version"], 1);
}

fn grants(cluster: &Cluster) {
    let org = cluster.organization("limits-grants");
    set(cluster, org.owner, org.id, "org", &rules(10));
    for who in [org.developer, org.viewer] {
        let denied = |permission: &str| ("PT403".to_owned(), permission.to_owned());
        assert_eq!(refused(cluster, who, org.id, "org", &rules(99)), denied("limits:write"));
        assert_eq!(refused(cluster, who, org.id, "org", &json!([])), denied("limits:write"));
        let list = json!({"org_id": org.id});
        assert_eq!(cluster.refusal(As::User(who), "list_limits", &list), denied("limits:read"));
    }
    let unknown = ("PT404".to_owned(), "org_id".to_owned());
    assert_eq!(refused(cluster, cluster.stranger, org.id, "org", &rules(99)), unknown);
    assert_eq!(cluster.refusal(As::User(cluster.stranger), "list_limits", &json!({"org_id": org.id})), unknown);
    for who in [As::Anonymous, As::Service] {
        assert_eq!(cluster.refusal(who, "set_limits", &json!({"org_id": org.id})).0, "42501");
    }
    assert_eq!(listed(cluster, org.owner, &json!({"org_id": org.id}))[0]["rules"], rules(10));
}

fn subjects(cluster: &Cluster) {
    let (org, other) = (cluster.organization("limits-subjects"), cluster.organization("limits-others"));
    // The key of a developer, which its admin may not see in every column.
    for subject in [format!("user:{}", org.viewer), format!("key:{}", key(cluster, org.id, org.developer))] {
        assert_eq!(set(cluster, org.admin, org.id, &subject, &rules(5))["subject"], subject);
    }
    for subject in [
        format!("user:{}", other.viewer),
        format!("key:{}", key(cluster, other.id, other.developer)),
        format!("user:{}", new_id()),
        format!("key:{}", new_id()),
        "user:".into(),
        "team:1".into(),
        String::new(),
        "orgs".into(),
    ] {
        let expected = ("PT404".to_owned(), "subject".to_owned());
        assert_eq!(refused(cluster, org.admin, org.id, &subject, &rules(5)), expected, "{subject}");
        assert_eq!(refused(cluster, org.admin, org.id, &subject, &json!([])), expected, "{subject}");
        let list = json!({"org_id": org.id, "subject": subject});
        assert_eq!(cluster.refusal(As::User(org.admin), "list_limits", &list), expected, "{subject}");
    }
}

fn leavers(cluster: &Cluster) {
    let org = cluster.organization("limits-leavers");
    let subject = format!("user:{}", org.viewer);
    set(cluster, org.admin, org.id, &subject, &rules(5));
    cluster.call(As::User(org.viewer), "leave_organization", &json!({"org_id": org.id})).unwrap();
    assert_eq!(set(cluster, org.admin, org.id, &subject, &rules(6))["version"], 2);
    set(cluster, org.admin, org.id, &subject, &json!([]));
    let expected = ("PT404".to_owned(), "subject".to_owned());
    assert_eq!(refused(cluster, org.admin, org.id, &subject, &rules(5)), expected);
}

fn forms(cluster: &Cluster) {
    let org = cluster.organization("limits-forms");
    let rule = |unit: &str, window: Value, limit: Value| json!({"unit": unit, "window": window, "limit": limit});
    let seconds = |seconds: Value| json!({"seconds": seconds});
    let all: Vec<_> = ["requests", "tokens", "nano_usd"]
        .into_iter()
        .flat_map(|unit| {
            [seconds(json!(2_678_400)), json!("day"), json!("month")]
                .map(|window| rule(unit, window, json!(999_999_999_999_999u64)))
        })
        .chain([rule("requests", json!("concurrent"), json!(0))])
        .collect();
    set(cluster, org.admin, org.id, "org", &json!(all));
    for broken in [
        json!([{}]),
        json!([1]),
        json!([null]),
        json!([[]]),
        json!([rule("requests", json!("week"), json!(1))]),
        json!([rule("requests", json!(null), json!(1))]),
        json!([rule("requests", json!([]), json!(1))]),
        json!([rule("bytes", json!("day"), json!(1))]),
        json!([rule("tokens", json!("concurrent"), json!(1))]),
        json!([rule("nano_usd", json!("concurrent"), json!(1))]),
        json!([rule("requests", json!("day"), json!(-1))]),
        json!([rule("requests", json!("day"), json!(1.5))]),
        json!([rule("requests", json!("day"), json!("1"))]),
        json!([rule("requests", json!("day"), json!(null))]),
        json!([rule("requests", json!("day"), json!(1_000_000_000_000_000u64))]),
        json!([rule("requests", seconds(json!(60)), json!(0))]),
        json!([rule("requests", seconds(json!(0)), json!(1))]),
        json!([rule("requests", seconds(json!(2_678_401)), json!(1))]),
        json!([rule("requests", seconds(json!(99_999_999_999u64)), json!(1))]),
        json!([rule("requests", seconds(json!(null)), json!(1))]),
        json!([rule("requests", json!({"seconds": 1, "days": 1}), json!(1))]),
        json!([{"unit": "requests", "window": "day", "limit": 1, "name": "mine"}]),
        json!([rule("requests", seconds(json!(1)), json!(1)), rule("requests", seconds(json!(2)), json!(1))]),
        json!([rule("tokens", json!("day"), json!(1)), rule("tokens", json!("day"), json!(2))]),
        json!(vec![rule("tokens", json!("day"), json!(1)); 17]),
        json!({}),
        json!(null),
    ] {
        let expected = ("PT422".to_owned(), "rules".to_owned());
        assert_eq!(refused(cluster, org.admin, org.id, "org", &broken), expected, "{broken}");
        let by_hand = cluster.transaction(|transaction| {
            crate::cluster::become_(transaction, As::Service);
            let insert = "insert into public.usage_limits (org_id, subject, rules) values ($1, 'org', $2)";
            transaction.execute(insert, &[&org.id, &broken]).is_err()
        });
        assert!(by_hand, "{broken}");
    }
    assert_eq!(listed(cluster, org.admin, &json!({"org_id": org.id}))[0]["rules"], json!(all));
}

fn at_once(cluster: &Cluster) {
    let org = cluster.organization("limits-at-once");
    std::thread::scope(|scope| {
        for who in [org.owner, org.admin] {
            scope.spawn(move || (1..=20).for_each(|limit| drop(set(cluster, who, org.id, "org", &rules(limit)))));
        }
    });
    let stored = listed(cluster, org.admin, &json!({"org_id": org.id}));
    assert_eq!((stored.len(), &stored[0]["version"], &stored[0]["rules"]), (1, &json!(40), &rules(20)));
}

fn audited(cluster: &Cluster) {
    let org = cluster.organization("limits-audited");
    let subject = format!("user:{}", org.viewer);
    for rules in [rules(5), rules(5), rules(6), json!([])] {
        set(cluster, org.admin, org.id, &subject, &rules);
    }
    let log = cluster.call(As::User(org.owner), "list_audit", &json!({"org_id": org.id})).unwrap();
    let told: Vec<_> = log["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["action"].as_str().unwrap().starts_with("limits."))
        .map(|event| {
            assert_eq!((&event["actor_id"], &event["target_id"]), (&json!(org.admin), &json!(subject)));
            (event["action"].as_str().unwrap(), event["details"]["rules"].clone())
        })
        .collect();
    let change = json!({"from": rules(5), "to": rules(6)});
    assert_eq!(told, [("limits.deleted", rules(6)), ("limits.updated", change), ("limits.created", rules(5))]);
}
