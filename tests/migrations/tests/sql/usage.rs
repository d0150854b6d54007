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
    ("owners_see_the_usage_of_the_organization_and_others_their_own", visibility),
    ("a_summary_has_sums_percentiles_errors_and_what_has_no_price", sums),
    ("a_summary_is_grouped_by_day_model_user_or_key", groups),
    ("an_empty_summary_has_zeros", nothing),
    ("a_wrong_argument_of_a_summary_is_named", wrong_arguments),
];

const DAY: &str = "2026-03-01T12:00:00Z";

fn event(id: u128, more: &Value) -> Value {
    let mut event = json!({
        "id": Uuid::from_u128(id), "request_id": "r", "user_id": null, "org_id": null, "api_key_id": null,
        "alias": "default", "provider": "together", "model": "llama", "stream": true, "status": "success",
        "http_status": 200, "finish_reason": "stop", "input_tokens": 10, "output_tokens": 20, "cached_input_tokens": 5,
        "usage_source": "provider", "cost_nano_usd": 1_000, "latency_ms": 100, "time_to_first_token_ms": 10, "attempts": 1,
        "started_at": DAY,
    });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

fn record(transaction: &mut Transaction<'_>, events: &[Value]) -> Value {
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
        let mut events: Vec<_> = (1..=98).map(|n: u128| event(n, &with(json!({ "latency_ms": n, "time_to_first_token_ms": null })))).collect();
        events.push(event(99, &with(json!({ "latency_ms": 99, "status": "client_closed", "cost_nano_usd": null }))));
        events.push(event(100, &with(json!({ "latency_ms": 100, "status": "upstream_error" }))));
        record(transaction, &events);
        let expected = json!({
            "requests": 100, "input_tokens": 1_000, "output_tokens": 2_000, "cached_input_tokens": 500, "cost_nano_usd": 99_000,
            "unpriced_requests": 1, "errors": 1, "latency_ms": { "p50": 50, "p95": 95, "p99": 99 },
            "time_to_first_token_ms": { "p50": 10, "p95": 10, "p99": 10 },
        });
        assert_eq!(summary(transaction, cluster.owner, &json!({}))["total"], expected);
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
            [&total["requests"], &total["cost_nano_usd"], &total["latency_ms"]["p50"]],
            [&json!(0), &json!(0), &Value::Null]
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
