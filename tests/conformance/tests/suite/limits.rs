use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use conformance::{Answer, Client, Rig, marker};
use serde_json::json;

super::list![
    of_a_thousand_requests_at_once_exactly_a_hundred_pass,
    a_limited_answer_tells_where_its_limits_stand,
    members_and_keys_of_an_organization_share_its_limit,
];

const PATH: &str = "/v1/chat/completions";

fn overrides(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A new user's client of another edge.
fn user_of(edge: &str, host: &str) -> Client {
    let edge = Client::new(edge);
    let account = json!({"email": format!("{}@example.com", marker(host)), "password": conformance::PASSWORD});
    let session = edge.post("/auth/signup", &account).expect(200).json();
    edge.bearer(session["access_token"].as_str().unwrap())
}

fn call(client: &Client, marker: &str) -> Answer {
    client.post(PATH, &Rig::chat(marker, &json!({}), false))
}

fn of_a_thousand_requests_at_once_exactly_a_hundred_pass(rig: &Rig) {
    let settings = [("LLM_USER_REQUESTS_PER_HOUR", "100"), ("LLM_ORG_REQUESTS_PER_HOUR", "1000")];
    let edge = rig.edge_with(&overrides(&settings));
    let (user, name, began) = (user_of(&edge.url, rig.host), marker("thousand"), Instant::now());
    let at_once = Barrier::new(1000);
    let statuses = thread::scope(|scope| {
        let ask = || {
            at_once.wait();
            call(&user, &name).status
        };
        let small = || thread::Builder::new().stack_size(256 * 1024).spawn_scoped(scope, ask).unwrap();
        let asking: Vec<_> = (0..1000).map(|_| small()).collect();
        let mut statuses = BTreeMap::<u16, u64>::new();
        for answer in asking {
            *statuses.entry(answer.join().unwrap()).or_default() += 1;
        }
        statuses
    });
    // One more comes back every 36 s, however long the machine takes.
    let passed = 100 + began.elapsed().as_secs() / 36;
    assert!((100..=passed).contains(&statuses[&200]), "{statuses:?}");
    assert_eq!(statuses.keys().copied().collect::<Vec<_>>(), [200, 429]);
    assert_eq!(rig.seen(&name)["requests"], statuses[&200], "what was refused reached the provider");
}

fn a_limited_answer_tells_where_its_limits_stand(rig: &Rig) {
    let settings = [("LLM_USER_REQUESTS_PER_HOUR", "3"), ("LLM_ORG_REQUESTS_PER_HOUR", "20")];
    let edge = rig.edge_with(&overrides(&settings));
    let user = user_of(&edge.url, rig.host);
    let first = call(&user, "limits").expect(200);
    assert_eq!(first.header("ratelimit-policy"), r#""user";q=3;w=3600, "org";q=20;w=3600"#);
    assert_eq!(first.header("ratelimit"), r#""user";r=2;t=1200, "org";r=19;t=180"#);
    assert_eq!(
        (first.header("x-ratelimit-limit-requests"), first.header("x-ratelimit-remaining-requests")),
        ("3", "2")
    );
    let stream = user.post(PATH, &Rig::chat("limits", &json!({}), true)).expect(200);
    assert!(stream.header("ratelimit").starts_with(r#""user";r=1;"#), "{}", stream.header("ratelimit"));
    let failed = user.post(PATH, &Rig::chat("limits", &json!({"status": 500}), false)).expect(502);
    assert!(failed.header("ratelimit").starts_with(r#""user";r=0;"#), "{}", failed.header("ratelimit"));
    let refused = call(&user, "limits").expect(429);
    assert_eq!(refused.json()["error"]["code"], "rate_limited");
    let (seconds, milliseconds) = (refused.header("retry-after"), refused.header("retry-after-ms"));
    let (seconds, milliseconds): (u64, u64) = (seconds.parse().unwrap(), milliseconds.parse().unwrap());
    assert!(
        (1100..=1200).contains(&seconds) && milliseconds.div_ceil(1000) == seconds,
        "{seconds} s, {milliseconds} ms"
    );
}

fn members_and_keys_of_an_organization_share_its_limit(rig: &Rig) {
    let settings = [("LLM_USER_REQUESTS_PER_HOUR", "100"), ("LLM_ORG_REQUESTS_PER_HOUR", "2")];
    let edge = rig.edge_with(&overrides(&settings));
    let user = user_of(&edge.url, rig.host);
    let key = user.post("/auth/keys", &json!({"name": "limits", "scopes": ["llm"]})).expect(201).json();
    let by_key = Client::new(&edge.url).bearer(key["key"].as_str().unwrap());
    call(&user, "share").expect(200);
    call(&by_key, "share").expect(200);
    for client in [&user, &by_key] {
        let refused = call(client, "share").expect(429);
        assert!(refused.json()["error"]["message"].as_str().unwrap().contains("`org`"), "{}", refused.text());
    }
}
