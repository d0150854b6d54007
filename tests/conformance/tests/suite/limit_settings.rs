use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use conformance::{Answer, Client, Rig, marker};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};

use super::orgs::{delete, join, organization, person};

super::list![
    an_admin_lowers_and_raises_a_limit_and_it_holds_at_once,
    a_key_has_limits_of_its_own_and_everybody_sees_their_own,
    members_who_are_no_admins_and_strangers_set_no_limits,
    a_fault_in_a_limit_is_told_with_its_place,
    a_service_takes_from_limits,
    reading_usage_is_limited,
];

fn call(client: &Client, name: &str) -> Answer {
    client.post("/v1/chat/completions", &Rig::chat(&marker(name), &json!({}), false))
}

fn put(client: &Client, subject: &str, limits: &Value) -> Answer {
    let body = json!({"limits": limits}).to_string().into_bytes();
    client.send("PUT", &format!("/v1/limits/{subject}"), &[("content-type", "application/json")], Some(body))
}

fn hourly(limit: u64) -> Value {
    json!([{"unit": "requests", "window": {"seconds": 3600}, "limit": limit}])
}

fn an_admin_lowers_and_raises_a_limit_and_it_holds_at_once(rig: &Rig) {
    let user = person(rig);
    let subject = format!("user:{}", user.id);
    let before = user.client.get("/v1/limits").expect(200).json();
    assert_eq!((&before["data"][0]["limit"], &before["data"][0]["source"]), (&json!(1_000_000), &json!("default")));
    let set = put(&user.client, &subject, &hourly(2)).expect(200).json();
    assert_eq!((&set["limits"][0]["remaining"], &set["limits"][0]["source"]), (&json!(2), &json!("override")), "{set}");
    for _ in 0..2 {
        call(&user.client, "lowered").expect(200);
    }
    let refused = call(&user.client, "lowered").expect(429);
    assert_eq!(refused.json()["error"]["code"], "rate_limited");
    assert_eq!(refused.header("ratelimit-policy"), r#""user";q=2;w=3600, "org";q=1000000;w=3600"#);
    let seconds = refused.header("retry-after").parse::<u64>().unwrap();
    assert!((1700..=1800).contains(&seconds), "{seconds}");
    assert!(refused.header("ratelimit").starts_with(&format!("\"user\";r=0;t={seconds}, ")));
    let own = user.client.get("/v1/limits").expect(200);
    assert_eq!((own.json()["data"][0]["remaining"].as_u64(), own.header("cache-control")), (Some(0), "no-store"));
    put(&user.client, &subject, &hourly(100)).expect(200);
    call(&user.client, "lowered").expect(200);
    delete(&user.client, &format!("/v1/limits/{subject}")).expect(204);
    let after = user.client.get(&format!("/v1/limits/{subject}")).expect(200).json();
    assert_eq!((&after["version"], &after["limits"][0]["source"]), (&Value::Null, &json!("default")));
}

fn a_key_has_limits_of_its_own_and_everybody_sees_their_own(rig: &Rig) {
    let user = person(rig);
    let key = user.client.post("/auth/keys", &json!({"name": "limits", "scopes": ["llm"]})).expect(201).json();
    let by_key = rig.edge.bearer(key["key"].as_str().unwrap());
    put(&user.client, &format!("key:{}", key["id"].as_str().unwrap()), &hourly(1)).expect(200);
    put(&user.client, "org", &json!([{"unit": "tokens", "window": "day", "limit": 1_000_000}])).expect(200);
    let names = |client: &Client| -> Vec<String> {
        let limits = client.get("/v1/limits").expect(200).json()["data"].as_array().unwrap().clone();
        limits.iter().map(|limit| limit["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&by_key), ["key", "user", "org-tokens-day", "org"]);
    assert_eq!(names(&user.client), ["user", "org-tokens-day", "org"]);
    call(&by_key, "key").expect(200);
    let refused = call(&by_key, "key").expect(429);
    assert!(refused.header("ratelimit").starts_with(r#""key";r=0;"#), "{}", refused.header("ratelimit"));
    call(&user.client, "key").expect(200);
    put(&by_key, "org", &hourly(1)).expect_problem(403, "permission-denied");
}

fn members_who_are_no_admins_and_strangers_set_no_limits(rig: &Rig) {
    let [owner, developer, stranger] = [(); 3].map(|()| person(rig));
    let org = organization(&owner);
    join(&owner, &org, &developer, "developer");
    for one in [&owner, &developer] {
        one.client.post(&format!("{org}/switch"), &json!({})).expect(200);
    }
    let [owner, developer] = [&owner, &developer].map(|one| one.refreshed(rig));
    put(&owner.client, &format!("user:{}", developer.id), &hourly(7)).expect(200);
    let refused = put(&developer.client, "org", &hourly(9)).expect_problem(403, "permission-denied");
    assert!(refused["detail"].as_str().unwrap().contains("limits:write"), "{refused}");
    developer.client.get("/v1/limits/org").expect_problem(403, "permission-denied");
    assert_eq!(developer.client.get("/v1/limits").expect(200).json()["data"][0]["limit"], 7);
    put(&owner.client, &format!("user:{}", stranger.id), &hourly(1)).expect_problem(404, "not-found");
    owner.client.get(&format!("/v1/limits/user:{}", stranger.id)).expect_problem(404, "not-found");
    assert_eq!(stranger.client.get("/v1/limits").expect(200).json()["data"][0]["source"], "default");
}

fn a_fault_in_a_limit_is_told_with_its_place(rig: &Rig) {
    let user = person(rig);
    let tokens = |window: Value| json!({"unit": "tokens", "window": window, "limit": 1});
    for (limits, pointer) in [
        (json!([tokens(json!("week"))]), "/limits/0/window"),
        (json!([tokens(json!("concurrent"))]), "/limits/0/window"),
        (json!([tokens(json!("day")), tokens(json!("day"))]), "/limits/1"),
        (json!([tokens(json!({"seconds": 0}))]), "/limits/0/window/seconds"),
    ] {
        let problem = put(&user.client, "org", &limits).expect_problem(400, "invalid-request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    user.client.get("/v1/limits/team:1").expect_problem(404, "not-found");
    rig.edge.get("/v1/limits").expect_problem(401, "credential-missing");
    user.client.post("/v1/limits", &json!({})).expect_problem(405, "method-not-allowed");
}

/// A service's key, published, and a token that it signs for the edge.
fn service(scope: &str) -> (Value, String) {
    let key = SigningKey::from_slice(&[7; 32]).unwrap();
    let point = key.verifying_key().to_encoded_point(false);
    let [x, y] = [point.x().unwrap(), point.y().unwrap()].map(|coordinate| BASE64URL.encode(coordinate));
    let jwk = json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "s", "iss": "pool", "x": x, "y": y});
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let header = json!({"alg": "ES256", "kid": "s", "typ": "JWT"});
    let claims = json!({"iss": "pool", "sub": "pool-1", "aud": "https://edge.localhost", "scope": scope, "iat": now, "exp": now + 600});
    let [header, claims] = [header, claims].map(|part| BASE64URL.encode(part.to_string()));
    let input = format!("{header}.{claims}");
    let signature: Signature = key.sign(input.as_bytes());
    (json!({"keys": [jwk]}), format!("{input}.{}", BASE64URL.encode(signature.to_bytes())))
}

fn a_service_takes_from_limits(rig: &Rig) {
    let (keys, token) = service("limits:check");
    let edge = rig.edge_with(&[("SERVICE_KEYS".to_owned(), keys.to_string())]);
    let pool = Client::new(&edge.url).bearer(&token);
    let user = person(rig);
    let account = user.client.get("/auth/session").expect(200).json()["org_id"].as_str().unwrap().to_owned();
    let limit = json!({"name": "executions", "unit": "requests", "window": {"seconds": 3600}, "limit": 2});
    let wish = json!({"account": format!("org:{account}"), "subject": format!("pool:user:{}", user.id), "limits": [limit],
        "amounts": {"requests": 1}});
    for (allowed, remaining) in [(true, 1), (true, 0), (false, 0)] {
        let decision = pool.post("/v1/limits/check", &wish).expect(200).json();
        let standing = &decision["standings"][0];
        assert_eq!((&decision["allowed"], &standing["remaining"]), (&json!(allowed), &json!(remaining)), "{decision}");
        assert_eq!(decision["retry_after_ms"].is_null(), allowed, "{decision}");
    }
    let (_, without) = service("metrics");
    Client::new(&edge.url).bearer(&without).post("/v1/limits/check", &wish).expect_problem(403, "insufficient-scope");
    user.client.post("/v1/limits/check", &wish).expect_problem(401, "invalid-token");
}

fn reading_usage_is_limited(rig: &Rig) {
    let user = person(rig);
    let first = user.client.get("/v1/usage").expect(200);
    assert_eq!(
        (first.header("ratelimit-policy"), first.header("ratelimit")),
        (r#""usage";q=120;w=60"#, r#""usage";r=119;t=1"#)
    );
    let refused = (0..1000).map(|_| user.client.get("/v1/usage")).find(|answer| answer.status != 200).unwrap();
    let problem = refused.clone().expect_problem(429, "rate-limited");
    assert!(problem["detail"].as_str().unwrap().contains("`usage`"), "{problem}");
    assert_eq!((refused.header("retry-after"), refused.header("ratelimit")), ("1", r#""usage";r=0;t=1"#));
    call(&user.client, "usage").expect(200);
}
