use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;

use super::*;
use crate::catalog::Catalog;

fn scene() -> Scene {
    let scene = Scene::new();
    scene.provider_json("{}");
    scene
}

fn list(scene: &Scene) -> Result<Value, u16> {
    let answer = scene.call(get("https://edge.test/v1/models"));
    answer.map(|answer| serde_json::from_str(&text(scene, answer)).unwrap()).map_err(|problem| problem.kind().status)
}

fn away(scene: &Scene, unreachable: bool) {
    scene.database.lock().unwrap().unreachable = unreachable;
}

#[test]
fn one_copy_serves_for_a_minute() {
    let scene = scene();
    list(&scene).unwrap();
    scene.host.clock.advance(Duration::from_secs(59));
    list(&scene).unwrap();
    assert!(scene.host.background.is_empty());
    assert_eq!(scene.calls_to("list_models"), 1);
}

#[test]
fn a_stale_copy_answers_at_once_and_is_renewed_behind_the_answer() {
    let scene = scene();
    let before = list(&scene).unwrap();
    scene.database.lock().unwrap().models["models"].as_array_mut().unwrap().remove(0);
    scene.host.clock.advance(Duration::from_mins(1));
    assert_eq!(list(&scene), Ok(before.clone()));
    assert_eq!(list(&scene), Ok(before.clone()));
    assert_eq!((scene.calls_to("list_models"), scene.host.background.len()), (1, 1));
    scene.run(scene.host.background.run_all());
    assert_ne!(list(&scene), Ok(before));
    assert_eq!(scene.calls_to("list_models"), 2);
}

#[test]
fn an_old_copy_serves_while_the_database_is_away_and_is_not_asked_for_all_the_time() {
    let scene = scene();
    let before = list(&scene).unwrap();
    away(&scene, true);
    scene.host.clock.advance(Duration::from_hours(24));
    for _ in 0..5 {
        assert_eq!(list(&scene), Ok(before.clone()));
        scene.run(scene.host.background.run_all());
    }
    let asked = scene.calls_to("list_models");
    assert!(asked <= 3, "{asked} calls: one renewal with its retry");
    away(&scene, false);
    scene.host.clock.advance(Duration::from_secs(5));
    list(&scene).unwrap();
    scene.run(scene.host.background.run_all());
    assert!(scene.calls_to("list_models") > asked);
}

#[test]
fn without_any_copy_and_database_the_answer_is_503_with_a_time_to_come_back() {
    let scene = scene();
    away(&scene, true);
    let (status, headers, _) = refused(scene.call(get("https://edge.test/v1/models")).unwrap_err());
    assert_eq!((status, headers["retry-after"].to_str().unwrap()), (503, "1"));
    let asked = scene.calls_to("list_models");
    assert_eq!(list(&scene), Err(503));
    assert_eq!(scene.calls_to("list_models"), asked, "a failure is remembered for a moment");
    away(&scene, false);
    scene.host.clock.advance(Duration::from_secs(1));
    list(&scene).unwrap();
}

#[test]
fn a_database_that_hangs_is_given_up() {
    let scene = scene();
    let _held = scene.host.http.hold();
    assert_eq!(list(&scene), Err(503));
}

#[test]
fn many_callers_of_a_cold_instance_cause_one_fetch() {
    let scene = scene();
    let catalog = Catalog::new(scene.proxy.supabase.clone());
    let context = scene.host.context();
    let held = scene.host.http.hold();
    let mut calls = Box::pin(join_all((0..20).map(|_| catalog.models(&context))));
    assert!((&mut calls).now_or_never().is_none());
    held.release(response(200, "application/json", models().to_string()));
    assert!(scene.run(calls).iter().all(Result::is_ok));
    assert_eq!(scene.calls_to("list_models"), 1);
}

#[test]
fn a_caller_that_hangs_up_while_it_fetches_leaves_the_fetch_to_the_next() {
    let scene = scene();
    let catalog = Catalog::new(scene.proxy.supabase.clone());
    let context = scene.host.context();
    let _held = scene.host.http.hold();
    let mut first = Box::pin(catalog.models(&context));
    assert!((&mut first).now_or_never().is_none());
    let mut second = Box::pin(catalog.models(&context));
    assert!((&mut second).now_or_never().is_none());
    drop(first);
    assert!(scene.run(second).is_ok());
}

#[test]
fn a_fetch_that_vanishes_is_repeated_after_its_lease() {
    let scene = scene();
    let catalog = Catalog::new(scene.proxy.supabase.clone());
    let context = scene.host.context();
    let _held = scene.host.http.hold();
    let mut vanished = Box::pin(catalog.models(&context));
    assert!((&mut vanished).now_or_never().is_none());
    std::mem::forget(vanished);
    assert!(scene.run(catalog.models(&context)).is_ok());
}

#[test]
fn the_first_route_with_a_configured_provider_is_taken() {
    let scene = Scene::with(&[("TOGETHER_API_KEY", "t-key")]);
    scene.provider_json(r#"{"choices":[]}"#);
    let answer = scene.complete(r#"{"model":"default","messages":[1]}"#).unwrap();
    assert_eq!(answer.headers()["x-qlp-provider"], "together");
    let sent = scene.host.http.requests().pop().unwrap();
    assert_eq!(sent.uri, "https://api.together.xyz/v1/chat/completions");
    assert!(sent.text().contains("meta/llama"));
}

#[test]
fn one_alias_is_what_the_list_says_of_it() {
    let scene = scene();
    scene.database.lock().unwrap().models["models"][0]["alias"] = json!("team/gpt 4");
    let one = |segment: &str| {
        let answer = scene.call(get(&format!("https://edge.test/v1/models/{segment}")));
        answer.map(|answer| serde_json::from_str::<Value>(&text(&scene, answer)).unwrap())
    };
    let listed = list(&scene).unwrap()["data"].as_array().unwrap().clone();
    for (segment, id) in [("team%2Fgpt%204", "team/gpt 4"), ("unpriced", "unpriced")] {
        let expected = listed.iter().find(|model| model["id"] == id);
        assert_eq!(Some(&one(segment).unwrap()), expected);
    }
    for segment in ["nothing", "elsewhere", "team", "%ff"] {
        let (status, _, error) = refused(one(segment).unwrap_err());
        assert_eq!((status, error["code"].as_str()), (404, Some("model_not_found")), "{segment}");
    }
}
