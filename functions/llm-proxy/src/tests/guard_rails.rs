use super::*;

const ASK: &str = r#"{"model":"default","messages":[1]}"#;

fn asks(scene: &Scene, rules: &Value, request: Request) -> Result<Response, Problem> {
    let rules = serde_json::from_value(rules.clone()).unwrap();
    scene.run(scene.proxy.route(request, Caller { rules, ..caller() }, &scene.host.context()))
}

/// What a caller with these rules is told, before anything is reserved or sent.
fn refusal(scene: &Scene, rules: &Value, body: &str) -> (u16, Value) {
    let sent = scene.sent_count();
    let (status, _, error) = refused(asks(scene, rules, post(body.to_owned())).unwrap_err());
    assert_eq!((scene.sent_count(), scene.events().len()), (sent, 0));
    (status, error)
}

fn listed(scene: &Scene, rules: &Value) -> Vec<String> {
    let answer = asks(scene, rules, get("https://edge.test/v1/models")).unwrap();
    let listed: Value = serde_json::from_str(&text(scene, answer)).unwrap();
    listed["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_key_uses_and_sees_only_the_models_that_it_allows() {
    let scene = Scene::new();
    scene.provider_json(r#"{"choices":[]}"#);
    let rules = json!({"allowed_models": ["unpriced"]});
    let (status, error) = refusal(&scene, &rules, ASK);
    assert_eq!((status, &error["code"], &error["param"]), (403, &json!("model_not_allowed"), &json!("model")));
    assert!(error["message"].as_str().unwrap().contains("This API key does not allow the model `default`"));
    assert_eq!(refusal(&scene, &rules, r#"{"model":"unheard-of","messages":[1]}"#).0, 403, "nothing is told of it");
    assert_eq!(listed(&scene, &rules), ["unpriced"]);
    asks(&scene, &rules, post(r#"{"model":"unpriced","messages":[1]}"#)).unwrap();
}

#[test]
fn a_tier_allows_models_and_lengths_besides() {
    let scene = Scene::new();
    scene.database.lock().unwrap().models["tiers"] =
        json!({"T1": {"allowed_models": ["default"], "max_output_tokens": 20}, "T2": {"allowed_models": ["unpriced"]}});
    scene.provider_json(r#"{"choices":[]}"#);
    let free = json!({});
    assert_eq!(listed(&scene, &free), ["default"]);
    let (status, error) = refusal(&scene, &free, r#"{"model":"unpriced","messages":[1]}"#);
    assert!(status == 403 && error["message"].as_str().unwrap().contains("tier"), "{error}");
    let long = r#"{"model":"default","messages":[1],"max_tokens":21}"#;
    assert_eq!(refusal(&scene, &json!({"max_output_tokens": 100}), long).0, 400);
    asks(&scene, &json!({"max_output_tokens": 100}), post(ASK)).unwrap();
    assert!(scene.sent().text().starts_with(r#"{"max_tokens":20,"#));
}

#[test]
fn a_longer_answer_than_the_key_allows_is_refused_and_an_unlimited_one_is_limited() {
    let scene = Scene::new();
    scene.provider_json(r#"{"choices":[]}"#);
    let rules = json!({"max_output_tokens": 10});
    let (status, error) = refusal(&scene, &rules, r#"{"model":"default","messages":[1],"max_tokens":11}"#);
    assert_eq!((status, &error["code"], &error["param"]), (400, &json!("invalid_request"), &json!("max_tokens")));
    asks(&scene, &rules, post(ASK)).unwrap();
    assert_eq!(scene.sent().text(), r#"{"max_tokens":10,"model":"sim/large","messages":[1]}"#);
}

#[test]
fn no_more_is_reserved_than_the_key_allows() {
    let scene = Scene::new();
    scene.provider_json(r#"{"choices":[]}"#);
    let reserved = |rules: Value| {
        asks(&scene, &rules, post(ASK)).unwrap();
        let applied = scene.host.ledger.applied();
        let reserve =
            applied.iter().rev().flat_map(|(_, operations)| operations).find_map(|operation| match operation {
                quota::account::Operation::Reserve(reserve) => Some(reserve.amounts.tokens),
                _ => None,
            });
        reserve.unwrap()
    };
    assert_eq!(reserved(json!({"max_output_tokens": 10})), 10);
    assert_eq!(reserved(json!({})), 16_384);
}

#[test]
fn an_endpoint_that_the_key_does_not_allow_is_refused_and_the_models_are_listed_all_the_same() {
    let rules: LlmRules = serde_json::from_value(json!({"allowed_endpoints": ["/v1/embeddings"]})).unwrap();
    let problem = crate::guard_rails::check_endpoint(&rules, "/v1/chat/completions").unwrap_err();
    let (status, _, error) = refused(problem);
    assert_eq!((status, &error["code"]), (403, &json!("endpoint_not_allowed")));
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("may use /v1/embeddings, not /v1/chat/completions"), "{message}");
    assert!(crate::guard_rails::check_endpoint(&rules, "/v1/models").is_ok());
}
