use std::time::{Duration, Instant};

use conformance::{Answer, Client, EventStream, Events, Rig, marker, wait_until};
use serde_json::{Value, json};

super::list![
    the_sixteen_failure_scenarios,
    s15_a_flapping_primary_is_left_alone_and_comes_back,
    beside_a_slow_provider_the_next_one_is_asked,
];

const PATH: &str = "/v1/chat/completions";

/// An edge whose `default` has a primary (`openai`) and a fallback (`simulator`), both played by the simulator.
struct Scene<'a> {
    rig: &'a Rig,
    user: Client,
    token: &'a str,
    url: &'a str,
}

/// The variables of such an edge.
pub(super) fn two_providers(rig: &Rig, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let simulator = &rig.stack.simulator.as_ref().unwrap().url;
    let base = format!("{simulator}/v1");
    let key = super::SETTINGS.iter().find(|(name, _)| *name == "LLM_SIMULATOR_API_KEY").unwrap().1;
    let all = [("OPENAI_API_KEY", key), ("OPENAI_BASE_URL", base.as_str())];
    all.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What one call has come to.
struct Outcome {
    answer: Answer,
    marker: String,
}

impl Scene<'_> {
    /// A call of which each try meets the next of `behaviours`, the last one for all further ones.
    fn call(&self, behaviours: &Value) -> Outcome {
        let marker = marker("failover");
        let answer = self.user.post(PATH, &Rig::chat(&marker, behaviours, false));
        Outcome { answer, marker }
    }

    fn stream(&self, behaviours: &Value) -> (EventStream, String) {
        let marker = marker("failover");
        (EventStream::post(self.url, PATH, self.token, &Rig::chat(&marker, behaviours, true)), marker)
    }

    fn events(&self, behaviours: &Value) -> (Events, Value) {
        let (stream, _) = self.stream(behaviours);
        assert_eq!(stream.status, 200, "{}", stream.head);
        let id = stream.request_id();
        let events = stream.read_to_end();
        let row = self.rig.usage_row(&id);
        assert_eq!(self.rig.usage_rows(&id).len(), 1);
        (events, row)
    }

    fn asked(&self, marker: &str) -> u64 {
        self.rig.seen(marker)["requests"]["chat"].as_u64().unwrap()
    }

    /// A 200 by `provider` at try `attempts`, with one row that says the same.
    fn expect(&self, outcome: &Outcome, provider: &str, attempts: u64) {
        let answer = &outcome.answer;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(
            (answer.header("x-qlp-provider"), answer.header("x-qlp-attempts")),
            (provider, attempts.to_string().as_str())
        );
        assert_eq!(self.asked(&outcome.marker), attempts);
        let id = answer.header("x-request-id");
        let row = self.rig.usage_row(id);
        assert_eq!(self.rig.usage_rows(id).len(), 1);
        assert_eq!(
            (&row["provider"], &row["attempts"], &row["status"]),
            (&json!(provider), &json!(attempts), &json!("success"))
        );
        assert_eq!(row["model"], answer.json()["model"], "who answered");
    }
}

fn the_sixteen_failure_scenarios(rig: &Rig) {
    let edge = rig.edge_with(&two_providers(rig, &[]));
    let token = rig.stack.demo.access_token.as_str();
    let scene = Scene { rig, user: Client::new(&edge.url).bearer(token), token, url: &edge.url };
    for (name, check) in SCENARIOS {
        eprintln!("  {}: {name}", rig.host);
        check(&scene);
    }
}

type Scenario = fn(&Scene<'_>);

const SCENARIOS: [(&str, Scenario); 15] = [
    ("s01 429 with Retry-After", s01),
    ("s02 429 for good", s02),
    ("s03 500 once", s03),
    ("s04 503 for good", s04),
    ("s05 reset before the head", s05),
    ("s06 no answer at all", s06),
    ("s07 a slow first token", s07),
    ("s08 cut in the middle", s08),
    ("s09 a stall", s09),
    ("s10 a malformed chunk", s10),
    ("s11 no [DONE]", s11),
    ("s12 a context that is too long", s12),
    ("s13 a content filter", s13),
    ("s14 nothing is continued elsewhere", s14),
    ("s16 accounts of a failover", s16),
];

fn s01(scene: &Scene<'_>) {
    let began = Instant::now();
    let outcome = scene.call(&json!([{"status": 429, "retry_after": 1}, {}]));
    scene.expect(&outcome, "openai", 2);
    assert!(began.elapsed() >= Duration::from_secs(1), "it came back too early");
    let outcome = scene.call(&json!([{"status": 429, "retry_after": 300}, {}]));
    scene.expect(&outcome, "simulator", 2);
}

fn s02(scene: &Scene<'_>) {
    let outcome = scene.call(&json!({"status": 429, "code": "rate_limit_exceeded", "retry_after": 20}));
    assert_eq!(outcome.answer.header("retry-after"), "20");
    outcome.answer.expect_openai_error(429, "rate_limit_exceeded");
    assert_eq!(scene.asked(&outcome.marker), 2);
}

fn s03(scene: &Scene<'_>) {
    scene.expect(&scene.call(&json!([{"status": 500}, {}])), "openai", 2);
}

fn s04(scene: &Scene<'_>) {
    scene.expect(&scene.call(&json!([{"status": 503}, {"status": 503}, {}])), "simulator", 3);
}

fn s05(scene: &Scene<'_>) {
    scene.expect(&scene.call(&json!([{"reset": true}, {"reset": true}, {}])), "simulator", 3);
}

fn s06(scene: &Scene<'_>) {
    scene.expect(&scene.call(&json!([{"hang": true}, {}])), "simulator", 2);
}

fn s07(scene: &Scene<'_>) {
    for slow in [json!({"first_token_ms": 60_000}), json!({"first_token_ms": 60_000, "role_first": true})] {
        let (stream, marker) = scene.stream(&json!([slow, {"tokens": 5}]));
        assert_eq!(stream.status, 200, "{}", stream.head);
        assert!(stream.head.contains("x-qlp-provider: simulator"), "{}", stream.head);
        let events = stream.read_to_end();
        assert!(events.done() && events.error().is_none());
        wait_until("the slow answer is cancelled", || (scene.rig.seen(&marker)["cancelled"] == 1).then_some(()));
    }
}

fn s08(scene: &Scene<'_>) {
    let (events, row) = scene.events(&json!([{"tokens": 20, "cut_after": 5}, {}]));
    assert!(events.error().is_some() && !events.done() && !events.text().is_empty(), "{events:?}");
    assert_eq!((&row["status"], &row["attempts"]), (&json!("truncated"), &json!(1)));
    assert!(row["output_tokens"].as_u64().unwrap() > 0, "what came is billed: {row}");
}

fn s09(scene: &Scene<'_>) {
    let (events, row) = scene.events(&json!([{"tokens": 20, "stall_after": 5}, {}]));
    assert!(events.error().is_some() && !events.done(), "{events:?}");
    assert_eq!((&row["status"], &row["attempts"]), (&json!("timeout"), &json!(1)));
}

fn s10(scene: &Scene<'_>) {
    let (events, row) = scene.events(&json!([{"tokens": 20, "malformed_after": 1}, {"tokens": 5}]));
    assert!(events.done() && events.error().is_none(), "before the first text another try answers: {events:?}");
    assert_eq!(row["attempts"], 2);
    let (events, row) = scene.events(&json!([{"tokens": 20, "malformed_after": 5}, {}]));
    assert!(events.error().is_some() && !events.done(), "{events:?}");
    assert_eq!(row["attempts"], 1);
}

fn s11(scene: &Scene<'_>) {
    let (events, row) = scene.events(&json!({"tokens": 5, "no_done": true}));
    assert!(events.complete && events.error().is_none(), "{events:?}");
    assert_eq!((&row["status"], &row["output_tokens"]), (&json!("success"), &json!(5)));
    let (events, _) = scene.events(&json!({"tokens": 5, "no_done": true, "no_finish_reason": true}));
    assert!(events.error().is_some() && !events.done(), "{events:?}");
}

fn s12(scene: &Scene<'_>) {
    let outcome = scene.call(&json!([{"status": 400, "code": "context_length_exceeded"}, {}]));
    outcome.answer.expect_openai_error(400, "context_length_exceeded");
    assert_eq!(scene.asked(&outcome.marker), 1);
}

fn s13(scene: &Scene<'_>) {
    let outcome = scene.call(&json!([{"status": 400, "code": "content_filter"}, {}]));
    outcome.answer.expect_openai_error(400, "content_filter");
    assert_eq!(scene.asked(&outcome.marker), 1);
}

fn s14(scene: &Scene<'_>) {
    let (stream, marker) = scene.stream(&json!([{"tokens": 20, "reset_after": 6}, {"status": 400}]));
    let events = stream.read_to_end();
    assert!(events.error().is_some() && !events.done(), "{events:?}");
    assert_eq!(scene.asked(&marker), 1, "an answer that has begun is not continued by anybody");
}

fn s16(scene: &Scene<'_>) {
    let outcome = scene.call(&json!([{"status": 500}, {"status": 500}, {"tokens": 6}]));
    scene.expect(&outcome, "simulator", 3);
    let row = scene.rig.usage_row(outcome.answer.header("x-request-id"));
    let usage = &outcome.answer.json()["usage"];
    assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&usage["prompt_tokens"], &usage["completion_tokens"]));
}

fn s15_a_flapping_primary_is_left_alone_and_comes_back(rig: &Rig) {
    let edge = rig.edge_with(&two_providers(rig, &[("LLM_BREAKER_FAILURES", "3")]));
    let token = rig.stack.demo.access_token.as_str();
    let scene = Scene { rig, user: Client::new(&edge.url).bearer(token), token, url: &edge.url };
    let flapping = marker("flapping");
    let rule = json!({"match": {"model": "gpt-4o-mini", "marker": flapping}, "times": 0, "behaviour": {"status": 500}});
    rig.simulator().post("/__sim/faults", &rule);
    let flap = || {
        let answer = scene.user.post(PATH, &Rig::chat(&flapping, &json!({}), false));
        Outcome { answer, marker: flapping.clone() }
    };
    let tries = |outcome: &Outcome| outcome.answer.header("x-qlp-attempts").parse::<u32>().unwrap();
    let provider = |outcome: &Outcome| outcome.answer.header("x-qlp-provider").to_owned();
    // A Spin instance keeps its breaker for itself and learns of the others' from the cache when a route fails there too.
    wait_until("the primary is left alone", || {
        let outcome = flap();
        assert_eq!((outcome.answer.status, provider(&outcome).as_str()), (200, "simulator"));
        (tries(&outcome) == 1).then_some(())
    });
    wait_until("the primary is tried again and serves", || {
        let outcome = scene.call(&json!({}));
        assert_eq!(outcome.answer.status, 200);
        (provider(&outcome) == "openai").then_some(())
    });
}

fn beside_a_slow_provider_the_next_one_is_asked(rig: &Rig) {
    // So slow that nothing but the hedge can have brought the answer.
    let slow =
        [("LLM_HEDGE_AFTER_MS", "200"), ("LLM_FIRST_TOKEN_TIMEOUT_MS", "300000"), ("LLM_ANSWER_TIMEOUT_MS", "300000")];
    let edge = rig.edge_with(&two_providers(rig, &slow));
    let token = rig.stack.demo.access_token.as_str();
    let scene = Scene { rig, user: Client::new(&edge.url).bearer(token), token, url: &edge.url };
    let cancelled = |marker: &str| {
        wait_until("the slow answer is cancelled", || (rig.seen(marker)["cancelled"] == 1).then_some(()));
    };
    let outcome = scene.call(&json!([{"hang": true}, {}]));
    scene.expect(&outcome, "simulator", 2);
    cancelled(&outcome.marker);
    for slow in [json!({"hang": true}), json!({"first_token_ms": 200_000, "role_first": true})] {
        let (stream, marker) = scene.stream(&json!([slow, {"tokens": 5}]));
        assert_eq!(stream.status, 200, "{}", stream.head);
        assert!(stream.head.contains("x-qlp-provider: simulator"), "{}", stream.head);
        assert!(stream.head.contains("x-qlp-attempts: 2"), "{}", stream.head);
        let id = stream.request_id();
        let events = stream.read_to_end();
        assert!(events.done() && events.error().is_none(), "{events:?}");
        cancelled(&marker);
        let row = rig.usage_row(&id);
        assert_eq!(rig.usage_rows(&id).len(), 1);
        assert_eq!((&row["provider"], &row["attempts"]), (&json!("simulator"), &json!(2)));
        assert_eq!((&row["status"], &row["output_tokens"]), (&json!("success"), &json!(5)));
    }
}
