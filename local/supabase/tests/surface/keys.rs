//! API keys and access tokens: as whom a request acts.

use serde_json::json;

use crate::Test;
use crate::rig::{As, Rig};

pub const TESTS: &[Test] = &[
    ("a_request_without_a_key_or_with_an_unknown_one_is_refused", unknown_keys),
    ("the_secret_key_is_refused_from_a_browser", browser),
    ("the_key_decides_the_role_and_a_token_beats_it", roles),
    ("a_key_that_is_repeated_as_a_token_is_no_token", repeated_key),
    ("a_bad_token_never_falls_back_to_the_key", bad_tokens),
    ("requests_run_without_superuser_rights_and_leave_nothing_to_the_next", no_traces),
    ("every_web_page_may_call", cors),
];

fn unknown_keys(rig: &Rig) {
    for path in ["/rest/v1/notes", "/rest/v1/rpc/who", "/auth/v1/user", "/auth/v1/settings"] {
        let answer = rig.surface.get(As::Nobody, path);
        assert_eq!((answer.status, &answer.json()["message"]), (401, &json!("No API key found in request")), "{path}");
        for key in ["sb_secret_wrong", "sb_publishable_wrong", "x"] {
            let answer = rig.surface.send("GET", As::Nobody, path, &[("apikey", key)], "").unwrap();
            assert_eq!(answer.status, 401, "{path}");
            assert!(answer.json()["hint"].is_string() && !answer.text.contains(key));
        }
    }
}

fn browser(rig: &Rig) {
    let agent = ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)");
    let answer = rig.surface.send("GET", As::Service, "/rest/v1/notes", &[agent], "").unwrap();
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["message"], "Forbidden use of secret API key in browser");
    assert_eq!(rig.surface.send("GET", As::Anonymous, "/rest/v1/notes", &[agent], "").unwrap().status, 200);
}

fn roles(rig: &Rig) {
    let user = rig.surface.sign_up();
    let of = |who| rig.surface.rpc(who, "who", &json!({})).json();
    assert_eq!([&of(As::Anonymous)["role"], &of(As::Anonymous)["timeout"]], ["anon", "3s"]);
    assert_eq!([&of(As::Service)["role"], &of(As::Service)["timeout"]], ["service_role", "8s"]);
    let answer = of(As::User(user.token()));
    assert_eq!([&answer["role"], &answer["timeout"]], ["authenticated", "8s"]);
    assert_eq!(answer["claims"]["sub"], user.id);
    let beside_secret = [
        ("apikey", rig.surface.secret_key.as_str()),
        ("authorization", &format!("Bearer {}", user.token())),
        ("content-profile", "api"),
    ];
    let answer = rig.surface.send("POST", As::Nobody, "/rest/v1/rpc/who", &beside_secret, "").unwrap();
    assert_eq!(answer.json()["role"], "authenticated");
}

fn repeated_key(rig: &Rig) {
    let surface = &rig.surface;
    for (key, role) in [(&surface.publishable_key, "anon"), (&surface.secret_key, "service_role")] {
        let headers =
            [("apikey", key.as_str()), ("authorization", &format!("Bearer {key}")), ("content-profile", "api")];
        let answer = surface.send("POST", As::Nobody, "/rest/v1/rpc/who", &headers, "").unwrap();
        assert_eq!(answer.json()["role"], role);
    }
    let crossed =
        [("apikey", surface.publishable_key.as_str()), ("authorization", &format!("Bearer {}", surface.secret_key))];
    assert_eq!(surface.send("GET", As::Nobody, "/rest/v1/notes", &crossed, "").unwrap().status, 401);
}

fn bad_tokens(rig: &Rig) {
    let user = rig.surface.sign_up();
    let (content, _) = user.token().rsplit_once('.').unwrap();
    let (_, foreign_signature) =
        rig.surface.sign_up().token().rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    for token in ["x", "a.b.c", &format!("{content}."), &format!("{content}.{foreign_signature}")] {
        let answer = rig.surface.get(As::User(token), "/rest/v1/notes");
        assert_eq!(answer.error(), (401, "PGRST301".into()), "{token}");
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer error=\"invalid_token\""));
        assert_eq!(rig.surface.get(As::User(token), "/auth/v1/user").error(), (403, "bad_jwt".into()));
    }
}

fn no_traces(rig: &Rig) {
    let user = rig.surface.sign_up();
    for _ in 0..40 {
        rig.surface.rpc(As::User(user.token()), "who", &json!({}));
        let anonymous = rig.surface.rpc(As::Anonymous, "who", &json!({})).json();
        assert_eq!([&anonymous["login"], &anonymous["superuser"]], ["authenticator", "off"]);
        assert_eq!(anonymous["claims"], json!({ "role": "anon" }));
    }
}

fn cors(rig: &Rig) {
    let headers = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "apikey,content-profile"),
    ];
    let answer = rig.surface.send("OPTIONS", As::Nobody, "/rest/v1/rpc/who", &headers, "").unwrap();
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("*")));
    assert_eq!(answer.header("access-control-allow-headers"), Some("apikey,content-profile"));
    assert_eq!(rig.surface.get(As::Nobody, "/rest/v1/notes").header("access-control-allow-origin"), Some("*"));
}
