use http::HeaderMap;
use secrecy::ExposeSecret;
use token::Authenticator;
use token::api_key::{self, Environment};

use super::*;

const KEY_ID: Uuid = Uuid::from_u128(8);
const ORG: Uuid = Uuid::from_u128(9);

fn with_headers(headers: &HeaderMap) -> token::Sent<'_> {
    token::Sent { method: &http::Method::POST, headers, address: None }
}

/// Somebody with an API key of these scopes.
fn key_holder(scene: &Scene, scopes: &[&str]) -> token::Caller {
    scene.host.variables.set("API_KEY_PEPPER", &"0f".repeat(32));
    let key = api_key::generate(Environment::Test, &scene.host.entropy);
    let headers = HeaderMap::from_iter([(
        http::header::HeaderName::from_static("x-api-key"),
        key.expose_secret().parse().unwrap(),
    )]);
    let found = json!({"key_id": KEY_ID, "user_id": USER, "org_id": ORG, "roles": ["developer"], "tier": "T1", "pepper_version": 1, "scopes": scopes});
    scene.host.http.reply_json(200, found.to_string());
    let authenticator = Authenticator::new(scene.run(token::Config::load(&scene.host.variables)).unwrap());
    scene.run(authenticator.authenticate(with_headers(&headers), &scene.host.context())).unwrap()
}

#[test]
fn the_event_names_user_organization_key_and_request() {
    let scene = Scene::new();
    scene.provider_json(r#"{"choices":[]}"#);
    let caller = key_holder(&scene, &["llm"]);
    let context = scene.host.context();
    let mut request = post(r#"{"model":"default","messages":[1]}"#);
    request.extensions_mut().insert(super::caller().payer.request);
    scene.run(scene.proxy.handle(request, &caller, &context)).unwrap();
    let event = scene.event();
    assert_eq!(
        ["user_id", "org_id", "api_key_id", "request_id"].map(|name| event[name].clone()),
        [json!(USER), json!(ORG), json!(KEY_ID), json!("request-1")]
    );
}

#[test]
fn a_key_without_the_scope_is_refused() {
    let scene = Scene::new();
    scene.provider_json("{}");
    let context = scene.host.context();
    for (scope, uri) in [("usage:read", "https://edge.test/v1/models"), ("llm", "https://edge.test/v1/usage")] {
        let caller = key_holder(&scene, &[scope]);
        let problem = scene.run(scene.proxy.handle(get(uri), &caller, &context)).unwrap_err();
        assert_eq!(problem.kind().slug, "insufficient-scope");
    }
    let caller = key_holder(&scene, &["llm"]);
    assert!(scene.run(scene.proxy.handle(get("https://edge.test/v1/models"), &caller, &context)).is_ok());
}

#[test]
fn a_key_reads_usage_as_its_user_with_a_token_of_its_own() {
    let scene = Scene::new();
    scene.provider_json("{}");
    scene.host.variables.set("SUPABASE_JWT_SECRET", "a legacy secret of 32 bytes, at least");
    let caller = key_holder(&scene, &["usage:read"]);
    let context = scene.host.context();
    scene.run(scene.proxy.handle(get("https://edge.test/v1/usage"), &caller, &context)).unwrap();
    let sent = scene.host.http.requests().pop().unwrap();
    assert_eq!(sent.uri.path(), "/rest/v1/rpc/usage_summary");
    assert_eq!(sent.header("apikey"), Some("sb_publishable_x"));
    let token = sent.header("authorization").unwrap().strip_prefix("Bearer ").unwrap();
    let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap())]);
    let authenticator = Authenticator::new(scene.run(token::Config::load(&scene.host.variables)).unwrap());
    let user = scene.run(authenticator.authenticate(with_headers(&headers), &context)).unwrap();
    assert_eq!((user.principal.user_id, user.principal.org_id), (USER, Some(ORG)));
    assert_eq!((&*user.principal.scopes, user.principal.key_id), (&["usage:read".to_owned()][..], Some(KEY_ID)));
}

#[test]
fn without_a_key_to_sign_with_a_key_reads_no_usage() {
    let scene = Scene::new();
    scene.provider_json("{}");
    let caller = key_holder(&scene, &["usage:read"]);
    let asked = scene.host.http.requests().len();
    let problem = scene.run(scene.proxy.handle(get("https://edge.test/v1/usage"), &caller, &scene.host.context()));
    let problem = problem.unwrap_err();
    assert_eq!(problem.kind().slug, "permission-denied");
    assert!(problem.message().contains("access token"));
    assert_eq!(scene.host.http.requests().len(), asked, "nothing is asked");
}
