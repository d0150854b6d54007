use std::time::Duration;

use quota::account::{Operation, Per, Unit};

use super::*;

const REQUEST: &str = r#"{"model":"listed","messages":[{"role":"user","content":"Hi"}],"max_tokens":10}"#;
/// `Hi`, `role`, `user` and `content` are 17 bytes.
const BYTES: u64 = 17;

/// A route whose price is that of the table: half in flex, five times in priority, double from 1,000 tokens on.
fn scene(variables: &[(&str, &str)]) -> Scene {
    let scene = Scene::with(variables);
    let rate = |tier: &str, above: u64, input: u64, output: u64| json!({"tier": tier, "above": above, "input": input, "output": output, "cached_input": input / 10, "cache_write": input + input / 4});
    let rates = [
        rate("standard", 0, 4_000, 20_000),
        rate("standard", 1_000, 8_000, 40_000),
        rate("flex", 0, 2_000, 10_000),
        rate("priority", 0, 20_000, 100_000),
    ];
    let route = json!({
        "provider": "simulator", "model": "sim/listed", "input_nano_usd": null, "output_nano_usd": null,
        "rates": rates, "price_version": "list-7", "max_input_tokens": 100_000,
    });
    let listed = json!({"alias": "listed", "created": 1_700_000_003, "owned_by": "qlp", "routes": [route]});
    scene.database.lock().unwrap().models["models"].as_array_mut().unwrap().push(listed);
    scene
}

fn answer(usage: &str, tier: &str) -> &'static str {
    let answer =
        format!(r#"{{"choices":[{{"message":{{"content":"Hi."}},"finish_reason":"stop"}}],"usage":{usage}{tier}}}"#);
    answer.leak()
}

const USAGE: &str = r#"{"prompt_tokens":100,"completion_tokens":10,"prompt_tokens_details":{"cached_tokens":40,"cache_write_tokens":20}}"#;

#[test]
fn the_tier_in_which_it_was_answered_decides_what_it_costs() {
    for (asked, told, tier, cost) in [
        ("", "", Value::Null, 40 * 4_000 + 40 * 400 + 20 * 5_000 + 10 * 20_000),
        ("", r#","service_tier":"default""#, json!("default"), 40 * 4_000 + 40 * 400 + 20 * 5_000 + 10 * 20_000),
        ("", r#","service_tier":"flex""#, json!("flex"), 40 * 2_000 + 40 * 200 + 20 * 2_500 + 10 * 10_000),
        (r#","service_tier":"flex""#, "", json!("flex"), 40 * 2_000 + 40 * 200 + 20 * 2_500 + 10 * 10_000),
        (
            r#","service_tier":"priority""#,
            r#","service_tier":"flex""#,
            json!("flex"),
            40 * 2_000 + 40 * 200 + 20 * 2_500 + 10 * 10_000,
        ),
        (
            r#","service_tier":"auto""#,
            r#","service_tier":null"#,
            Value::Null,
            40 * 4_000 + 40 * 400 + 20 * 5_000 + 10 * 20_000,
        ),
        ("", r#","service_tier":"warp""#, json!("warp"), 40 * 20_000 + 40 * 2_000 + 20 * 25_000 + 10 * 100_000),
    ] {
        let scene = scene(&[]);
        scene.provider_json(answer(USAGE, told));
        let response =
            scene.complete(&REQUEST.replace(r#","max_tokens""#, &format!(r#"{asked},"max_tokens""#))).unwrap();
        let event = scene.event();
        assert_eq!(event["cost_nano_usd"], cost / 1_000, "{asked} {told}");
        assert_eq!((&event["service_tier"], &event["price_version"]), (&tier, &json!("list-7")), "{asked} {told}");
        assert_eq!((&event["cached_input_tokens"], &event["cache_write_tokens"]), (&json!(40), &json!(20)));
        assert_eq!(response.headers()["x-qlp-cost-usd"], crate::price::dollars(cost / 1_000));
    }
}

#[test]
fn a_stream_tells_its_tier_too() {
    let scene = scene(&[]);
    let stream = scene.provider_stream();
    stream.send(
        r#"data: {"choices":[{"index":0,"delta":{"content":"Hi"}}],"service_tier":"priority"}

"#,
    );
    stream.send(format!("data: {{\"choices\":[],\"usage\":{USAGE}}}\n\ndata: [DONE]\n\n"));
    let response = scene.complete(&REQUEST.replace("\"max_tokens\"", "\"stream\":true,\"max_tokens\"")).unwrap();
    drop(stream);
    pieces(&scene, response);
    let event = scene.event();
    assert_eq!((&event["service_tier"], &event["cost_nano_usd"]), (&json!("priority"), &json!(800 + 80 + 500 + 1_000)));
}

#[test]
fn a_long_prompt_costs_what_long_prompts_cost() {
    let scene = scene(&[]);
    scene.provider_json(answer(r#"{"prompt_tokens":1001,"completion_tokens":1}"#, ""));
    scene.complete(REQUEST).unwrap();
    assert_eq!(scene.event()["cost_nano_usd"], 1_001 * 8 + 40);
}

#[test]
fn the_dearest_tier_is_reserved_unless_another_is_asked_for() {
    for (asked, most) in [
        ("", BYTES * 25_000 + 10 * 100_000),
        (r#","service_tier":"auto""#, BYTES * 25_000 + 10 * 100_000),
        (r#","service_tier":"default""#, BYTES * 5_000 + 10 * 20_000),
        (r#","service_tier":"flex""#, BYTES * 5_000 + 10 * 20_000),
    ] {
        let request = REQUEST.replace(r#","max_tokens""#, &format!(r#"{asked},"max_tokens""#));
        for (limit, status) in [(most.div_ceil(1_000), 200), (most.div_ceil(1_000) - 1, 400)] {
            let scene = scene(&[]);
            scene.provider_json(answer(USAGE, ""));
            let account = format!("user:{USER}");
            let rule = limits::rule(limits::Level::User, Unit::NanoUsd, Per::Month, limit);
            let set = Operation::SetRules { subject: account.clone(), rules: vec![rule] };
            scene.run(scene.host.context().ledger.apply(&account, &[set])).unwrap();
            let answered = scene
                .complete(&request)
                .map_or_else(|problem| problem.kind().status, |answer| answer.status().as_u16());
            assert_eq!(answered, status, "{asked}: {limit}");
        }
    }
}

#[test]
fn a_call_of_which_nothing_is_heard_costs_the_most_in_the_dearest_tier() {
    let scene = scene(&[]);
    scene.provider_json(answer(USAGE, ""));
    drop(scene.complete(REQUEST).unwrap());
    // The instance is gone before it can tell.
    scene.host.background.forget();
    scene.host.clock.advance(Duration::from_hours(1));
    let account = format!("user:{USER}");
    let look = Operation::SetRules { subject: account.clone(), rules: Vec::new() };
    scene.run(scene.host.context().ledger.apply(&account, &[look])).unwrap();
    let event = scene.event();
    assert_eq!((&event["status"], &event["price_version"]), (&json!("abandoned"), &json!("list-7")));
    assert_eq!(event["cost_nano_usd"], (BYTES * 25_000 + 10 * 100_000).div_ceil(1_000));
}

#[test]
fn what_has_no_price_is_not_called_where_that_is_the_policy() {
    let unpriced = REQUEST.replace("listed", "unpriced");
    for (policy, status) in [("allow", 200), ("deny", 404)] {
        let scene = scene(&[("LLM_UNKNOWN_PRICE", policy)]);
        scene.provider_json(answer(USAGE, ""));
        assert_eq!(scene.complete(REQUEST).unwrap().status(), 200);
        let answer = scene.complete(&unpriced);
        let listed = text(&scene, scene.call(get("https://edge.test/v1/models")).unwrap());
        assert_eq!(listed.contains("unpriced"), policy == "allow");
        match answer {
            Ok(answer) => assert_eq!(answer.status(), status),
            Err(problem) => {
                let (found, _, error) = refused(problem);
                assert_eq!((found, error["code"].as_str()), (status, Some("model_not_found")));
                assert!(error["message"].as_str().unwrap().contains("price"), "{error}");
            }
        }
    }
}
