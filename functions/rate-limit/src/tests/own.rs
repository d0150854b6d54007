use limits::Member;
use quota::account::Amounts;
use sfv::{BareItem, Dictionary, List, ListEntry, Parser};

use super::*;

fn spend(scene: &Scene, user: Uuid) {
    let config = scene.host.block_on(limits::Config::read(&mut Configuration::of(&scene.host.variables))).unwrap();
    let member = Member { user, org: Some(ORG), key: None, tier: token::Tier::T1 };
    scene.apply(Operation::Take { subjects: member.subjects(&config), amounts: Amounts::ONE_REQUEST });
}

#[test]
fn everybody_sees_their_own_limits_with_what_is_left() {
    let scene = Scene::new();
    spend(&scene, DEVELOPER);
    let answer = scene.get(&user(DEVELOPER), "/v1/limits");
    assert_eq!(answer.status, 200);
    let expected = |subject: &str, limit: u64, resets: u64| {
        json!({"subject": subject, "name": subject, "unit": "requests", "window": {"seconds": 3600}, "limit": limit,
            "remaining": limit - 1, "resets_in_seconds": resets, "source": "default"})
    };
    assert_eq!(answer.body, json!({"data": [expected("user", 100, 36), expected("org", 1000, 4)]}));
    assert_eq!(answer.headers["cache-control"], "no-store");
    let again = scene.get(&user(DEVELOPER), "/v1/limits");
    assert_eq!(again.body, answer.body, "to look takes nothing");
}

#[test]
fn the_fields_are_structured_fields_and_say_the_same() {
    let scene = Scene::new();
    let budget = json!([{"unit": "nano_usd", "window": "month", "limit": 5_000_000_000u64},
        {"unit": "requests", "window": "concurrent", "limit": 3}]);
    assert_eq!(scene.put(&user(ADMIN), "/v1/limits/org", &budget).status, 200);
    spend(&scene, DEVELOPER);
    let answer = scene.get(&user(DEVELOPER), "/v1/limits");
    let list = |name: &str| Parser::new(answer.headers[name].as_bytes()).parse::<List>().unwrap();
    let items = |name: &str| {
        let item = |entry: &ListEntry| {
            let ListEntry::Item(item) = entry else { panic!("an inner list") };
            let BareItem::String(text) = &item.bare_item else { panic!("no string: {item:?}") };
            let parameter = |name: &str| match item.params.get(name) {
                Some(BareItem::Integer(number)) => Some(u64::try_from(*number).unwrap()),
                None => None,
                Some(other) => panic!("{other:?}"),
            };
            (text.as_str().to_owned(), ["q", "w", "r", "t"].map(parameter))
        };
        list(name).iter().map(item).collect::<Vec<_>>()
    };
    let policies = items("ratelimit-policy");
    let limits = items("ratelimit");
    let told = answer.body["data"].as_array().unwrap();
    assert_eq!((policies.len(), limits.len(), told.len()), (4, 4, 4));
    for ((policy, limit), told) in policies.iter().zip(&limits).zip(told) {
        assert_eq!((&policy.0, &limit.0), (&told["name"].as_str().unwrap().to_owned(), &policy.0));
        assert_eq!((policy.1[0], limit.1[2]), (told["limit"].as_u64(), told["remaining"].as_u64()));
    }
    // The parser of the test refuses what is none.
    assert!(Parser::new("\"user\";r=1;t=").parse::<Dictionary>().is_err());
}

#[test]
fn what_an_organization_has_set_is_told_as_such() {
    let scene = Scene::new();
    let path = format!("/v1/limits/user:{DEVELOPER}");
    assert_eq!(scene.put(&user(ADMIN), &path, &requests(60, 5)).status, 200);
    let limits = scene.get(&user(DEVELOPER), "/v1/limits").body["data"].clone();
    assert_eq!((&limits[0]["limit"], &limits[0]["source"]), (&json!(5), &json!("override")));
    assert_eq!((&limits[0]["window"], &limits[1]["source"]), (&json!({"seconds": 60}), &json!("default")));
}

#[test]
fn who_has_no_organization_has_limits_too_and_a_better_tier_has_higher_ones() {
    let scene = Scene::new();
    let alone = with(DEVELOPER, "app_metadata", json!({"org_id": null, "roles": [], "tier": "T1"}));
    let limits = scene.get(&alone, "/v1/limits").body["data"].clone();
    assert_eq!((limits.as_array().unwrap().len(), &limits[0]["subject"]), (1, &json!("user")));
    let better = with(DEVELOPER, "app_metadata", json!({"org_id": ORG, "roles": ["viewer"], "tier": "T2"}));
    assert_eq!(scene.get(&better, "/v1/limits").body["data"][0]["limit"], 1000);
}

#[test]
fn nobody_sees_limits_without_a_credential_or_the_second_factor_that_is_required() {
    let scene = Scene::new();
    assert_eq!(scene.get("nonsense", "/v1/limits").status, 401);
    assert_eq!(scene.get(&service("limits:check"), "/v1/limits").status, 401);
    let strict = json!({"org_id": ORG, "roles": ["viewer"], "tier": "T1", "requires_aal2": true});
    let refused = scene.get(&with(DEVELOPER, "app_metadata", strict), "/v1/limits");
    assert_eq!((refused.status, &refused.body["type"]), (403, &json!("/problems/second-factor-required")));
}

#[test]
fn without_the_ledger_nobody_can_tell() {
    let scene = Scene::new();
    for break_it in [&(|| scene.ledger_is_away()) as &dyn Fn(), &|| scene.host.ledger.hold()] {
        break_it();
        let started = scene.host.clock.now();
        let answer = scene.get(&user(DEVELOPER), "/v1/limits");
        assert_eq!((answer.status, &answer.body["type"]), (503, &json!("/problems/upstream-unavailable")));
        assert!((1_000..4_000).contains(&milliseconds(&answer)));
        assert!(!answer.headers.contains_key("ratelimit"));
        assert!(scene.host.clock.now().duration_since(started).as_millis() <= 50);
        scene.host.ledger.fail_with(None);
        scene.host.ledger.let_through();
        scene.host.clock.advance(Duration::from_secs(5));
        assert_eq!(scene.get(&user(DEVELOPER), "/v1/limits").status, 200);
    }
}

#[test]
fn other_paths_are_not_found_and_other_methods_not_allowed() {
    let scene = Scene::new();
    for (method, path, status, allow) in [
        ("POST", "/v1/limits", 405, "GET, HEAD"),
        ("GET", "/v1/limits/check", 405, "POST"),
        ("POST", "/v1/limits/org", 405, "DELETE, GET, HEAD, PUT"),
        ("GET", "/v1/limits/org/more", 404, ""),
        ("GET", "/v1/limits/", 404, ""),
        ("GET", "/v1/limits/team:1", 404, ""),
    ] {
        let answer = scene.send(&user(ADMIN), method, path, "");
        let told = answer.headers.get("allow").map_or("", |value| value.to_str().unwrap());
        assert_eq!((answer.status, told), (status, allow), "{method} {path}");
    }
}
