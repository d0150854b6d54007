use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use conformance::{Client, Gate, Rig, marker};
use serde_json::{Value, json};

super::list![
    no_credential_is_told_apart_from_a_bad_one,
    a_bad_credential_is_refused_on_every_route_that_needs_one,
    two_credentials_are_refused,
    keys_of_supabase_are_no_credential_here,
    a_bad_credential_never_falls_through_to_a_weaker_mode,
    a_flood_of_forged_key_ids_causes_at_most_one_fetch,
    an_api_key_is_accepted_where_its_scope_reaches,
    a_revoked_api_key_is_refused,
];

/// Routes that need a caller: method, path.
const ROUTES: [(&str, &str); 10] = [
    ("GET", "/auth/session"),
    ("POST", "/auth/logout"),
    ("GET", "/v1/models"),
    ("GET", "/v1/usage"),
    ("GET", "/v1/usage/export"),
    ("GET", "/v1/models/default"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/responses"),
    ("POST", "/v1/messages"),
];

fn call(client: &Client, method: &str, path: &str, headers: &[(&str, &str)]) -> conformance::Answer {
    let body = (method == "POST").then(|| Rig::chat(&marker("credential"), &json!({}), false).to_string().into_bytes());
    let headers: Vec<_> = headers.iter().copied().chain([("content-type", "application/json")]).collect();
    client.send(method, path, &headers, body)
}

fn no_credential_is_told_apart_from_a_bad_one(rig: &Rig) {
    for (method, path) in ROUTES {
        let none = call(&rig.edge, method, path, &[]).expect(401);
        assert!(none.header("www-authenticate").starts_with("Bearer"), "{path}");
        assert!(!none.header("www-authenticate").contains("error="), "{path}");
        let bad = call(&rig.edge.bearer("nonsense"), method, path, &[]).expect(401);
        assert!(bad.header("www-authenticate").contains(r#"error="invalid_token""#), "{path}");
    }
}

/// Variations of a good token, each of which must be worth nothing.
fn bad_tokens(good: &str) -> Vec<String> {
    let parts: Vec<_> = good.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    let decode = |part: &str| serde_json::from_slice::<Value>(&BASE64URL.decode(part).unwrap()).unwrap();
    let encode = |value: &Value| BASE64URL.encode(value.to_string());
    let with = |part: &str, name: &str, value: Value| {
        let mut changed = decode(part);
        changed[name] = value;
        encode(&changed)
    };
    vec![
        String::new(),
        "null".into(),
        "undefined".into(),
        ".".into(),
        "..".into(),
        format!("{header}.{claims}"),
        format!("{header}.{claims}."),
        format!("{header}.{claims}.{signature}.{signature}"),
        format!("{header}.{claims}.{signature}="),
        format!("{header}.{claims}.{signature}A"),
        format!(" {good}"),
        format!("{header}.{}.{signature}", with(claims, "sub", json!("00000000-0000-4000-8000-000000000000"))),
        format!("{header}.{}.{signature}", with(claims, "role", json!("service_role"))),
        format!("{header}.{}.{signature}", with(claims, "exp", json!(4_102_444_800_u64))),
        format!("{}.{claims}.", with(header, "alg", json!("none"))),
        format!("{}.{claims}.{signature}", with(header, "alg", json!("HS256"))),
        format!("{}.{claims}.{signature}", with(header, "alg", json!("RS256"))),
        format!("{}.{claims}.{signature}", with(header, "crit", json!(["exp"]))),
        format!("{}.{claims}.{signature}", with(header, "jwk", json!({"kty": "EC"}))),
        format!("{header}.{claims}.{}", BASE64URL.encode([0; 64])),
        format!("{header}.{claims}.{}", "A".repeat(9000)),
        "qlp_live_zzzzzzzzzzzzzzzzzzzzzzzzzzz29ePfO".into(),
        "qlp_test_000".into(),
    ]
}

fn a_bad_credential_is_refused_on_every_route_that_needs_one(rig: &Rig) {
    for token in bad_tokens(&rig.stack.demo.access_token) {
        for (method, path) in [("GET", "/auth/session"), ("POST", "/v1/chat/completions")] {
            let answer = call(&rig.edge.bearer(&token), method, path, &[]);
            assert_eq!(answer.status, 401, "{token:?} on {path}: {}", answer.text());
            assert!(token.len() < 20 || !answer.text().contains(&token), "the answer repeats the credential");
        }
    }
}

fn two_credentials_are_refused(rig: &Rig) {
    for second in [("x-api-key", "qlp_test_000"), ("cookie", "__Host-qlp_session=abc")] {
        let answer = call(&rig.user(), "GET", "/auth/session", &[second]);
        assert!([400, 401].contains(&answer.status), "{second:?}: {}", answer.status);
    }
}

fn keys_of_supabase_are_no_credential_here(rig: &Rig) {
    for key in [&rig.stack.supabase.secret_key, &rig.stack.supabase.publishable_key] {
        call(&rig.edge.bearer(key), "GET", "/auth/session", &[]).expect_problem(401, "invalid-token");
    }
}

fn a_bad_credential_never_falls_through_to_a_weaker_mode(rig: &Rig) {
    for scheme in ["Basic dXNlcjpwYXNz", "bearer", "Bearer", "Token abc", "Bearer a b", "Negotiate x"] {
        let answer = call(&rig.edge, "GET", "/auth/session", &[("authorization", scheme)]);
        assert_eq!(answer.status, 401, "{scheme:?}: {}", answer.text());
    }
    let good = format!("bEaReR {}", rig.stack.demo.access_token);
    call(&rig.edge, "GET", "/auth/session", &[("authorization", &good)]).expect(200);
}

fn a_flood_of_forged_key_ids_causes_at_most_one_fetch(rig: &Rig) {
    let issuer = format!("{}/auth/v1", rig.stack.supabase.url);
    let gate = Gate::to(&rig.stack.supabase.url);
    let keys = format!("{}/auth/v1/.well-known/jwks.json", gate.url);
    let edge = rig.edge_with(&[("SUPABASE_JWKS_URL".into(), keys), ("SUPABASE_JWT_ISSUER".into(), issuer)]);
    let edge = Client::new(&edge.url);
    edge.bearer(&rig.stack.demo.access_token).get("/auth/session").expect(200);
    assert_eq!(gate.asked(), 1);
    let began = Instant::now();
    let parts: Vec<_> = rig.stack.demo.access_token.split('.').collect();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (parts, edge) = (&parts, &edge);
            scope.spawn(move || {
                for number in 0..125 {
                    let header = BASE64URL.encode(
                        json!({"alg": "ES256", "typ": "JWT", "kid": format!("forged-{thread}-{number}")}).to_string(),
                    );
                    let token = format!("{header}.{}.{}", parts[1], parts[2]);
                    edge.bearer(&token).get("/auth/session").expect_problem(401, "invalid-token");
                }
            });
        }
    });
    // One per 30 seconds that have begun: on a busy machine the flood lasts longer than that.
    let (fetches, allowed) = (gate.asked() - 1, 1 + began.elapsed().as_secs() / 30);
    assert!(fetches <= allowed, "{fetches} fetches in {:?}", began.elapsed());
}

fn an_api_key_is_accepted_where_its_scope_reaches(rig: &Rig) {
    let key = rig.user().post("/auth/keys", &json!({"name": "conformance", "scopes": ["llm"]})).expect(201).json();
    let secret = key["key"].as_str().unwrap();
    let client = rig.edge.bearer(secret);
    let marker = marker("api-key");
    let body = Rig::chat(&marker, &json!({}), false).to_string().into_bytes();
    let headers = [("content-type", "application/json"), ("x-request-id", marker.as_str())];
    client.send("POST", "/v1/chat/completions", &headers, Some(body)).expect(200);
    assert_eq!(rig.usage_row(&marker)["api_key_id"], key["id"]);
    rig.edge.send("GET", "/v1/models", &[("x-api-key", secret)], None).expect(200);
    client.get("/v1/usage").expect_problem(403, "insufficient-scope");
    let listed = rig.user().get("/auth/keys").expect(200);
    assert!(!listed.text().contains(secret), "a secret is shown once");
    assert!(listed.json()["data"].as_array().unwrap().iter().any(|listed| listed["id"] == key["id"]));
}

fn a_revoked_api_key_is_refused(rig: &Rig) {
    let key = rig.user().post("/auth/keys", &json!({"name": "to revoke", "scopes": ["llm"]})).expect(201).json();
    let path = format!("/auth/keys/{}", key["id"].as_str().unwrap());
    assert!(rig.user().send("DELETE", &path, &[], None).expect(204).body.is_empty());
    rig.edge.bearer(key["key"].as_str().unwrap()).get("/v1/models").expect(401);
}
