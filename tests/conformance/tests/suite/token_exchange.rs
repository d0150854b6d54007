use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use conformance::{Answer, Client, Rig, marker, wait_until};
use serde_json::{Value, json};

super::list![
    the_edge_publishes_its_public_keys_and_nothing_else,
    an_api_key_becomes_a_token_that_reads_only_its_user_s_rows,
    an_access_token_becomes_a_narrower_one,
    an_exchanged_token_is_a_credential_with_its_scopes_and_no_more,
    an_exchanged_token_manages_no_keys_and_ends_no_session,
    an_exchanged_token_does_nothing_to_the_account_at_supabase_itself,
    a_token_for_a_service_is_signed_by_a_published_key_and_is_no_credential_here,
    a_user_can_act_for_another,
    each_fault_has_the_word_of_its_rfc,
    a_bad_subject_is_refused_whatever_is_wrong_with_it,
    a_bad_client_credential_is_refused_and_a_good_one_is_not,
    a_key_reads_its_user_s_usage_and_no_one_else_s,
];

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const API_KEY: &str = "urn:qlp:params:oauth:token-type:api-key";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

fn post(client: &Client, parameters: &[(&str, &str)]) -> Answer {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(parameters);
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    client.send("POST", "/auth/token", &headers, Some(body.finish().into_bytes()))
}

/// Exchanges `token`, with further parameters.
fn exchange(rig: &Rig, token: &str, kind: &str, more: &[(&str, &str)]) -> Answer {
    let parameters = [("grant_type", GRANT), ("subject_token", token), ("subject_token_type", kind)];
    post(&rig.edge, &[&parameters[..], more].concat())
}

fn refused(answer: Answer, status: u16, word: &str) {
    let body = answer.expect(status).json();
    assert_eq!(body["error"], word, "{body}");
}

fn new_key(rig: &Rig, token: &str, scopes: &[&str]) -> String {
    let made = rig.edge.bearer(token).post("/auth/keys", &json!({"name": "exchange", "scopes": scopes}));
    made.expect(201).json()["key"].as_str().unwrap().to_owned()
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_else(|| panic!("no {member} in {value}")).to_owned()
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(&BASE64URL.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

fn the_edge_publishes_its_public_keys_and_nothing_else(rig: &Rig) {
    let answer = rig.edge.get("/.well-known/jwks.json").expect(200);
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let keys = answer.json()["keys"].as_array().unwrap().clone();
    assert!(!keys.is_empty());
    for key in &keys {
        let members: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    }
    for edge in rig.stack.edges.values() {
        let other = Client::new(&edge.url).get("/.well-known/jwks.json").expect(200);
        assert_eq!(other.json(), answer.json(), "the same on every host");
    }
    let listed = rig.supabase().get("/auth/v1/.well-known/jwks.json");
    let ids: Vec<_> = listed["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect();
    assert!(ids.contains(&keys[0]["kid"]), "Supabase knows it too: {ids:?}");
    let refused = rig.edge.send("POST", "/.well-known/jwks.json", &[], None).expect(405);
    assert_eq!(refused.header("allow"), "GET, HEAD");
}

fn an_api_key_becomes_a_token_that_reads_only_its_user_s_rows(rig: &Rig) {
    let (_, session) = rig.new_user();
    let key = new_key(rig, &text(&session, "access_token"), &["llm", "usage:read"]);
    let answer = exchange(rig, &key, API_KEY, &[]).expect(200);
    assert!(answer.header("cache-control").contains("no-store"));
    let issued = answer.json();
    assert_eq!(
        (&issued["token_type"], &issued["expires_in"], &issued["scope"], &issued["issued_token_type"]),
        (&json!("Bearer"), &json!(300), &json!("llm usage:read"), &json!(ACCESS_TOKEN))
    );
    let token = text(&issued, "access_token");
    assert_eq!(claims(&token)["sub"], session["user"]["id"]);
    let authorization = format!("Bearer {token}");
    let headers = [
        ("apikey", rig.stack.supabase.publishable_key.as_str()),
        ("authorization", authorization.as_str()),
        ("accept-profile", "public"),
    ];
    // As the user, in the real database: row level security shows one person and one personal organization.
    for table in ["users", "organizations"] {
        let rows = rig.supabase().get_with(&format!("/rest/v1/{table}?select=*"), &headers);
        assert_eq!(rows.as_array().map(Vec::len), Some(1), "{table}: {rows}");
    }
    let users = rig.supabase().get_with("/rest/v1/users?select=*", &headers);
    assert_eq!(users[0]["id"], session["user"]["id"]);
}

fn an_access_token_becomes_a_narrower_one(rig: &Rig) {
    let mine = &rig.stack.demo.access_token;
    for kind in [ACCESS_TOKEN, JWT] {
        let more = [("scope", "usage:read"), ("audience", "authenticated"), ("requested_token_type", JWT)];
        let issued = exchange(rig, mine, kind, &more).expect(200).json();
        assert_eq!((&issued["scope"], &issued["issued_token_type"]), (&json!("usage:read"), &json!(JWT)));
        let narrow = text(&issued, "access_token");
        refused(exchange(rig, &narrow, JWT, &[("scope", "llm")]), 400, "invalid_scope");
        let again = exchange(rig, &narrow, JWT, &[]).expect(200).json();
        assert_eq!(again["scope"], "usage:read");
        let (before, after) = (claims(&narrow), claims(&text(&again, "access_token")));
        assert!(after["exp"].as_i64() <= before["exp"].as_i64() && after["jti"] != before["jti"]);
        assert_eq!(after["app_metadata"], before["app_metadata"]);
    }
}

fn an_exchanged_token_is_a_credential_with_its_scopes_and_no_more(rig: &Rig) {
    let key = new_key(rig, &rig.stack.demo.access_token, &["llm", "usage:read"]);
    let issued = exchange(rig, &key, API_KEY, &[("scope", "llm")]).expect(200).json();
    let client = rig.edge.bearer(&text(&issued, "access_token"));
    let session = client.get("/auth/session").expect(200).json();
    assert_eq!((&session["method"], &session["scopes"]), (&json!("exchanged_token"), &json!(["llm"])));
    assert!(session["key_id"].is_string() && session["session_id"].is_null(), "{session}");
    client.get("/v1/models").expect(200);
    client.get("/v1/usage").expect_problem(403, "insufficient-scope");
}

fn an_exchanged_token_manages_no_keys_and_ends_no_session(rig: &Rig) {
    for (token, kind) in [
        (new_key(rig, &rig.stack.demo.access_token, &["llm"]), API_KEY),
        (rig.stack.demo.access_token.clone(), ACCESS_TOKEN),
    ] {
        let issued = exchange(rig, &token, kind, &[]).expect(200).json();
        let token = text(&issued, "access_token");
        let client = rig.edge.bearer(&token);
        let wish = json!({"name": "more", "scopes": ["webhooks"]});
        client.post("/auth/keys", &wish).expect_problem(403, "permission-denied");
        client.get("/auth/keys").expect_problem(403, "permission-denied");
        client.send("POST", "/auth/logout", &[], None).expect_problem(403, "permission-denied");
    }
}

/// The edge is not the only one who accepts the token: what it must not do there is refused there.
fn an_exchanged_token_does_nothing_to_the_account_at_supabase_itself(rig: &Rig) {
    let key = new_key(rig, &rig.stack.demo.access_token, &["llm"]);
    let token = text(&exchange(rig, &key, API_KEY, &[]).expect(200).json(), "access_token");
    let authorization = format!("Bearer {token}");
    let headers = [("apikey", rig.stack.supabase.publishable_key.as_str()), ("authorization", authorization.as_str())];
    let refusal = rig.supabase().get_with("/auth/v1/user", &headers);
    assert_eq!(refusal["error_code"], "bad_jwt", "{refusal}");
    let wish = json!({"payload": {"name": "more", "digest": "00".repeat(32), "pepper_version": 1, "prefix": "qlp_test_ab",
        "scopes": ["webhooks"]}});
    let refusal = rig.supabase().post_with(
        "/rest/v1/rpc/create_key",
        &[&headers[..], &[("content-profile", "api")]].concat(),
        &wish,
    );
    assert_eq!(refusal["code"], "PT403", "{refusal}");
}

fn a_token_for_a_service_is_signed_by_a_published_key_and_is_no_credential_here(rig: &Rig) {
    let issued = exchange(rig, &rig.stack.demo.access_token, JWT, &[("audience", "pool")]).expect(200).json();
    let token = text(&issued, "access_token");
    let header: Value = serde_json::from_slice(&BASE64URL.decode(token.split('.').next().unwrap()).unwrap()).unwrap();
    let keys = rig.edge.get("/.well-known/jwks.json").json();
    assert_eq!((&header["kid"], &header["typ"]), (&keys["keys"][0]["kid"], &json!("at+jwt")));
    let claims = claims(&token);
    assert_eq!((&claims["aud"], &claims["iss"]), (&json!("pool"), &json!("https://edge.localhost")));
    assert!(claims.get("role").is_none() && claims["org_id"].is_string(), "{claims}");
    rig.edge.bearer(&token).get("/auth/session").expect_problem(401, "invalid-token");
    refused(exchange(rig, &token, JWT, &[]), 400, "invalid_request");
}

fn a_user_can_act_for_another(rig: &Rig) {
    let (_, actor) = rig.new_user();
    let actor_token = text(&actor, "access_token");
    let act = [("actor_token", actor_token.as_str()), ("actor_token_type", ACCESS_TOKEN)];
    let mut token = rig.stack.demo.access_token.clone();
    for _ in 0..2 {
        token = text(&exchange(rig, &token, JWT, &act).expect(200).json(), "access_token");
    }
    let id = &actor["user"]["id"];
    assert_eq!(claims(&token)["act"], json!({"sub": id, "act": {"sub": id}}));
    assert_eq!(rig.edge.bearer(&token).get("/auth/session").expect(200).json()["actors"], json!([id, id]));
    refused(exchange(rig, &token, JWT, &act), 400, "invalid_request");
}

fn each_fault_has_the_word_of_its_rfc(rig: &Rig) {
    let mine = &rig.stack.demo.access_token;
    for (more, word) in [
        (&[("scope", "root")][..], "invalid_scope"),
        (&[("scope", "llm  usage:read")], "invalid_scope"),
        (&[("audience", "nobody")], "invalid_target"),
        (&[("audience", "pool"), ("audience", "pool")], "invalid_target"),
        (&[("resource", "https://service.test")], "invalid_target"),
        (&[("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token")], "invalid_request"),
        (&[("actor_token", mine)], "invalid_request"),
        (&[("actor_token_type", JWT)], "invalid_request"),
        (&[("actor_token", "x"), ("actor_token_type", JWT)], "invalid_request"),
        (&[("subject_token", mine)], "invalid_request"),
        (&[("scope", "llm"), ("scope", "llm")], "invalid_request"),
    ] {
        refused(exchange(rig, mine, JWT, more), 400, word);
    }
    refused(post(&rig.edge, &[("grant_type", "password")]), 400, "unsupported_grant_type");
    refused(post(&rig.edge, &[]), 400, "invalid_request");
    refused(post(&rig.edge, &[("grant_type", GRANT)]), 400, "invalid_request");
    refused(post(&rig.edge, &[("grant_type", GRANT), ("subject_token", mine)]), 400, "invalid_request");
    refused(rig.edge.post("/auth/token", &json!({"grant_type": GRANT})), 415, "invalid_request");
    refused(rig.edge.get("/auth/token"), 405, "invalid_request");
    let long = "x".repeat(20_000);
    refused(exchange(rig, &long, JWT, &[]), 413, "invalid_request");
}

fn a_bad_subject_is_refused_whatever_is_wrong_with_it(rig: &Rig) {
    let mine = &rig.stack.demo.access_token;
    let (signed, _) = mine.rsplit_once('.').unwrap();
    let key = new_key(rig, mine, &["llm"]);
    for (token, kind) in [
        ("garbage", JWT),
        (&*format!("{signed}.{}", BASE64URL.encode([1; 64])), JWT),
        (mine, API_KEY),
        (&*key, ACCESS_TOKEN),
        ("qlp_live_zzzzzzzzzzzzzzzzzzzzzzzzzzz29ePfO", API_KEY),
        ("qlp_test_000", API_KEY),
        (&*rig.stack.supabase.secret_key, ACCESS_TOKEN),
        (mine, "urn:ietf:params:oauth:token-type:saml2"),
    ] {
        let answer = exchange(rig, token, kind, &[]);
        assert!(token.len() < 20 || !answer.text().contains(token), "the answer repeats the credential");
        refused(answer, 400, "invalid_request");
    }
}

fn a_bad_client_credential_is_refused_and_a_good_one_is_not(rig: &Rig) {
    let mine = &rig.stack.demo.access_token;
    let parameters = [("grant_type", GRANT), ("subject_token", mine), ("subject_token_type", JWT)];
    for bad in ["garbage", "qlp_test_000"] {
        let answer = post(&rig.edge.bearer(bad), &parameters);
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{}", answer.text());
        refused(answer, 401, "invalid_client");
    }
    for name in ["client_secret", "client_assertion"] {
        refused(exchange(rig, mine, JWT, &[(name, "x")]), 401, "invalid_client");
    }
    post(&rig.user(), &parameters).expect(200);
}

fn a_key_reads_its_user_s_usage_and_no_one_else_s(rig: &Rig) {
    let (_, session) = rig.new_user();
    let key = rig.edge.bearer(&new_key(rig, &text(&session, "access_token"), &["llm", "usage:read"]));
    assert_eq!(key.get("/v1/usage").expect(200).json()["total"]["requests"], 0, "others' calls are not mine");
    key.post("/v1/chat/completions", &Rig::chat(&marker("key"), &json!({"tokens": 5}), false)).expect(200);
    let total = wait_until("the call is counted", || {
        let total = key.get("/v1/usage").expect(200).json()["total"].clone();
        (total["requests"] == 1).then_some(total)
    });
    assert_eq!(total["output_tokens"], 5, "{total}");
}
