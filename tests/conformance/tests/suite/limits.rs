use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use conformance::{Answer, Client, EventStream, Rig, marker, wait_until};
use local_redis::Server as Redis;
use serde_json::{Value, json};
use tempfile::TempDir;

super::list![
    of_a_thousand_requests_at_once_exactly_a_hundred_pass,
    a_thousand_streams_at_the_edge_of_a_budget_overspend_nothing,
    a_limited_answer_tells_where_its_limits_stand,
    members_and_keys_of_an_organization_share_its_limit,
    of_a_thousand_requests_at_once_exactly_a_hundred_pass_by_redis,
    a_thousand_streams_at_the_edge_of_a_budget_overspend_nothing_by_redis,
    when_redis_crashes_every_answered_call_has_its_row_and_its_charge,
];

const PATH: &str = "/v1/chat/completions";
/// With a thousand callers at once a busy machine takes long for each.
const PATIENT: [(&str, &str); 6] = [
    ("LEDGER_DEADLINE_MS", "10000"),
    ("LLM_HEADERS_TIMEOUT_MS", "120000"),
    ("LLM_FIRST_TOKEN_TIMEOUT_MS", "120000"),
    ("LLM_IDLE_TIMEOUT_MS", "120000"),
    ("LLM_STREAM_TIMEOUT_MS", "120000"),
    ("LLM_ANSWER_TIMEOUT_MS", "120000"),
];
/// How many streams at the same time the budget below has room for.
const ADMITTED: u64 = 100;

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

/// A Redis of one check.
fn redis() -> (Redis, TempDir) {
    let (project, folder) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), TempDir::new().unwrap());
    (Redis::start(&project, folder.path(), true).unwrap_or_else(|error| panic!("{error}")), folder)
}

fn of_a_thousand_requests_at_once_exactly_a_hundred_pass(rig: &Rig) {
    a_thousand_requests(rig, &[]);
}

fn of_a_thousand_requests_at_once_exactly_a_hundred_pass_by_redis(rig: &Rig) {
    let (redis, _folder) = redis();
    a_thousand_requests(rig, &[("REDIS_URL", &redis.url())]);
}

fn a_thousand_requests(rig: &Rig, settings: &[(&str, &str)]) {
    let limits = [("LLM_USER_REQUESTS_PER_HOUR", "100"), ("LLM_ORG_REQUESTS_PER_HOUR", "1000")];
    let edge = rig.edge_with(&overrides(&[limits.as_slice(), &PATIENT, settings].concat()));
    let (user, name) = (user_of(&edge.url, rig.host).patient(), marker("thousand"));
    let began = Instant::now();
    let at_once = Barrier::new(1000);
    let statuses = thread::scope(|scope| {
        let ask = || {
            at_once.wait();
            loop {
                // Whoever could not be decided upon at once, on a machine that is too busy, tries again as told.
                let answer = call(&user, &name);
                if answer.status != 503 {
                    return answer.status;
                }
                thread::sleep(wait_of(answer.header("retry-after")));
            }
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
    assert_eq!(rig.seen(&name)["requests"]["chat"], statuses[&200], "what was refused reached the provider");
}

fn a_thousand_streams_at_the_edge_of_a_budget_overspend_nothing(rig: &Rig) {
    a_thousand_streams(rig, &[]);
}

fn a_thousand_streams_at_the_edge_of_a_budget_overspend_nothing_by_redis(rig: &Rig) {
    let (redis, _folder) = redis();
    a_thousand_streams(rig, &[("REDIS_URL", &redis.url())]);
}

/// Half of the callers hang up; what is spent never exceeds the budget, and the ledger, the accounts and the provider
/// count the same.
fn a_thousand_streams(rig: &Rig, settings: &[(&str, &str)]) {
    let edge = rig.edge_with(&overrides(&[&PATIENT, settings].concat()));
    let (_, session) = rig.new_user();
    let token = session["access_token"].as_str().unwrap();
    let (user, name) = (Client::new(&edge.url).bearer(token), marker("budget"));
    let (worst, mut spent) = first_call(rig, &user, &name);
    let budget = spent + ADMITTED * worst + worst / 2;
    set_budget(&user, budget);
    let at_once = Barrier::new(1000);
    let admitted: Vec<(String, bool)> = thread::scope(|scope| {
        let (at_once, name, url) = (&at_once, &name, edge.url.as_str());
        let ask = |number: usize| {
            at_once.wait();
            let stream = EventStream::post_until_decided(url, PATH, token, &slow_stream(name));
            assert!([200, 429].contains(&stream.status), "{}", stream.head);
            let (id, stays) = (stream.request_id(), number.is_multiple_of(2));
            if stream.status == 429 {
                return None;
            }
            if stays {
                assert!(stream.read_to_end().done());
            } else {
                stream.read_then_hang_up(2);
            }
            Some((id, stays))
        };
        let asking: Vec<_> = (0..1000)
            .map(|number| {
                let small = thread::Builder::new().stack_size(256 * 1024);
                small.spawn_scoped(scope, move || ask(number)).unwrap()
            })
            .collect();
        asking.into_iter().filter_map(|answer| answer.join().unwrap()).collect()
    });
    // As many as there is room for at first; on a slow machine some more, in the room that the first have left.
    assert!(admitted.len() as u64 >= ADMITTED, "{} were admitted", admitted.len());
    assert_eq!(rig.seen(&name)["requests"]["chat"], admitted.len() + 1, "what the provider was asked for");
    for (id, stays) in &admitted {
        let row = rig.usage_row(id);
        assert_eq!(rig.usage_rows(id).len(), 1, "{id}");
        if *stays {
            assert_eq!((&row["status"], &row["output_tokens"]), (&json!("success"), &json!(20)), "{row}");
        }
        spent += row["cost_nano_usd"].as_u64().unwrap();
    }
    assert!(spent <= budget, "{spent} of {budget}");
    wait_until("the ledger has spent what the accounts say", || (left(&user) == budget - spent).then_some(()));
}

fn wait_of(retry_after: &str) -> Duration {
    Duration::from_secs(retry_after.parse().unwrap())
}

fn slow_stream(name: &str) -> Value {
    let mut body = Rig::chat(name, &json!({"tokens": 20, "first_token_ms": 1000, "interval_ms": 2}), true);
    body["model"] = json!("sim-1");
    body["max_tokens"] = json!(20);
    body
}

/// What is reserved for one such call, and what it cost, in nano-dollars.
fn first_call(rig: &Rig, user: &Client, name: &str) -> (u64, u64) {
    let large = 1_000_000_000_000;
    set_budget(user, large);
    let mut body = slow_stream(name);
    body["stream"] = json!(false);
    let answer = user.post(PATH, &body).expect(200);
    let fields = answer.header("ratelimit").to_owned();
    let item = fields.split(", ").find(|item| item.starts_with("\"org-nano-usd-month\"")).unwrap().to_owned();
    let remaining: u64 = item.split(";r=").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    let cost = rig.usage_row(answer.header("x-request-id"))["cost_nano_usd"].as_u64().unwrap();
    wait_until("the first call is settled", || (left(user) == large - cost).then_some(()));
    (large - remaining, cost)
}

fn set_budget(user: &Client, nano_usd: u64) {
    let limits = json!({"limits": [{"unit": "nano_usd", "window": "month", "limit": nano_usd}]});
    let headers = [("content-type", "application/json")];
    user.send("PUT", "/v1/limits/org", &headers, Some(limits.to_string().into_bytes())).expect(200);
}

/// What is left of the organization's budget.
fn left(user: &Client) -> u64 {
    let limits = user.get("/v1/limits").expect(200).json();
    let limit = limits["data"].as_array().unwrap().iter().find(|limit| limit["unit"] == "nano_usd").unwrap();
    limit["remaining"].as_u64().unwrap()
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

/// Redis is killed under load, twice, and comes back with what it had on disk.
fn when_redis_crashes_every_answered_call_has_its_row_and_its_charge(rig: &Rig) {
    let (mut redis, _folder) = redis();
    let edge = rig.edge_with(&overrides(&[&PATIENT[..], &[("REDIS_URL", &redis.url())]].concat()));
    let (_, session) = rig.new_user();
    let (user, name) = (Client::new(&edge.url).bearer(session["access_token"].as_str().unwrap()), marker("crash"));
    let budget = 1_000_000_000_000;
    set_budget(&user, budget);
    let answered: Vec<String> = thread::scope(|scope| {
        let ask = || {
            let mut answered = Vec::new();
            while answered.len() < 15 {
                let answer = call(&user, &name);
                match answer.status {
                    200 => answered.push(answer.header("x-request-id").to_owned()),
                    503 => thread::sleep(wait_of(answer.header("retry-after"))),
                    other => panic!("{other}: {}", answer.text()),
                }
            }
            answered
        };
        let asking: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        for crash in 1..=2 {
            wait_until("calls are under way", || {
                (rig.seen(&name)["requests"]["chat"].as_u64() >= Some(crash * 15)).then_some(())
            });
            redis.kill();
            redis.restart().unwrap();
        }
        asking.into_iter().flat_map(|answers| answers.join().unwrap()).collect()
    });
    let mut spent = 0;
    for id in &answered {
        spent += rig.usage_row(id)["cost_nano_usd"].as_u64().unwrap();
        assert_eq!(rig.usage_rows(id).len(), 1, "{id}");
    }
    // A call that was refused when the crash had hidden that it was reserved is charged when its time is over.
    assert!(left(&user) <= budget - spent, "{} are left of {budget}, and {spent} were spent", left(&user));
}
