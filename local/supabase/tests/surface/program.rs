//! The program itself: start, stop, state, and what tests may break.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::Test;
use crate::rig::{As, Rig, Surface};

pub const TESTS: &[Test] = &[
    ("a_second_start_has_the_same_keys_and_accepts_the_same_tokens", restart),
    ("keys_are_kept_where_nobody_else_can_read_them", private_state),
    ("it_stops_when_it_is_asked_to", stop),
    ("it_says_what_is_wrong_with_its_arguments", arguments),
    ("requests_are_counted_by_path", counters),
    ("faults_hit_the_next_requests_under_a_path_and_no_others", faults),
    ("a_hanging_request_gets_no_answer", hang),
    ("web_pages_have_no_controls", web_pages),
    ("keys_rotate_without_a_gap", rotation),
    ("a_database_that_is_away_is_a_503_and_no_hang", no_database),
    ("nothing_secret_is_logged", log),
];

fn restart(rig: &Rig) {
    let first = rig.another("restart");
    let keys = (first.publishable_key.clone(), first.secret_key.clone());
    let jwks = |surface: &Surface| surface.get(As::Nobody, "/auth/v1/.well-known/jwks.json").json();
    let (token, published) = (first.sign_up().token().to_owned(), jwks(&first));
    assert_eq!(first.stop(), Some(0));
    let second = rig.another("restart");
    assert_eq!((second.publishable_key.clone(), second.secret_key.clone()), keys);
    assert_eq!(jwks(&second), published);
    assert_eq!(second.get(As::User(&token), "/rest/v1/users").status, 200);
}

fn private_state(rig: &Rig) {
    for path in [rig.state("state"), rig.state("state").join("keys.json")] {
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o077, 0, "{}", path.display());
    }
}

fn stop(rig: &Rig) {
    assert_eq!(rig.another("stop").stop(), Some(0));
}

fn arguments(_: &Rig) {
    for (arguments, reason) in [
        (&["--listen"][..], "--listen needs a value"),
        (&["--port", "1"], "unknown argument --port"),
        (&["--listen", "127.0.0.1:0"], "--database-url is missing"),
        (
            &["--listen", "0.0.0.0:0", "--database-url", "x", "--state", "x", "--migrations", "x"],
            "--listen 0.0.0.0:0 can be reached from outside",
        ),
        (&["--listen", "x", "--database-url", "x", "--state", "x", "--migrations", "x"], "--listen x is no address"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_local-supabase")).args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(said.contains(reason) && said.contains("usage:"), "{said}");
    }
}

fn counters(rig: &Rig) {
    let surface = rig.another("counters");
    let jwks = "/auth/v1/.well-known/jwks.json";
    surface.get(As::Nobody, jwks);
    surface.get(As::Nobody, &format!("{jwks}?x=1"));
    surface.rpc(As::Anonymous, "ready", &json!({}));
    let counters = || surface.get(As::Nobody, "/__local/counters").json();
    assert_eq!(counters(), json!({ jwks: 2, "/rest/v1/rpc/ready": 1 }));
    surface.control("reset", &json!({}));
    assert_eq!(counters(), json!({}));
}

fn faults(rig: &Rig) {
    let surface = rig.another("faults");
    let ask = || surface.send("POST", As::Anonymous, "/rest/v1/rpc/ready", &[("content-profile", "api")], "");
    let fault = |more: serde_json::Value| {
        let mut fault = json!({ "path_prefix": "/rest/v1/rpc/" });
        fault.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        surface.control("fault", &fault);
    };
    fault(json!({ "mode": "status", "status": 503, "times": 2 }));
    assert_eq!(surface.get(As::Nobody, "/auth/v1/.well-known/jwks.json").status, 200, "another path");
    let statuses = [ask(), ask(), ask()].map(|answer| answer.unwrap().status);
    assert_eq!(statuses, [503, 503, 200]);
    fault(json!({ "mode": "html" }));
    let page = ask().unwrap();
    assert_eq!((page.status, page.header("content-type")), (502, Some("text/html")));
    fault(json!({ "mode": "close" }));
    assert!(ask().is_none());
    assert_eq!(ask().unwrap().status, 200);
    fault(json!({ "mode": "status", "times": 100 }));
    surface.control("reset", &json!({}));
    assert_eq!(ask().unwrap().status, 200);
    for wrong in [
        json!({}),
        json!({ "path_prefix": "/", "mode": "explode" }),
        json!({ "path_prefix": "/", "mode": "hang", "x": 1 }),
    ] {
        assert_eq!(surface.post(As::Nobody, "/__local/fault", &wrong).status, 400);
    }
}

fn hang(rig: &Rig) {
    let surface = rig.another("hang");
    surface.control("fault", &json!({ "path_prefix": "/auth/v1/.well-known/", "mode": "hang" }));
    let address = surface.url.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    connection.write_all(b"GET /auth/v1/.well-known/jwks.json HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    connection.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let nothing = connection.read(&mut [0; 1]).unwrap_err();
    assert!(matches!(nothing.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{nothing}");
    assert_eq!(surface.get(As::Nobody, "/auth/v1/.well-known/jwks.json").status, 200);
}

fn web_pages(rig: &Rig) {
    let origin = [("origin", "https://app.example")];
    let answer = rig.surface.send("GET", As::Nobody, "/__local/counters", &origin, "").unwrap();
    assert_eq!(answer.status, 403);
}

fn rotation(rig: &Rig) {
    let surface = rig.another("rotation");
    let kids = || -> Vec<String> {
        let answer = surface.get(As::Nobody, "/auth/v1/.well-known/jwks.json").json();
        answer["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    };
    let accepted = |token: &str| surface.get(As::User(token), "/rest/v1/users").status == 200;
    let (before, old) = (kids(), surface.sign_up());
    surface.control("rotate", &json!({ "mode": "standby" }));
    let with_standby = kids();
    assert_eq!((with_standby.len(), &with_standby[0]), (2, &before[0]));
    surface.control("rotate", &json!({}));
    assert_eq!(kids(), [with_standby[1].clone(), before[0].clone()]);
    let new = surface.sign_up();
    assert!(accepted(old.token()) && accepted(new.token()));
    surface.control("rotate", &json!({ "mode": "revoke" }));
    assert_eq!(kids(), [with_standby[1].clone()]);
    assert!(!accepted(old.token()) && accepted(new.token()));
}

fn no_database(_: &Rig) {
    let surface = Rig::start().stop_database();
    let answer = surface.rpc(As::Anonymous, "ready", &json!({}));
    assert_eq!(answer.error(), (503, "PGRST001".into()));
    let body = json!({ "email": "a@example.com", "password": "password" });
    let answer = surface.post(As::Anonymous, "/auth/v1/token?grant_type=password", &body);
    assert_eq!(answer.error(), (500, "unexpected_failure".into()));
    assert_eq!(surface.get(As::Nobody, "/auth/v1/.well-known/jwks.json").status, 200);
}

fn log(rig: &Rig) {
    let surface = rig.another("logged");
    let user = surface.sign_up();
    surface.get(As::User(user.token()), "/rest/v1/users?select=id");
    let body = json!({ "refresh_token": user.refresh_token() });
    surface.post(As::Anonymous, "/auth/v1/token?grant_type=refresh_token", &body);
    let secrets = [
        surface.secret_key.clone(),
        surface.publishable_key.clone(),
        user.token().to_owned(),
        user.refresh_token().to_owned(),
        user.email.clone(),
        "select=id".to_owned(),
    ];
    surface.stop();
    let log = std::fs::read_to_string(rig.state("logged.log")).unwrap();
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["time"].is_string() && line["level"].is_string() && line["event"].is_string());
    }
    assert!(log.contains("/rest/v1/users"));
    assert!(secrets.iter().all(|secret| !log.contains(secret)));
}
