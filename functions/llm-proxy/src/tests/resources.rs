use super::*;

#[test]
fn models_are_listed_as_openai_lists_them_and_only_those_that_can_be_called() {
    let scene = Scene::new();
    scene.provider_json("{}");
    let answer = scene.call(get("https://edge.test/v1/models")).unwrap();
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
    let list: Value = serde_json::from_str(&text(&scene, answer)).unwrap();
    assert_eq!(
        list,
        json!({"object": "list", "data": [
            {"id": "default", "object": "model", "created": 1_700_000_000, "owned_by": "qlp"},
            {"id": "unpriced", "object": "model", "created": 1_700_000_002, "owned_by": "qlp"},
        ]})
    );
}

#[test]
fn usage_is_asked_for_as_the_user() {
    let scene = Scene::new();
    scene.provider_json("{}");
    let answer = scene.call(get("https://edge.test/v1/usage?from=2026-01-01&to=2026-02-01&group_by=model")).unwrap();
    let usage: Value = serde_json::from_str(&text(&scene, answer)).unwrap();
    assert_eq!(
        usage["echo"],
        json!({"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z", "group_by": "model"})
    );
    let sent = scene.host.http.requests().pop().unwrap();
    assert_eq!(sent.header("authorization"), Some("Bearer user.access.token"));
    assert_eq!(sent.header("apikey"), Some("sb_publishable_x"));
}

#[test]
fn a_wrong_parameter_of_usage_is_named_before_anything_is_asked() {
    let scene = Scene::new();
    let (status, _, error) = refused(scene.call(get("https://edge.test/v1/usage?group_by=hour")).unwrap_err());
    assert_eq!((status, error["param"].as_str()), (400, Some("group_by")));
    assert_eq!(scene.host.http.requests().len(), 0);
}

#[test]
fn trouble_with_the_database_is_told_without_its_words() {
    let scene = Scene::new();
    scene.provider_json("{}");
    scene.database.lock().unwrap().failures = vec![503, 503];
    assert_eq!(refused(scene.call(get("https://edge.test/v1/usage")).unwrap_err()).0, 503);
    scene.database.lock().unwrap().failures = vec![401];
    assert_eq!(refused(scene.call(get("https://edge.test/v1/usage")).unwrap_err()).0, 401);
}
