use conformance::{Answer, PASSWORD, Rig, marker};
use serde_json::{Value, json};

super::list![
    a_browser_signs_in_and_gets_a_cookie_and_no_token,
    a_browser_signs_up_and_is_signed_in,
    what_changes_anything_needs_the_csrf_token_and_a_page_of_ours,
    a_cookie_beside_another_credential_is_refused,
    a_refreshed_session_has_another_cookie,
    signing_in_again_ends_the_session_that_the_browser_had,
    signing_out_takes_the_cookie_away,
    a_session_is_listed_and_ended_by_its_owner_alone,
    signing_out_everywhere_ends_every_session,
    a_cookie_completes_a_chat,
    an_unknown_form_of_session_is_refused,
];

/// A signed-in browser: its cookie and the token against forged requests.
struct Browser<'a> {
    rig: &'a Rig,
    cookie: String,
    csrf: String,
}

impl<'a> Browser<'a> {
    fn of(rig: &'a Rig, answer: Answer) -> Self {
        let answer = answer.expect(200);
        let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
        Self { rig, cookie, csrf: answer.json()["csrf_token"].as_str().unwrap().to_owned() }
    }

    fn sign_in(rig: &'a Rig, email: &str) -> Self {
        let credentials = json!({"email": email, "password": PASSWORD});
        Self::of(rig, rig.edge.post("/auth/login?session=cookie", &credentials))
    }

    fn new(rig: &'a Rig) -> Self {
        Self::sign_in(rig, &rig.new_user().0)
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let headers = [
            ("cookie", &*self.cookie),
            ("x-csrf-token", &*self.csrf),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "application/json"),
        ];
        self.rig.edge.send(method, path, &headers, body.map(|body| body.to_string().into_bytes()))
    }

    fn get(&self, path: &str) -> Answer {
        self.rig.edge.send("GET", path, &[("cookie", &self.cookie)], None)
    }

    /// Asks the database, whatever an instance remembers.
    fn is_alive(&self) -> bool {
        self.send("POST", "/auth/refresh", None).status == 200
    }
}

fn a_browser_signs_in_and_gets_a_cookie_and_no_token(rig: &Rig) {
    let (email, session) = rig.new_user();
    let credentials = json!({"email": email, "password": PASSWORD});
    let answer = rig.edge.post("/auth/login?session=cookie", &credentials).expect(200);
    let (name, rest) = answer.header("set-cookie").split_once('=').unwrap();
    assert_eq!(name, "__Host-qlp_session");
    let (attributes, lasts) = rest.split_once("; ").unwrap().1.rsplit_once("; Max-Age=").unwrap();
    assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=Lax");
    assert!((2_500_000..=2_592_000).contains(&lasts.parse::<u32>().unwrap()), "30 days: {lasts}");
    let body = answer.json();
    assert_eq!(body["user"]["id"], session["user"]["id"]);
    let mut members: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["csrf_token", "expires_at", "user"]);
    let browser = Browser::of(rig, answer);
    let principal = browser.get("/auth/session").expect(200).json();
    assert_eq!((&principal["method"], &principal["user_id"]), (&json!("session"), &session["user"]["id"]));
    assert_eq!(browser.get("/auth/csrf").expect(200).json(), json!({"csrf_token": browser.csrf}));
}

fn a_browser_signs_up_and_is_signed_in(rig: &Rig) {
    let email = format!("{}@example.com", marker("browser"));
    let account = json!({"email": email, "password": PASSWORD});
    let browser = Browser::of(rig, rig.edge.post("/auth/signup?session=cookie", &account));
    assert_eq!(browser.get("/auth/session").expect(200).json()["email"], email);
}

fn what_changes_anything_needs_the_csrf_token_and_a_page_of_ours(rig: &Rig) {
    let browser = Browser::new(rig);
    let (same, app) = (("sec-fetch-site", "same-origin"), ("origin", "https://app.example.com"));
    let evil = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
    let token = ("x-csrf-token", &*browser.csrf);
    for headers in [&[][..], &[token], &[same], &[app], &[evil[0], evil[1], token], &[same, ("x-csrf-token", "AAAA")]] {
        let headers: Vec<_> = headers.iter().copied().chain([("cookie", &*browser.cookie)]).collect();
        for (method, path) in [("POST", "/auth/logout"), ("POST", "/auth/refresh"), ("DELETE", "/auth/sessions/x")] {
            rig.edge.send(method, path, &headers, None).expect_problem(403, "csrf-refused");
        }
    }
    let other = [("cookie", &*browser.cookie), ("x-csrf-token", &*Browser::new(rig).csrf), same];
    rig.edge.send("POST", "/auth/refresh", &other, None).expect_problem(403, "csrf-refused");
    rig.edge.send("POST", "/auth/refresh", &[("cookie", &*browser.cookie), token, app], None).expect(200);
}

fn a_cookie_beside_another_credential_is_refused(rig: &Rig) {
    let browser = Browser::new(rig);
    let bearer = format!("Bearer {}", rig.stack.demo.access_token);
    for other in [
        ("authorization", &*bearer),
        ("x-api-key", rig.stack.demo.api_key.as_deref().unwrap()),
        ("cookie", &*browser.cookie),
    ] {
        let headers = [("cookie", &*browser.cookie), other];
        rig.edge.send("GET", "/auth/session", &headers, None).expect_problem(401, "invalid-token");
    }
}

fn a_refreshed_session_has_another_cookie(rig: &Rig) {
    let browser = Browser::new(rig);
    let next = Browser::of(rig, browser.send("POST", "/auth/refresh", None));
    assert_ne!((&next.cookie, &next.csrf), (&browser.cookie, &browser.csrf));
    next.get("/auth/session").expect(200);
    assert!(!browser.is_alive());
    assert!(next.is_alive());
}

fn signing_in_again_ends_the_session_that_the_browser_had(rig: &Rig) {
    let (email, _) = rig.new_user();
    let browser = Browser::sign_in(rig, &email);
    let credentials = json!({"email": email, "password": PASSWORD});
    let next = Browser::of(rig, browser.send("POST", "/auth/login?session=cookie", Some(&credentials)));
    assert_ne!(next.cookie, browser.cookie);
    assert!(!browser.is_alive());
    assert!(next.is_alive());
}

fn signing_out_takes_the_cookie_away(rig: &Rig) {
    let browser = Browser::new(rig);
    let answer = browser.send("POST", "/auth/logout", None).expect(204);
    assert!(answer.header("set-cookie").starts_with("__Host-qlp_session=; "));
    assert!(answer.header("set-cookie").ends_with("; Max-Age=0"));
    assert!(!browser.is_alive());
}

fn a_session_is_listed_and_ended_by_its_owner_alone(rig: &Rig) {
    let (email, _) = rig.new_user();
    let (browser, other) = (Browser::sign_in(rig, &email), Browser::sign_in(rig, &email));
    let listed = browser.get("/auth/sessions").expect(200).json();
    let ids: Vec<_> = listed["data"].as_array().unwrap().iter().map(|session| session["id"].clone()).collect();
    assert_eq!(ids.len(), 2, "{listed}");
    assert!(!listed.to_string().contains("token") && !listed.to_string().contains("digest"));
    for id in &ids {
        let path = format!("/auth/sessions/{}", id.as_str().unwrap());
        Browser::new(rig).send("DELETE", &path, None).expect_problem(404, "not-found");
    }
    browser.send("DELETE", "/auth/sessions/none", None).expect_problem(404, "not-found");
    // The newest first: that is the other one.
    browser.send("DELETE", &format!("/auth/sessions/{}", ids[0].as_str().unwrap()), None).expect(204);
    assert!(!other.is_alive());
    assert!(browser.is_alive());
}

fn signing_out_everywhere_ends_every_session(rig: &Rig) {
    let (email, _) = rig.new_user();
    let (browser, other) = (Browser::sign_in(rig, &email), Browser::sign_in(rig, &email));
    browser.send("POST", "/auth/logout?scope=most", None).expect_problem(400, "invalid-request");
    browser.send("POST", "/auth/logout?scope=global", None).expect(204);
    assert!(!browser.is_alive() && !other.is_alive());
}

fn a_cookie_completes_a_chat(rig: &Rig) {
    let browser = Browser::new(rig);
    let wish = Rig::chat(&marker("cookie"), &json!({}), false);
    let answer = browser.send("POST", "/v1/chat/completions", Some(&wish)).expect(200).json();
    assert_eq!(answer["object"], "chat.completion");
    let headers = [("cookie", &*browser.cookie), ("content-type", "application/json")];
    rig.edge
        .send("POST", "/v1/chat/completions", &headers, Some(wish.to_string().into_bytes()))
        .expect_openai_error(403, "csrf_refused");
}

fn an_unknown_form_of_session_is_refused(rig: &Rig) {
    let (email, session) = rig.new_user();
    let credentials = json!({"email": email, "password": PASSWORD});
    rig.edge.post("/auth/login?session=token", &credentials).expect_problem(400, "invalid-request");
    let bearer = rig.edge.bearer(session["access_token"].as_str().unwrap());
    bearer.get("/auth/csrf").expect_problem(400, "invalid-request");
}
