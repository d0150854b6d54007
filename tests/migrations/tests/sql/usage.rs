//! Usage: recorded once, reported to whom it concerns.

use postgres::Transaction;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Test;
use crate::cluster::{As, Cluster, call, code};

pub const TESTS: &[Test] = &[
    ("an_event_that_is_sent_twice_is_stored_once", idempotence),
    ("a_call_that_was_answered_from_the_cache_says_so", cache_hits),
    ("events_of_unknown_users_and_organizations_are_stored", unknown_people),
    ("an_event_that_cannot_be_stored_does_not_take_others_with_it", one_bad_event),
    ("something_that_is_no_list_of_events_is_refused", no_list),
    ("what_was_asked_for_is_kept_and_a_chat_unless_told_otherwise", operations),
    ("owners_see_the_usage_of_the_organization_and_others_their_own", visibility),
    ("a_summary_has_sums_percentiles_errors_and_what_has_no_price", sums),
    ("a_summary_is_grouped_by_day_model_user_or_key", groups),
    ("percentiles_rates_and_money_are_those_of_a_simple_model", model),
    ("an_event_without_the_newer_fields_is_stored", older_event),
    ("an_empty_summary_has_zeros", nothing),
    ("a_wrong_argument_of_a_summary_is_named", wrong_arguments),
];

pub const DAY: &str = "2026-03-01T12:00:00Z";

pub fn event(id: u128, more: &Value) -> Value {
    let mut event = json!({
        "id": Uuid::from_u128(id), "request_id": "r", "user_id": null, "org_id": null, "api_key_id": null,
        "alias": "default", "provider": "together", "model": "llama", "stream": true, "status": "success",
        "http_status": 200, "finish_reason": "stop", "input_tokens": 10, "output_tokens": 20, "cached_input_tokens": 5,
        "cache_write_tokens": 2, "cache_write_1h_tokens": 1, "service_tier": "default", "price_version": "v1", "cache_hit": false,
        "usage_source": "provider", "cost_nano_usd": 1_000, "latency_ms": 100, "time_to_first_token_ms": 10, "attempts": 1,
        "started_at": DAY,
    });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

pub fn record(transaction: &mut Transaction<'_>, events: &[Value]) -> Value {
    call(transaction, As::Service, "record_llm_usage", &json!({ "events": events })).unwrap()
}

fn idempotence(cluster: &Cluster) {
    cluster.transaction(|transaction| {
        assert_eq!(record(transaction, &[event(1, &json!({})), event(2, &json!({}))]), json!({ "recorded": 2 }));
        let changed = event(2, &json!({ "input_tokens": 99 }));
        assert_eq!(record(transaction, &[changed, event(3, &json!({}))]), json!({ "recorded": 1 }));
        assert_eq!(record(transaction, &[event(4, &json!({})), event(4, &json!({}))]), json!({ "recorded": 1 }));
        let kept = "select input_tokens from public.llm_usage where id = $1";
        assert_eq!(transaction.query_one(kept, &[&Uuid::from_u128(2)]).unwrap().get::<_, i64>(0), 10);
    });
}

fn cache_hits(cluster: &Cluster) {
    cluster.transaction(|transaction| {
        record(transaction, &[event(1, &json!({ "cache_hit": true })), event(2, &json!({}))]);
        record(transaction, &[event(3, &json!({ "status": "abandoned" }))]);
        record(transaction, &[event(3, &json!({ "cache_hit": true }))]);
        let kept =
            "select array_agg(cache_hit order by id) from public.llm_usage where started_at = $1::text::timestamptz";
        assert_eq!(transaction.query_one(kept, &[&DAY]).unwrap().get::<_, Vec<bool>>(0), [true, false, true]);
    });
}

fn unknown_people(cluster: &Cluster) {
    cluster.transaction(|transaction| {
        let nobody =
            json!({ "user_id": Uuid::from_u128(77), "org_id": Uuid::from_u128(78), "api_key_id": Uuid::from_u128(79) });
        assert_eq!(record(transaction, &[event(1, &nobody)]), json!({ "recorded": 1 }));
    });
}

fn one_bad_event(cluster: &Cluster) {
    cluster.transaction(|transaction| {
        let events = [
            event(1, &json!({})),
            event(2, &json!({ "usage_source": "guessed" })),
            event(3, &json!({ "user_id": "nobody" })),
            event(4, &json!({ "input_tokens": -1 })),
            event(5, &json!({ "started_at": "yesterday-ish" })),
            json!("no object"),
            event(6, &json!({ "unknown_field": 1, "provider": null, "model": null, "cost_nano_usd": null })),
        ];
        let answer = record(transaction, &events);
        assert_eq!(answer["recorded"], 2, "{answer}");
        let refused: Vec<_> =
            answer["refused"].as_array().unwrap().iter().map(|refused| refused["id"].clone()).collect();
        let ids = [2, 3, 4, 5].map(|id| json!(Uuid::from_u128(id)));
        assert_eq!(refused, [&ids[..], &[Value::Null]].concat());
    });
}

fn operations(cluster: &Cluster) {
    cluster.transaction(|transaction| {
        record(
            transaction,
            &[
                event(1, &json!({ "operation": "embeddings" })),
                event(2, &json!({})),
                event(3, &json!({ "status": "abandoned" })),
            ],
        );
        record(transaction, &[event(3, &json!({ "operation": "embeddings" }))]);
        let kept = "select operation from public.llm_usage order by id limit 3"; // ids of other tests are greater
        let kept: Vec<String> = transaction.query(kept, &[]).unwrap().iter().map(|row| row.get(0)).collect();
        assert_eq!(kept, ["embeddings", "chat", "embeddings"]);
    });
}

fn no_list(cluster: &Cluster) {
    for payload in [json!({}), json!({ "events": {} }), json!({ "events": null }), json!([])] {
        let refused = cluster.call(As::Service, "record_llm_usage", &payload).unwrap_err();
        assert_eq!(code(&refused), "PT400", "{payload}");
    }
    assert_eq!(
        cluster.call(As::Service, "record_llm_usage", &json!({ "events": [] })).unwrap(),
        json!({ "recorded": 0 })
    );
    let refused = cluster.call(As::User(cluster.owner), "record_llm_usage", &json!({ "events": [] })).unwrap_err();
    assert_eq!(code(&refused), "42501");
}

fn visibility(cluster: &Cluster) {
    cluster.transaction(|transaction| {
        let by = |user: Uuid, org: Uuid| json!({ "user_id": user, "org_id": org });
        record(
            transaction,
            &[
                event(1, &by(cluster.owner, cluster.org)),
                event(2, &by(cluster.viewer, cluster.org)),
                event(3, &by(cluster.developer, cluster.org)),
                event(4, &by(cluster.stranger, cluster.other_org)),
            ],
        );
        let people = [
            (cluster.owner, 3),
            (cluster.viewer, 1),
            (cluster.developer, 1),
            (cluster.stranger, 1),
            (cluster.newcomer, 0),
        ];
        for (who, expected) in people {
            assert_eq!(summary(transaction, who, &json!({}))["total"]["requests"], expected);
        }
    });
}

fn sums(cluster: &Cluster) {
    cluster.transaction(|transaction| {
        let owner = json!({ "user_id": cluster.owner });
        let with = |more: Value| -> Value {
            let mut fields = owner.clone();
            fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            fields
        };
        let mut events: Vec<_> = (1..=98)
            .map(|n: u128| event(n, &with(json!({ "latency_ms": n, "time_to_first_token_ms": null }))))
            .collect();
        events.push(event(99, &with(json!({ "latency_ms": 99, "status": "client_closed", "cost_nano_usd": null }))));
        events
            .push(event(100, &with(json!({ "latency_ms": 100, "status": "upstream_error", "cost_nano_usd": 1_001 }))));
        for hit in &mut events[..2] {
            hit["cache_hit"] = json!(true);
        }
        record(transaction, &events);
        let expected = json!({
            "requests": 100, "input_tokens": 1_000, "output_tokens": 2_000, "cached_input_tokens": 500,
            "cache_write_tokens": 200, "cache_write_1h_tokens": 100, "cost_nano_usd": 99_001, "cost_micro_usd": 99.001,
            "unpriced_requests": 1,
            "cache_hits": 2, "errors": 1, "error_rate": 0.01, "latency_ms": { "p50": 50, "p95": 95, "p99": 99 },
            "time_to_first_token_ms": { "p50": 10, "p95": 10, "p99": 10 },
        });
        assert_eq!(summary(transaction, cluster.owner, &json!({}))["total"], expected);
    });
}

/// Random calls of two users in three groups, summed up here by plain loops.
fn model(cluster: &Cluster) {
    let mut state = 7_u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for round in 0..20_u128 {
        let size = 1 + random(60);
        let events: Vec<_> = (0..u128::from(size))
            .map(|n| {
                let first = if random(3) == 0 { Value::Null } else { json!(random(400)) };
                let cost = if random(5) == 0 { Value::Null } else { json!(random(10_000_000)) };
                event(
                    round * 1_000 + n,
                    &json!({
                        "user_id": cluster.owner, "model": one_of(["a", "b", "c"], random(3)),
                        "latency_ms": random(1_000), "time_to_first_token_ms": first, "cost_nano_usd": cost,
                        "status": one_of(["success", "client_closed", "truncated"], random(3)),
                        "cache_hit": random(2) == 0, "cache_write_tokens": 50, "cache_write_1h_tokens": random(50),
                    }),
                )
            })
            .collect();
        let summary = cluster.transaction(|transaction| {
            record(transaction, &events);
            summary(transaction, cluster.owner, &json!({ "group_by": "model" }))
        });
        assert_eq!(summary["total"], expected(&events.iter().collect::<Vec<_>>()), "round {round}");
        for group in summary["data"].as_array().unwrap() {
            let of_group: Vec<_> = events.iter().filter(|event| event["model"] == group["group"]).collect();
            let mut numbers = expected(&of_group);
            numbers["group"] = group["group"].clone();
            assert_eq!(*group, numbers, "round {round}");
        }
    }
}

fn one_of(words: [&'static str; 3], number: u64) -> &'static str {
    words[usize::try_from(number).unwrap()]
}

fn expected(events: &[&Value]) -> Value {
    let numbers = |name: &str| events.iter().filter_map(|event| event[name].as_u64()).collect::<Vec<_>>();
    let sum = |name: &str| numbers(name).iter().sum::<u64>();
    let count = |test: &dyn Fn(&Value) -> bool| events.iter().filter(|event| test(event)).count();
    // The smallest that at least so many of a hundred do not exceed.
    let percentiles = |name: &str| {
        let mut sorted = numbers(name);
        sorted.sort_unstable();
        let at = |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).max(1) - 1).copied();
        json!({ "p50": at(50), "p95": at(95), "p99": at(99) })
    };
    let errors = count(&|event| event["status"] == "truncated");
    let millionths = (errors * 2_000_000 + events.len()) / (2 * events.len());
    let cost = sum("cost_nano_usd");
    json!({
        "requests": events.len(), "input_tokens": sum("input_tokens"), "output_tokens": sum("output_tokens"),
        "cached_input_tokens": sum("cached_input_tokens"), "cache_write_tokens": sum("cache_write_tokens"),
        "cache_write_1h_tokens": sum("cache_write_1h_tokens"),
        "cost_nano_usd": cost, "cost_micro_usd": number(cost, 3), "unpriced_requests": count(&|event| event["cost_nano_usd"].is_null()),
        "cache_hits": count(&|event| event["cache_hit"] == true), "errors": errors, "error_rate": number(millionths as u64, 6),
        "latency_ms": percentiles("latency_ms"), "time_to_first_token_ms": percentiles("time_to_first_token_ms"),
    })
}

/// `digits` with so many of them behind the point, as JSON has it.
fn number(digits: u64, places: u32) -> Value {
    let whole = 10_u64.pow(places);
    let text = format!("{}.{:0width$}", digits / whole, digits % whole, width = places as usize);
    serde_json::from_str(text.trim_end_matches('0').trim_end_matches('.')).unwrap()
}

fn older_event(cluster: &Cluster) {
    cluster.transaction(|transaction| {
        let mut older = event(1, &json!({}));
        for newer in ["cache_write_tokens", "cache_write_1h_tokens", "service_tier", "price_version", "cache_hit"] {
            older.as_object_mut().unwrap().remove(newer);
        }
        assert_eq!(record(transaction, &[older]), json!({ "recorded": 1 }));
        let kept = "select cache_write_tokens + cache_write_1h_tokens, cache_hit, price_version is null from public.llm_usage where id = $1";
        let kept = transaction.query_one(kept, &[&Uuid::from_u128(1)]).unwrap();
        assert_eq!((kept.get::<_, i64>(0), kept.get::<_, bool>(1), kept.get::<_, bool>(2)), (0, false, true));
    });
}

fn groups(cluster: &Cluster) {
    cluster.transaction(|transaction| {
        let (owner, key) = (cluster.owner, Uuid::from_u128(9));
        record(transaction, &[
            event(1, &json!({ "user_id": owner, "model": "a", "started_at": "2026-03-01T23:59:59Z" })),
            event(2, &json!({ "user_id": owner, "model": "b", "started_at": "2026-03-02T00:30:00+01:00" })),
            event(3, &json!({ "user_id": owner, "model": null, "api_key_id": key, "started_at": "2026-03-02T00:00:00Z" })),
        ]);
        let mut labels = |group_by: &str| -> Vec<(Value, Value)> {
            let summary = summary(transaction, owner, &json!({ "group_by": group_by }));
            let data = summary["data"].as_array().unwrap().iter();
            data.map(|group| (group["group"].clone(), group["requests"].clone())).collect()
        };
        assert_eq!(labels("day"), [(json!("2026-03-01"), json!(2)), (json!("2026-03-02"), json!(1))]);
        assert_eq!(labels("model"), [(json!("a"), json!(1)), (json!("b"), json!(1)), (json!("default"), json!(1))]);
        assert_eq!(labels("user"), [(json!(owner), json!(3))]);
        assert_eq!(labels("key"), [(json!(key), json!(1)), (Value::Null, json!(2))]);
    });
}

fn nothing(cluster: &Cluster) {
    cluster.transaction(|transaction| {
        let summary = summary(transaction, cluster.newcomer, &json!({}));
        assert_eq!(summary["data"], json!([]));
        let total = &summary["total"];
        assert_eq!(
            [
                &total["requests"],
                &total["cost_nano_usd"],
                &total["cost_micro_usd"],
                &total["latency_ms"]["p50"],
                &total["error_rate"]
            ],
            [&json!(0), &json!(0), &json!(0), &Value::Null, &Value::Null]
        );
    });
}

fn wrong_arguments(cluster: &Cluster) {
    let cases = [
        (json!({ "group_by": "colour" }), "group_by"),
        (json!({ "from": "soon" }), "from"),
        (json!({ "to": "soon" }), "to"),
        (json!({ "from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z" }), "from"),
        (json!({ "from": "2020-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z" }), "from"),
    ];
    for (payload, field) in cases {
        let refused = cluster.call(As::User(cluster.owner), "usage_summary", &payload).unwrap_err();
        assert_eq!((code(&refused), refused.as_db_error().unwrap().detail()), ("PT400", Some(field)), "{payload}");
    }
}

/// Of March 2026, where only this file's events are.
fn summary(transaction: &mut Transaction<'_>, who: Uuid, more: &Value) -> Value {
    let mut payload = json!({ "from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z" });
    payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    call(transaction, As::User(who), "usage_summary", &payload).unwrap()
}
