//! `/rest/v1/rpc`.

use std::io::Write as _;
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::Test;
use crate::rig::{Answer, As, Rig, wait_until};

pub const TESTS: &[Test] = &[
    ("arguments_are_passed_by_name_and_defaults_apply", by_name),
    ("a_body_goes_whole_to_a_function_with_one_nameless_argument", whole_body),
    ("results_have_postgrests_shape", results),
    ("a_list_is_cut_at_a_thousand_rows", long_lists),
    ("one_object_can_be_asked_for_instead_of_a_list", single_objects),
    ("get_calls_read_and_cannot_write", reading),
    ("a_function_that_nobody_knows_is_a_404_that_says_what_was_looked_for", unknown_functions),
    ("a_function_that_was_made_later_is_found", later_functions),
    ("only_exposed_schemas_can_be_asked_for", schemas),
    ("errors_that_a_function_raises_keep_code_details_and_hint", raised),
    ("a_function_chooses_its_status_and_headers", chosen_status),
    ("what_a_failing_function_did_is_undone", undone),
    ("a_slow_function_is_ended_by_its_timeout", timeout),
    ("bad_bodies_are_refused", bad_bodies),
    ("a_caller_that_hangs_up_takes_no_connection_with_it", hang_up),
];

fn anonymous(rig: &Rig, function: &str, arguments: &Value) -> Answer {
    rig.surface.rpc(As::Anonymous, function, arguments)
}

fn by_name(rig: &Rig) {
    let cases = [
        ("add", json!({ "a": 1 }), json!(11)),
        ("add", json!({ "b": 2, "a": 1 }), json!(3)),
        ("add", json!({ "a": "1", "b": null }), Value::Null),
        ("total", json!({ "numbers": [1, 2, 3] }), json!(6)),
        ("total", json!({ "numbers": "{4,5}" }), json!(9)),
        ("shout", json!({ "words": "it's \"quoted\" ü\n" }), json!("IT'S \"QUOTED\" Ü\n")),
        ("shout", json!({ "words": "'); drop table public.notes; --" }), json!("'); DROP TABLE PUBLIC.NOTES; --")),
    ];
    for (function, arguments, expected) in cases {
        let answer = anonymous(rig, function, &arguments);
        assert_eq!((answer.status, answer.json()), (200, expected), "{function} {arguments}");
    }
    assert_eq!(anonymous(rig, "add", &json!({ "a": "x" })).error(), (400, "22P02".into()));
    assert_eq!(anonymous(rig, "twice", &json!({ "n": 1 })).error(), (300, "PGRST203".into()));
}

fn whole_body(rig: &Rig) {
    for body in [json!({ "any": ["thing"] }), json!([1, 2])] {
        assert_eq!(anonymous(rig, "body", &body).json(), json!({ "got": body }));
    }
}

fn results(rig: &Rig) {
    let answer = anonymous(rig, "nothing", &json!({}));
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    assert_eq!(anonymous(rig, "no_value", &json!({})).json(), Value::Null);
    assert_eq!(anonymous(rig, "one_row", &json!({})).json(), json!({ "who": "me" }));
    assert_eq!(anonymous(rig, "numbers", &json!({ "n": 3 })).json(), json!([1, 2, 3]));
    assert_eq!(anonymous(rig, "numbers", &json!({ "n": 0 })).json(), json!([]));
    let answer = anonymous(rig, "rows", &json!({ "n": 2 }));
    assert_eq!(answer.json(), json!([{ "id": 1, "label": "row 1" }, { "id": 2, "label": "row 2" }]));
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(answer.header("content-range"), Some("0-1/*"));
    assert_eq!(answer.header("content-profile"), Some("api"));
}

fn long_lists(rig: &Rig) {
    let answer = anonymous(rig, "numbers", &json!({ "n": 1500 }));
    assert_eq!((answer.status, answer.header("content-range")), (200, Some("0-999/*")));
    assert_eq!(answer.json().as_array().unwrap().len(), 1000);
    let headers = [("content-profile", "api"), ("prefer", "count=exact")];
    let answer = rig.surface.send("POST", As::Anonymous, "/rest/v1/rpc/numbers", &headers, r#"{"n":1500}"#).unwrap();
    assert_eq!((answer.status, answer.header("content-range")), (206, Some("0-999/1500")));
}

fn single_objects(rig: &Rig) {
    let ask = |n: u32| {
        let headers = [("content-profile", "api"), ("accept", "application/vnd.pgrst.object+json")];
        rig.surface.send("POST", As::Anonymous, "/rest/v1/rpc/rows", &headers, json!({ "n": n }).to_string()).unwrap()
    };
    assert_eq!(ask(1).json(), json!({ "id": 1, "label": "row 1" }));
    for n in [0, 2] {
        let answer = ask(n);
        assert_eq!(answer.error(), (406, "PGRST116".into()));
        assert_eq!(answer.json()["details"], format!("The result contains {n} rows"));
    }
}

fn reading(rig: &Rig) {
    let get = |path: &str| rig.surface.send("GET", As::Anonymous, path, &[("accept-profile", "api")], "").unwrap();
    assert_eq!(get("/rest/v1/rpc/add?a=2&b=3").json(), json!(5));
    assert_eq!(get("/rest/v1/rpc/shout?words=a+b%20%C3%BC").json(), json!("A B Ü"));
    assert_eq!(get("/rest/v1/rpc/ready").json(), json!({ "ok": true }));
    assert_eq!(get("/rest/v1/rpc/write?who=reader").error(), (405, "25006".into()));
    let put = rig.surface.send("PUT", As::Anonymous, "/rest/v1/rpc/add", &[("content-profile", "api")], "{}").unwrap();
    assert_eq!(put.error(), (405, "PGRST101".into()));
}

fn unknown_functions(rig: &Rig) {
    let answer = anonymous(rig, "no_such", &json!({ "b": 1, "a": 2 }));
    assert_eq!(answer.error(), (404, "PGRST202".into()));
    let body = answer.json();
    assert_eq!(body["message"], "Could not find the function api.no_such(a, b) in the schema cache");
    assert!(
        body["details"].as_str().unwrap().starts_with("Searched for the function api.no_such with parameters a, b or")
    );
    assert_eq!(anonymous(rig, "add", &json!({})).error(), (404, "PGRST202".into()), "an argument is missing");
    assert_eq!(anonymous(rig, "add", &json!({ "a": 1, "c": 1 })).error(), (404, "PGRST202".into()), "one is too many");
}

fn later_functions(rig: &Rig) {
    assert_eq!(anonymous(rig, "later", &json!({})).status, 404);
    rig.sql("create function api.later() returns text language sql as $$ select 'here' $$");
    assert_eq!(anonymous(rig, "later", &json!({})).json(), json!("here"));
}

fn schemas(rig: &Rig) {
    let ask = |schema| {
        rig.surface.send("POST", As::Service, "/rest/v1/rpc/ready", &[("content-profile", schema)], "").unwrap()
    };
    assert_eq!(ask("api").status, 200);
    assert_eq!(ask("public").error(), (404, "PGRST202".into()));
    for schema in ["private", "auth", "pg_catalog", "API", ""] {
        assert_eq!(ask(schema).error(), (406, "PGRST106".into()), "{schema}");
    }
    let default = rig.surface.send("POST", As::Service, "/rest/v1/rpc/ready", &[], "").unwrap();
    assert_eq!(default.status, 404, "the default schema is public");
}

fn raised(rig: &Rig) {
    let answer = anonymous(rig, "write", &json!({ "who": "raised", "fail": true }));
    assert_eq!(answer.status, 400);
    let expected = json!({ "code": "P0001", "details": "the detail", "hint": "the hint", "message": "no" });
    assert_eq!(answer.json(), expected);
    let cases = [
        ("23505", 409),
        ("23503", 409),
        ("23502", 400),
        ("23514", 400),
        ("22P02", 400),
        ("P0002", 500),
        ("40001", 500),
        ("53400", 500),
        ("55P03", 500),
        ("PT402", 402),
        ("PT418", 418),
        ("42501", 401),
    ];
    for (code, status) in cases {
        let answer = anonymous(rig, "raise", &json!({ "code": code, "message": "said" }));
        assert_eq!(answer.error(), (status, code.into()));
        assert_eq!(answer.json()["message"], "said");
    }
    let user = rig.surface.sign_up();
    let refused = rig.surface.rpc(As::User(user.token()), "raise", &json!({ "code": "42501", "message": "said" }));
    assert_eq!(refused.error(), (403, "42501".into()));
}

fn chosen_status(rig: &Rig) {
    let message = json!({ "code": "quota", "message": "spent", "details": "d", "hint": "h" }).to_string();
    let detail = json!({ "status": 402, "headers": { "Retry-After": "7" } }).to_string();
    let answer = anonymous(rig, "raise", &json!({ "code": "PGRST", "message": message, "detail": detail }));
    assert_eq!((answer.error(), answer.header("retry-after")), ((402, "quota".into()), Some("7")));
    let answer = anonymous(rig, "raise", &json!({ "code": "PGRST", "message": "no JSON" }));
    assert_eq!(answer.error(), (500, "PGRST121".into()));
}

fn undone(rig: &Rig) {
    let written = |who: &str| anonymous(rig, "written", &json!({ "who": who })).json();
    assert_eq!(anonymous(rig, "write", &json!({ "who": "kept" })).status, 204);
    assert_eq!(anonymous(rig, "write", &json!({ "who": "undone", "fail": true })).status, 400);
    assert_eq!([written("kept"), written("undone")], [json!(1), json!(0)]);
}

fn timeout(rig: &Rig) {
    assert_eq!(anonymous(rig, "slow", &json!({})).error(), (500, "57014".into()));
}

fn bad_bodies(rig: &Rig) {
    let send = |content_type: &str, body: &[u8]| {
        let headers = [("content-type", content_type), ("content-profile", "api")];
        rig.surface.send("POST", As::Anonymous, "/rest/v1/rpc/shout", &headers, body).unwrap()
    };
    let long = format!("{{\"words\":\"{}\"}}", "x".repeat(11 * 1024 * 1024));
    let cases: [(&str, &[u8], u16); 8] = [
        ("application/json", b"{", 400),
        ("application/json", b"{\"words\":\"\xff\"}", 400),
        ("application/json", b"{\"words\":\"\\u0000\"}", 400),
        ("application/json", b"nonsense", 400),
        ("application/json", b"3", 404),
        ("text/plain", b"{}", 400),
        ("application/json", b"", 404),
        ("application/json", long.as_bytes(), 413),
    ];
    for (content_type, body, status) in cases {
        let answer = send(content_type, body);
        assert_eq!(answer.status, status, "{:?} {answer:?}", &body[..body.len().min(30)]);
        assert!(answer.json()["message"].is_string());
    }
}

/// More callers than there are connections ask for something slow and leave; the next one is served all the same.
fn hang_up(rig: &Rig) {
    let address = rig.surface.url.strip_prefix("http://").unwrap();
    let request = format!(
        "POST /rest/v1/rpc/slow HTTP/1.1\r\nhost: {address}\r\napikey: {}\r\ncontent-profile: api\r\ncontent-length: 2\r\n\r\n{{}}",
        rig.surface.publishable_key
    );
    for _ in 0..40 {
        TcpStream::connect(address).unwrap().write_all(request.as_bytes()).unwrap();
    }
    wait_until("an answer", || anonymous(rig, "add", &json!({ "a": 1 })).status == 200);
}
