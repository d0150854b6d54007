use std::net::TcpListener;

use conformance::{Client, Gate, Rig, marker};
use local_stack::{Error, Host};
use serde_json::json;

super::list![
    an_unreachable_supabase_is_a_503_and_health_goes_on,
    an_unreachable_jwks_is_a_503_and_never_a_401,
    an_unreachable_provider_is_a_502_or_503,
    a_missing_variable_is_named_in_the_log_and_not_in_the_answer,
    a_faulty_variable_is_named_in_the_log_and_not_in_the_answer,
    with_a_known_token_and_a_warm_catalogue_nothing_is_asked_before_the_provider,
];

/// An address that refuses connections.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Verification works without the network: the keys and the issuer are given inline.
fn inline_keys(rig: &Rig) -> [(String, String); 2] {
    let keys = rig.supabase().get("/auth/v1/.well-known/jwks.json");
    [
        ("SUPABASE_JWKS".into(), keys.to_string()),
        ("SUPABASE_JWT_ISSUER".into(), format!("{}/auth/v1", rig.stack.supabase.url)),
    ]
}

fn an_unreachable_supabase_is_a_503_and_health_goes_on(rig: &Rig) {
    let [keys, issuer] = inline_keys(rig);
    let edge = rig.edge_with(&[("SUPABASE_URL".into(), nobody()), keys, issuer]);
    let client = Client::new(&edge.url);
    client.get("/healthz").expect(200);
    assert_eq!(client.get("/readyz").expect(503).json()["dependencies"]["supabase"]["status"], "unreachable");
    client
        .post("/auth/login", &json!({"email": "a@example.com", "password": "x"}))
        .expect_problem(503, "upstream-unavailable");
    let user = client.bearer(&rig.stack.demo.access_token);
    user.get("/auth/session").expect(200);
    let answer = user.post("/v1/chat/completions", &Rig::chat(&marker("down"), &json!({}), false));
    answer.expect_openai_error(503, "upstream_unavailable");
    user.get("/v1/usage").expect_problem(503, "upstream-unavailable");
}

fn an_unreachable_jwks_is_a_503_and_never_a_401(rig: &Rig) {
    let issuer = format!("{}/auth/v1", rig.stack.supabase.url);
    let edge = rig.edge_with(&[("SUPABASE_JWKS_URL".into(), nobody()), ("SUPABASE_JWT_ISSUER".into(), issuer)]);
    let answer = Client::new(&edge.url).bearer(&rig.stack.demo.access_token).get("/auth/session");
    assert!(!answer.header("retry-after").is_empty());
    answer.expect_problem(503, "upstream-unavailable");
    Client::new(&edge.url).bearer("nonsense").get("/auth/session").expect_problem(401, "invalid-token");
}

fn an_unreachable_provider_is_a_502_or_503(rig: &Rig) {
    let edge = rig.edge_with(&[("LLM_SIMULATOR_URL".into(), nobody())]);
    let user = Client::new(&edge.url).bearer(&rig.stack.demo.access_token);
    for stream in [false, true] {
        let answer = user.post("/v1/chat/completions", &Rig::chat(&marker("no-provider"), &json!({}), stream));
        assert!([502, 503].contains(&answer.status), "{}", answer.text());
        assert_eq!(answer.json()["error"]["type"], "server_error");
    }
}

fn a_missing_variable_is_named_in_the_log_and_not_in_the_answer(rig: &Rig) {
    let missing = [("SUPABASE_SECRET_KEY".to_owned(), String::new())];
    if rig.kind == Host::Spin {
        // The manifest requires it, so the host itself does not start, and says why.
        let Err(Error::Process { log, .. }) = rig.launcher.start(rig.kind, 0, &missing) else { panic!("it started") };
        let log = std::fs::read_to_string(log).unwrap();
        assert!(log.to_uppercase().contains("SUPABASE_SECRET_KEY"), "{log}");
        return;
    }
    is_misconfigured(rig, &missing);
}

fn a_faulty_variable_is_named_in_the_log_and_not_in_the_answer(rig: &Rig) {
    is_misconfigured(rig, &[("ALLOWED_ORIGINS".to_owned(), "*".to_owned())]);
}

fn is_misconfigured(rig: &Rig, overrides: &[(String, String); 1]) {
    let [(name, _)] = overrides;
    let edge = rig.edge_with(overrides);
    let client = Client::new(&edge.url);
    client.get("/healthz").expect(200);
    let answer = client.post("/auth/login", &json!({"email": "a@example.com", "password": "x"}));
    assert!(!answer.text().contains(name.as_str()), "{}", answer.text());
    answer.expect_problem(503, "misconfigured");
    assert!(edge.log().contains(name.as_str()), "{}", edge.log());
}

fn with_a_known_token_and_a_warm_catalogue_nothing_is_asked_before_the_provider(rig: &Rig) {
    let gate = Gate::to(&rig.stack.supabase.url);
    let issuer = format!("{}/auth/v1", rig.stack.supabase.url);
    let edge = rig.edge_with(&[("SUPABASE_URL".into(), gate.url.clone()), ("SUPABASE_JWT_ISSUER".into(), issuer)]);
    let user = Client::new(&edge.url).bearer(&rig.stack.demo.access_token);
    let complete = |stream| user.post("/v1/chat/completions", &Rig::chat(&marker("warm"), &json!({}), stream));
    complete(false).expect(200);
    gate.close();
    user.get("/readyz").expect(503); // Supabase hangs
    for stream in [false, true] {
        complete(stream).expect(200);
    }
}
