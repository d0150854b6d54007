use conformance::{PASSWORD, Rig, marker};
use serde_json::json;

super::list![
    a_new_user_signs_up_and_has_an_organization,
    a_session_is_in_supabases_token_shape,
    a_wrong_password_and_an_unknown_account_get_the_same_answer,
    signing_up_twice_is_refused,
    a_weak_password_is_refused_with_its_place,
    a_refresh_token_gives_a_new_session,
    an_invalid_refresh_token_is_refused,
    logout_ends_the_session,
    too_many_attempts_at_one_account_are_refused_for_a_while,
    unknown_members_and_wrong_types_are_refused_with_their_place,
];

fn a_new_user_signs_up_and_has_an_organization(rig: &Rig) {
    let (email, session) = rig.new_user();
    let token = session["access_token"].as_str().unwrap();
    let principal = rig.edge.bearer(token).get("/auth/session").expect(200).json();
    assert_eq!(principal["user_id"], session["user"]["id"]);
    assert_eq!(principal["email"], email);
    assert!(principal["org_id"].is_string(), "{principal}");
    assert_eq!(principal["roles"], json!(["owner"]));
    assert_eq!(principal["method"], "access_token");
}

fn a_session_is_in_supabases_token_shape(rig: &Rig) {
    let (email, _) = rig.new_user();
    let session = rig.edge.post("/auth/login", &json!({"email": email, "password": PASSWORD})).expect(200);
    assert!(session.header("cache-control").contains("no-store"));
    let session = session.json();
    for member in ["access_token", "refresh_token", "expires_in", "user"] {
        assert!(!session[member].is_null(), "{member} is missing");
    }
    assert_eq!(session["token_type"], "bearer");
}

fn a_wrong_password_and_an_unknown_account_get_the_same_answer(rig: &Rig) {
    let (email, _) = rig.new_user();
    let wrong = rig.edge.post("/auth/login", &json!({"email": email, "password": "not the password"}));
    let unknown =
        rig.edge.post("/auth/login", &json!({"email": format!("no-{email}"), "password": "not the password"}));
    let (mut wrong, mut unknown) =
        (wrong.expect_problem(401, "sign-in-refused"), unknown.expect_problem(401, "sign-in-refused"));
    wrong["request_id"].take();
    unknown["request_id"].take();
    assert_eq!(wrong, unknown);
}

fn signing_up_twice_is_refused(rig: &Rig) {
    let (email, _) = rig.new_user();
    rig.edge.post("/auth/signup", &json!({"email": email, "password": PASSWORD})).expect_problem(409, "conflict");
}

fn a_weak_password_is_refused_with_its_place(rig: &Rig) {
    let email = format!("{}@example.com", marker("weak"));
    let problem =
        rig.edge.post("/auth/signup", &json!({"email": email, "password": "abc"})).expect_problem(422, "unprocessable");
    assert_eq!(problem["errors"][0]["pointer"], "/password");
}

fn a_refresh_token_gives_a_new_session(rig: &Rig) {
    let (_, session) = rig.new_user();
    let refreshed =
        rig.edge.post("/auth/refresh", &json!({"refresh_token": session["refresh_token"]})).expect(200).json();
    assert_ne!(refreshed["refresh_token"], session["refresh_token"]);
    rig.edge.bearer(refreshed["access_token"].as_str().unwrap()).get("/auth/session").expect(200);
}

fn an_invalid_refresh_token_is_refused(rig: &Rig) {
    rig.edge.post("/auth/refresh", &json!({"refresh_token": "no-such-token"})).expect_problem(401, "invalid-token");
}

fn logout_ends_the_session(rig: &Rig) {
    let (_, session) = rig.new_user();
    let user = rig.edge.bearer(session["access_token"].as_str().unwrap());
    assert!(user.send("POST", "/auth/logout", &[], None).expect(204).body.is_empty());
    let refresh = rig.edge.post("/auth/refresh", &json!({"refresh_token": session["refresh_token"]}));
    refresh.expect_problem(401, "invalid-token");
}

fn too_many_attempts_at_one_account_are_refused_for_a_while(rig: &Rig) {
    let email = format!("{}@example.com", marker("brute-force"));
    let attempt = || rig.edge.post("/auth/login", &json!({"email": email, "password": "a guess"}));
    for _ in 0..5 {
        attempt().expect_problem(401, "sign-in-refused");
    }
    let refused = attempt();
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=12).contains(&seconds), "{seconds}");
    refused.expect_problem(429, "rate-limited");
}

fn unknown_members_and_wrong_types_are_refused_with_their_place(rig: &Rig) {
    let place = |body| {
        rig.edge.post("/auth/login", &body).expect_problem(400, "invalid-request")["errors"][0]["pointer"].clone()
    };
    assert_eq!(place(json!({"email": 7, "password": PASSWORD})), "/email");
    assert_eq!(place(json!({"email": "\u{0}@example.com", "password": PASSWORD})), "/email");
    assert_eq!(place(json!({"email": "a@example.com", "password": "a\u{0}b"})), "/password");
    assert_eq!(place(json!({"email": "a@example.com", "password": PASSWORD, "admin": true})), "/admin");
    let problem =
        rig.edge.post("/auth/login", &json!({"email": "a@example.com"})).expect_problem(400, "invalid-request");
    assert!(problem["errors"][0]["detail"].as_str().unwrap().contains("password"), "{problem}");
}
