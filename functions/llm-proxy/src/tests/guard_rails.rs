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

#[test]
fn the_endpoints_of_rules_are_those_that_there_are() {
    let mut paths = crate::endpoint::Endpoint::ALL.map(|endpoint| format!("/v1{}", endpoint.below_base()));
    paths.sort();
    assert_eq!(paths.as_slice(), token::LLM_ENDPOINTS);
}

#[test]
fn a_model_is_found_only_if_it_is_listed() {
    let scene = Scene::new();
    scene.provider_json("{}");
    let rules = json!({"allowed_models": ["unpriced"]});
    let found = |alias: &str| asks(&scene, &rules, get(&format!("https://edge.test/v1/models/{alias}")));
    assert_eq!(found("unpriced").unwrap().status(), 200);
    assert_eq!(refused(found("default").unwrap_err()).0, 404);
}

#[test]
fn at_every_endpoint_models_are_allowed_and_answers_held_to_their_length() {
    for (path, member, asked) in [
        ("/v1/chat/completions", "max_tokens", r#""messages":[1]"#),
        ("/v1/responses", "max_output_tokens", r#""input":"x""#),
        ("/v1/messages", "max_tokens", r#""messages":[1]"#),
    ] {
        let scene = Scene::new();
        scene.provider_json("{}");
        let rules = json!({"allowed_models": ["default"], "max_output_tokens": 10});
        let ask = |members: &str| asks(&scene, &rules, post_to(path, format!("{{{members},{asked}}}")));
        let (status, _, error) = refused(ask(r#""model":"unpriced""#).unwrap_err());
        assert_eq!((status, &error["code"]), (403, &json!("model_not_allowed")), "{path}");
        let (status, _, error) = refused(ask(&format!(r#""model":"default","{member}":11"#)).unwrap_err());
        assert_eq!((status, &error["param"]), (400, &json!(member)), "{path}");
        assert_eq!(scene.sent_count(), 0);
        let _ = ask(r#""model":"default""#);
        let sent =
            scene.host.http.requests().into_iter().find(|sent| sent.uri.host() == Some("simulator.test")).unwrap();
        assert_eq!(sent.text(), format!(r#"{{"{member}":10,"model":"sim/large",{asked}}}"#), "{path}");
    }
}

#[test]
fn embeddings_have_no_length_to_hold() {
    let scene = Scene::new();
    scene.provider_json(r#"{"data":[]}"#);
    let body = r#"{"model":"default","input":"x","max_tokens":99}"#;
    asks(&scene, &json!({"max_output_tokens": 10}), post_to("/v1/embeddings", body)).unwrap();
    assert_eq!(scene.sent().text(), body.replace("default", "sim/large"));
    let refusal = asks(&scene, &json!({"allowed_models": ["unpriced"]}), post_to("/v1/embeddings", body)).unwrap_err();
    assert_eq!(refused(refusal).0, 403);
}

/// What `provider` is sent for a completion by a caller who is held to so many tokens.
fn held(provider: &str, variables: &[(&str, &str)], longest: Option<u64>, most: u64) -> Value {
    let scene = Scene::with(variables);
    let route = json!({"provider": provider, "model": "m", "max_output_tokens": longest});
    scene.database.lock().unwrap().models =
        json!({"models": [{"alias": "default", "created": 1, "owned_by": "qlp", "routes": [route]}]});
    scene.provider_json("{}");
    let body = r#"{"model":"default","messages":[{"role":"user","content":"x"}]}"#;
    let _ = asks(&scene, &json!({"max_output_tokens": most}), post(body));
    let mut requests = scene.host.http.requests();
    requests.retain(|request| request.uri.host() != Some("project.test"));
    serde_json::from_str(requests[0].text()).unwrap()
}

#[test]
fn every_provider_is_told_the_length_in_its_own_words() {
    let bedrock = [("AWS_BEARER_TOKEN_BEDROCK", "b-key"), ("AWS_REGION", "us-east-1")];
    let anthropic = [("ANTHROPIC_API_KEY", "a-key")];
    let azure = [("AZURE_OPENAI_ENDPOINT", "http://azure.test"), ("AZURE_OPENAI_API_KEY", "a-key")];
    assert_eq!(held("bedrock", &bedrock, None, 10)["inferenceConfig"]["maxTokens"], 10);
    assert_eq!(held("bedrock", &bedrock, Some(5), 10)["inferenceConfig"].get("maxTokens"), None);
    assert_eq!(held("anthropic", &anthropic, None, 10)["max_tokens"], 10);
    assert_eq!(held("anthropic", &anthropic, Some(5), 10)["max_tokens"], 5);
    assert_eq!(held("azure", &azure, None, 10)["max_completion_tokens"], 10);
    assert_eq!(held("openai", &[("OPENAI_API_KEY", "o-key")], None, 10)["max_completion_tokens"], 10);
    assert_eq!(held("together", &[("TOGETHER_API_KEY", "t-key")], None, 10)["max_tokens"], 10);
    assert_eq!(held("ollama", &[("OLLAMA_URL", "http://ollama.test")], None, 10)["max_tokens"], 10);
}
