use quota::account::{Amounts, Outcome, Subject};

use super::*;

/// One request of `user`, with the edge's defaults: whether it passes, and after how many milliseconds it could.
fn call(scene: &Scene, user: Uuid) -> Result<(), u64> {
    let config = scene.host.block_on(limits::Config::read(&mut Configuration::of(&scene.host.variables))).unwrap();
    let member = limits::Member { user, org: Some(ORG), key: None, tier: token::Tier::T1 };
    let take = Operation::Take { subjects: member.subjects(&config), amounts: Amounts::ONE_REQUEST };
    let Outcome::Decided(decision) = scene.apply(take) else { panic!("not decided") };
    if decision.allowed { Ok(()) } else { Err(decision.retry_after().unwrap().div_ceil(1_000_000)) }
}

fn kept(scene: &Scene, subject: &str) -> Vec<Rule> {
    let subject = Subject { name: subject.into(), rules: Vec::new() };
    let Outcome::Decided(decision) =
        scene.apply(Operation::Take { subjects: vec![subject], amounts: Amounts::default() })
    else {
        panic!("not decided")
    };
    decision.standings.into_iter().map(|standing| standing.rule).collect()
}

#[test]
fn a_limit_is_in_force_at_once_and_who_waits_as_told_gets_through() {
    let scene = Scene::new();
    let path = format!("/v1/limits/user:{DEVELOPER}");
    assert_eq!(call(&scene, DEVELOPER), Ok(()));
    let set = scene.put(&user(ADMIN), &path, &requests(60, 2));
    assert_eq!(set.status, 200);
    assert_eq!(set.body["subject"], format!("user:{DEVELOPER}"));
    assert_eq!((&set.body["version"], &set.body["updated_by"]), (&json!(1), &json!(ADMIN)));
    let limits = set.body["limits"].as_array().unwrap();
    assert_eq!((limits.len(), &limits[0]["source"], &limits[0]["remaining"]), (1, &json!("override"), &json!(1)));
    assert_eq!(scene.get(&user(ADMIN), &path).body, set.body);
    assert_eq!(call(&scene, DEVELOPER), Ok(()));
    for _ in 0..3 {
        let wait = call(&scene, DEVELOPER).unwrap_err();
        scene.host.clock.advance(Duration::from_millis(wait - 1));
        assert!(call(&scene, DEVELOPER).is_err());
        scene.host.clock.advance(Duration::from_millis(1));
        assert_eq!(call(&scene, DEVELOPER), Ok(()));
    }
    assert_eq!(call(&scene, ADMIN), Ok(()), "the others are not counted there");
    assert_eq!(scene.send(&user(ADMIN), "DELETE", &path, "").status, 204);
    assert_eq!(call(&scene, DEVELOPER), Ok(()));
    let back = scene.get(&user(ADMIN), &path).body;
    assert_eq!((&back["version"], &back["limits"][0]["source"]), (&Value::Null, &json!("default")));
}

#[test]
fn all_limits_of_a_subject_are_replaced_and_every_kind_is_understood() {
    let scene = Scene::new();
    let key = format!("key:{}", Uuid::from_u128(5));
    let path = format!("/v1/limits/{key}");
    let all = json!([
        {"unit": "requests", "window": {"seconds": 1}, "limit": 1},
        {"unit": "tokens", "window": {"seconds": 2_678_400}, "limit": 999_999_999_999_999u64},
        {"unit": "tokens", "window": "day", "limit": 0},
        {"unit": "nano_usd", "window": "month", "limit": 7},
        {"unit": "requests", "window": "concurrent", "limit": 2},
    ]);
    let set = scene.put(&user(ADMIN), &path, &all);
    assert_eq!(set.status, 200, "{}", set.body);
    let rules = kept(&scene, &key);
    let names: Vec<_> = rules.iter().map(|rule| &*rule.name).collect();
    assert_eq!(names, ["key", "key-tokens", "key-tokens-day", "key-nano-usd-month", "key-concurrent"]);
    let windows: Vec<_> = set.body["limits"].as_array().unwrap().iter().map(|limit| &limit["window"]).collect();
    assert_eq!(windows, all.as_array().unwrap().iter().map(|limit| &limit["window"]).collect::<Vec<_>>());
    scene.put(&user(ADMIN), &path, &requests(60, 5));
    assert_eq!(kept(&scene, &key).len(), 1);
    scene.put(&user(ADMIN), &path, &json!([]));
    assert_eq!(kept(&scene, &key).len(), 0);
    assert_eq!(scene.get(&user(ADMIN), &path).body["limits"], json!([]), "a key has no limits of its own by default");
}

#[test]
fn every_fault_of_a_body_is_told_with_its_place() {
    let scene = Scene::new();
    let one = |limit: Value| json!({"limits": [limit]}).to_string();
    let with = |name: &str, value: Value| {
        let mut limit = json!({"unit": "requests", "window": "day", "limit": 1});
        limit[name] = value;
        one(limit)
    };
    let twice = |window: Value, other: Value| {
        json!({"limits": [{"unit": "tokens", "window": window, "limit": 1}, {"unit": "tokens", "window": other, "limit": 2}]})
            .to_string()
    };
    for (body, pointers) in [
        ("{}".to_owned(), vec![""]),
        (r#"{"limits": 1}"#.to_owned(), vec!["/limits"]),
        (r#"{"limits": [], "more": 1}"#.to_owned(), vec!["/more"]),
        (one(json!(1)), vec!["/limits/0"]),
        (one(json!({"unit": "requests", "window": "day"})), vec!["/limits/0"]),
        (with("name", json!("mine")), vec!["/limits/0/name"]),
        (with("unit", json!("bytes")), vec!["/limits/0/unit"]),
        (with("window", json!("week")), vec!["/limits/0/window"]),
        (with("window", json!({"days": 1})), vec!["/limits/0/window"]),
        (with("window", json!({"seconds": "1"})), vec!["/limits/0/window/seconds"]),
        (with("window", json!({"seconds": 0})), vec!["/limits/0/window/seconds"]),
        (with("window", json!({"seconds": 2_678_401})), vec!["/limits/0/window/seconds"]),
        (with("limit", json!(-1)), vec!["/limits/0/limit"]),
        (with("limit", json!(1.5)), vec!["/limits/0/limit"]),
        (with("limit", json!(1_000_000_000_000_000u64)), vec!["/limits/0/limit"]),
        (one(json!({"unit": "requests", "window": {"seconds": 1}, "limit": 0})), vec!["/limits/0/limit"]),
        (one(json!({"unit": "tokens", "window": "concurrent", "limit": 1})), vec!["/limits/0/window"]),
        (twice(json!("day"), json!("day")), vec!["/limits/1"]),
        (twice(json!({"seconds": 1}), json!({"seconds": 2})), vec!["/limits/1"]),
        (twice(json!({"seconds": 0}), json!("concurrent")), vec!["/limits/0/window/seconds", "/limits/1/window"]),
        (json!({"limits": vec![requests(1, 1)[0].clone(); 17]}).to_string(), vec!["/limits"]),
    ] {
        let answer = scene.send(&user(ADMIN), "PUT", "/v1/limits/org", &body);
        assert_eq!((answer.status, &answer.body["type"]), (400, &json!("/problems/invalid-request")), "{body}");
        let errors = answer.body["errors"].as_array().unwrap();
        assert_eq!(errors.iter().map(|error| &error["pointer"]).collect::<Vec<_>>(), pointers, "{body}: {errors:?}");
    }
    assert_eq!(scene.send(&user(ADMIN), "PUT", "/v1/limits/org", "[").status, 400);
    assert_eq!(scene.send(&user(ADMIN), "PUT", "/v1/limits/org", &" ".repeat(20_000)).status, 413);
    assert!(scene.database.lock().unwrap().stored.is_empty());
    assert_eq!(kept(&scene, &format!("org:{ORG}")).len(), 0);
}

#[test]
fn only_who_may_sets_and_sees_them_and_only_of_their_own_organization() {
    let scene = Scene::new();
    let denied = |token: &str, method: &str, path: &str| {
        let answer = scene.send(token, method, path, &json!({"limits": requests(60, 1)}).to_string());
        (answer.status, answer.body["type"].as_str().unwrap_or_default().to_owned(), answer.body["detail"].to_string())
    };
    let other = format!("/v1/limits/user:{STRANGER}");
    for method in ["GET", "PUT", "DELETE"] {
        let (status, kind, detail) = denied(&user(DEVELOPER), method, "/v1/limits/org");
        assert_eq!((status, kind.as_str()), (403, "/problems/permission-denied"));
        assert!(detail.contains("limits:write"), "{detail}");
        assert_eq!(denied(&user(ADMIN), method, &other).0, 404);
        let alone = with(ADMIN, "app_metadata", json!({"org_id": null, "roles": [], "tier": "T1"}));
        assert_eq!(denied(&alone, method, "/v1/limits/org").0, 403);
        let anonymous = with(ADMIN, "is_anonymous", json!(true));
        assert_eq!(denied(&anonymous, method, "/v1/limits/org").1, "/problems/identity-required");
        let exchanged = denied(&service("limits:check"), method, "/v1/limits/org");
        assert_eq!(exchanged.0, 401);
    }
    assert!(scene.host.ledger.applied().is_empty(), "the ledger was told nothing");
}

#[test]
fn what_is_stored_and_not_in_force_yet_is_told_and_a_repetition_mends_it() {
    let scene = Scene::new();
    scene.ledger_is_away();
    let answer = scene.put(&user(ADMIN), "/v1/limits/org", &requests(60, 1));
    assert_eq!(answer.status, 503);
    assert!(answer.body["detail"].as_str().unwrap().contains("may not be in force yet"), "{}", answer.body);
    assert!((1_000..4_000).contains(&milliseconds(&answer)));
    assert_eq!(scene.database.lock().unwrap().stored.len(), 1);
    scene.host.ledger.fail_with(None);
    assert_eq!(scene.put(&user(ADMIN), "/v1/limits/org", &requests(60, 1)).status, 200);
    assert_eq!((call(&scene, DEVELOPER), call(&scene, DEVELOPER).is_err()), (Ok(()), true));
}

#[test]
fn who_sets_limits_waits_for_a_slow_ledger_and_not_for_ever() {
    let scene = Scene::new();
    scene.get(&user(ADMIN), "/v1/limits");
    scene.host.ledger.hold();
    let started = scene.host.clock.now();
    assert_eq!(scene.put(&user(ADMIN), "/v1/limits/org", &requests(60, 1)).status, 503);
    assert_eq!(scene.host.clock.now().duration_since(started).as_secs(), 2);
}

#[test]
fn whoever_looks_puts_what_is_stored_into_force() {
    let scene = Scene::new();
    scene.ledger_is_away();
    assert_eq!(scene.put(&user(ADMIN), "/v1/limits/org", &requests(60, 1)).status, 503);
    scene.host.ledger.fail_with(None);
    let seen = scene.get(&user(ADMIN), "/v1/limits/org");
    assert_eq!((seen.status, &seen.body["limits"][0]["source"]), (200, &json!("override")));
    assert_eq!(kept(&scene, &format!("org:{ORG}")).len(), 1);
    let told = scene.host.ledger.applied().len();
    scene.get(&user(ADMIN), "/v1/limits/org");
    let sets = |operations: &[Operation]| operations.iter().any(|each| matches!(each, Operation::SetRules { .. }));
    assert!(!scene.host.ledger.applied().iter().skip(told).any(|(_, operations)| sets(operations)));
}

#[test]
fn of_two_who_set_limits_at_once_those_stored_last_are_in_force() {
    let scene = Scene::new();
    scene.database.lock().unwrap().meanwhile.push(requests(60, 7));
    let answer = scene.put(&user(ADMIN), "/v1/limits/org", &requests(60, 1));
    assert_eq!((answer.status, &answer.body["limits"][0]["limit"]), (200, &json!(7)));
    assert_eq!(kept(&scene, &format!("org:{ORG}"))[0].limit, 7);
}

#[test]
fn without_the_database_nothing_is_changed() {
    let scene = Scene::new();
    scene.get(&user(ADMIN), "/v1/limits");
    scene.database.lock().unwrap().is_away = true;
    for method in ["GET", "PUT", "DELETE"] {
        let body = json!({"limits": requests(60, 1)}).to_string();
        assert_eq!(scene.send(&user(ADMIN), method, "/v1/limits/org", &body).status, 503, "{method}");
    }
    assert_eq!(kept(&scene, &format!("org:{ORG}")).len(), 0);
}
