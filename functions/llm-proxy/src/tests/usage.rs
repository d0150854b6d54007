use std::time::Duration;

use super::*;

fn id(number: u128) -> String {
    Uuid::from_u128(number).to_string()
}

/// A scene whose export has these aliases, one a row.
fn scene(aliases: &[&str]) -> Scene {
    let scene = Scene::new();
    scene.provider_json("{}");
    scene.database.lock().unwrap().exported =
        aliases.iter().zip(1..).map(|(alias, number)| json!([id(number), alias])).collect();
    scene
}

fn export(scene: &Scene, query: &str) -> Result<Response, Problem> {
    scene.call(get(&format!("https://edge.test/v1/usage/export{query}")))
}

#[test]
fn an_export_is_csv_page_by_page_as_it_is_read() {
    let scene = scene(&["default", "=cmd()", "a,b", "c", "d"]);
    let answer = export(&scene, "?from=2026-01-01").unwrap();
    assert_eq!(answer.headers()[CONTENT_TYPE], "text/csv; charset=utf-8; header=present");
    assert_eq!(answer.headers()["content-disposition"], "attachment; filename=\"usage.csv\"");
    assert!(answer.headers().contains_key("ratelimit"));
    assert_eq!(scene.calls_to("export_usage"), 1, "no page is asked for before somebody reads it");
    let pieces = pieces(&scene, answer);
    let line = |number: u128, alias: &str| format!("{},{alias}\r\n", id(number));
    assert_eq!(
        pieces,
        [
            format!("id,alias\r\n{}{}", line(1, "default"), line(2, "\"'=cmd()\"")),
            line(3, "\"a,b\"") + &line(4, "c"),
            line(5, "d"),
        ]
    );
    assert_eq!(scene.calls_to("export_usage"), 3);
}

#[test]
fn every_page_is_of_the_same_time_and_asked_for_as_the_user() {
    let scene = scene(&["a", "b", "c"]);
    let answer = export(&scene, "").unwrap();
    scene.host.clock.advance(Duration::from_hours(1));
    text(&scene, answer);
    let mut asked = scene.host.http.requests();
    asked.retain(|request| request.uri.path().ends_with("export_usage"));
    assert_eq!(asked.len(), 2);
    for (request, after) in asked.iter().zip([Value::Null, json!(id(2))]) {
        let body: Value = serde_json::from_slice(request.body.as_ref().unwrap()).unwrap();
        assert_eq!(body["payload"], json!({"from": null, "to": "2026-01-01T00:00:00Z", "after": after}));
        assert_eq!(request.header("authorization").unwrap(), "Bearer user.access.token");
    }
}

#[test]
fn an_export_without_calls_has_the_names() {
    let scene = scene(&[]);
    assert_eq!(text(&scene, export(&scene, "").unwrap()), "id,alias\r\n");
}

#[test]
fn an_export_that_fails_is_refused_before_it_begins_and_cut_off_after() {
    let scene = scene(&["a", "b", "c"]);
    scene.database.lock().unwrap().failures.push(400);
    assert!(export(&scene, "").is_err());
    let answer = export(&scene, "").unwrap();
    scene.database.lock().unwrap().unreachable = true;
    let mut stream = answer.into_body().into_stream();
    assert!(scene.run(stream.next()).unwrap().is_ok());
    assert!(scene.run(stream.next()).unwrap().is_err(), "half an export does not look like a whole one");
}

#[test]
fn an_export_goes_on_after_the_call_that_is_named() {
    let scene = scene(&["a", "b", "c"]);
    let rest = text(&scene, export(&scene, &format!("?after={}", id(2))).unwrap());
    assert_eq!(rest, format!("id,alias\r\n{},c\r\n", id(3)));
    assert_eq!(refused(export(&scene, "?after=2").unwrap_err()).0, 400);
    assert_eq!(refused(export(&scene, "?group_by=day").unwrap_err()).0, 400);
}
