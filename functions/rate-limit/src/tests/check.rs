use super::*;

fn wish() -> Value {
    json!({"account": format!("org:{ORG}"), "subject": format!("user:{DEVELOPER}"),
        "limits": [{"name": "executions", "unit": "requests", "window": {"seconds": 60}, "limit": 2}],
        "amounts": {"requests": 1}})
}

#[test]
fn a_service_takes_and_is_told_how_long_to_wait() {
    let scene = Scene::new();
    let service = service("metrics limits:check");
    let ask = || scene.post(&service, "/v1/limits/check", &wish());
    let first = ask();
    assert_eq!(first.status, 200, "{}", first.body);
    let standing = json!({"name": "executions", "unit": "requests", "window": {"seconds": 60}, "limit": 2, "remaining": 1,
        "resets_in_seconds": 30, "retry_after_ms": 0});
    assert_eq!(first.body, json!({"allowed": true, "retry_after_ms": null, "standings": [standing]}));
    ask();
    for _ in 0..3 {
        let refused = ask();
        assert_eq!((refused.status, &refused.body["allowed"]), (200, &json!(false)));
        assert!(!refused.headers.contains_key("retry-after"));
        let wait = refused.body["retry_after_ms"].as_u64().unwrap();
        scene.host.clock.advance(Duration::from_millis(wait - 1));
        assert_eq!(ask().body["allowed"], false);
        scene.host.clock.advance(Duration::from_millis(1));
        assert_eq!(ask().body["allowed"], true);
    }
}

#[test]
fn what_the_organization_has_set_for_the_subject_holds_for_services_too() {
    let scene = Scene::new();
    let path = format!("/v1/limits/user:{DEVELOPER}");
    let day = json!([{"unit": "requests", "window": "day", "limit": 1}]);
    assert_eq!(scene.put(&user(ADMIN), &path, &day).status, 200);
    let service = service("limits:check");
    let first = scene.post(&service, "/v1/limits/check", &wish()).body;
    let names: Vec<_> = first["standings"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!((&first["allowed"], names), (&json!(true), vec![&json!("user-day"), &json!("executions")]));
    assert_eq!(scene.post(&service, "/v1/limits/check", &wish()).body["allowed"], false);
    // A subject of the service's own is not touched by it.
    let mut own = wish();
    own["subject"] = json!(format!("pool:user:{DEVELOPER}"));
    assert_eq!(scene.post(&service, "/v1/limits/check", &own).body["allowed"], true);
}

#[test]
fn what_could_never_pass_has_no_time_to_wait_for_and_nothing_only_looks() {
    let scene = Scene::new();
    let mut wish = wish();
    wish["amounts"] = json!({"requests": 3});
    let never = scene.post(&service("limits:check"), "/v1/limits/check", &wish).body;
    assert_eq!((&never["allowed"], &never["retry_after_ms"]), (&json!(false), &Value::Null));
    wish["amounts"] = json!({});
    for _ in 0..3 {
        let looked = scene.post(&service("limits:check"), "/v1/limits/check", &wish).body;
        assert_eq!((&looked["allowed"], &looked["standings"][0]["remaining"]), (&json!(true), &json!(2)));
    }
}

#[test]
fn only_services_with_the_scope_may() {
    let scene = Scene::new();
    let status = |token: &str| scene.post(token, "/v1/limits/check", &wish()).status;
    assert_eq!(status(&service("metrics")), 403);
    assert_eq!(status(&user(ADMIN)), 401);
    assert_eq!(status("nonsense"), 401);
    assert!(scene.host.ledger.applied().is_empty());
}

#[test]
fn every_fault_of_a_question_is_told_with_its_place() {
    let scene = Scene::new();
    let with = |place: &str, value: Value| {
        let mut wish = wish();
        match wish.pointer_mut(place) {
            Some(found) => *found = value,
            None => wish[place.trim_start_matches('/')] = value,
        }
        wish
    };
    let limit = wish()["limits"][0].clone();
    for (wish, pointer) in [
        (json!({}), ""),
        (with("/more", json!(1)), "/more"),
        (with("/account", json!("org")), "/account"),
        (with("/account", json!(format!("team:{ORG}"))), "/account"),
        (with("/account", json!("org:1")), "/account"),
        (with("/subject", json!("")), "/subject"),
        (with("/subject", json!("user 1")), "/subject"),
        (with("/subject", json!("x".repeat(121))), "/subject"),
        (with("/limits", json!(vec![limit.clone(); 17])), "/limits"),
        (with("/limits", json!([limit, limit])), "/limits/1/name"),
        (with("/limits/0/name", json!("")), "/limits/0/name"),
        (with("/limits/0/name", json!("user")), "/limits/0/name"),
        (with("/limits/0/name", json!("org-tokens")), "/limits/0/name"),
        (with("/limits/0/name", json!("a\"b")), "/limits/0/name"),
        (with("/limits/0/unit", json!("bytes")), "/limits/0/unit"),
        (with("/limits/0/window", json!("concurrent")), "/limits/0/window"),
        (with("/limits/0/window", json!({"seconds": 0})), "/limits/0/window/seconds"),
        (with("/limits/0/limit", json!(0)), "/limits/0/limit"),
        (with("/amounts", json!(1)), "/amounts"),
        (with("/amounts", json!({"bytes": 1})), "/amounts/bytes"),
        (with("/amounts", json!({"tokens": -1})), "/amounts/tokens"),
        (with("/amounts", json!({"tokens": 1_000_000_000_000_000u64})), "/amounts/tokens"),
    ] {
        let answer = scene.post(&service("limits:check"), "/v1/limits/check", &wish);
        assert_eq!(answer.status, 400, "{wish}");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{wish}: {}", answer.body);
    }
    assert!(scene.host.ledger.applied().is_empty());
}

#[test]
fn without_the_ledger_a_service_decides_for_itself() {
    let scene = Scene::new();
    scene.ledger_is_away();
    let answer = scene.post(&service("limits:check"), "/v1/limits/check", &wish());
    assert_eq!(answer.status, 503);
    assert!(milliseconds(&answer) >= 1_000);
}
