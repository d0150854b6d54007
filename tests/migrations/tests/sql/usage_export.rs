//! Usage, call by call: complete, in order, page by page, and to whom it concerns.

use std::collections::BTreeSet;

use postgres::Transaction;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Test;
use crate::cluster::{As, Cluster, call};
use crate::usage::{DAY, event, record};

pub const TESTS: &[Test] = &[
    ("an_export_has_every_call_once_in_order_whatever_the_pages", pages),
    ("an_export_shows_what_a_summary_counts", visibility),
    ("an_exported_row_has_every_column_as_text", columns),
    ("an_export_begins_after_the_call_that_is_named", resuming),
    ("a_page_of_an_export_reads_little_more_than_it_shows", reads),
    ("a_wrong_argument_of_an_export_is_named", wrong_arguments),
];

fn export(transaction: &mut Transaction<'_>, who: Uuid, more: &Value) -> Value {
    let mut payload = json!({ "from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z" });
    payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    call(transaction, As::User(who), "export_usage", &payload).unwrap()
}

fn ids(page: &Value) -> Vec<Uuid> {
    page["rows"].as_array().unwrap().iter().map(|row| row[0].as_str().unwrap().parse().unwrap()).collect()
}

/// All pages of so many calls each.
fn all(transaction: &mut Transaction<'_>, who: Uuid, limit: u64) -> Vec<Uuid> {
    let (mut found, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = export(transaction, who, &json!({ "after": after, "limit": limit }));
        let ids = ids(&page);
        assert!(ids.len() as u64 <= limit);
        assert!(found.is_empty() || !ids.is_empty(), "a page that is announced has calls");
        after = page["next_after"].clone();
        if !after.is_null() {
            assert_eq!(ids.len() as u64, limit);
            assert_eq!(after, json!(ids.last()));
        }
        found.extend(ids);
        if after.is_null() {
            return found;
        }
    }
}

fn pages(cluster: &Cluster) {
    cluster.transaction(|transaction| {
        // Many at the same moment, not in the order of their ids; own and others' of the organization, mixed.
        let mut events: Vec<_> = (1..=40_u128)
            .map(|n| {
                let second = (n * 7) % 5;
                let user = if n % 3 == 0 { cluster.owner } else { cluster.developer };
                let org = if n % 6 == 0 { Value::Null } else { json!(cluster.org) };
                event(
                    n * 31 % 41,
                    &json!({
                        "user_id": user, "org_id": org, "started_at": format!("2026-03-02T00:00:0{second}Z"),
                    }),
                )
            })
            .filter(|event| event["org_id"].is_string() || event["user_id"] == json!(cluster.owner))
            .collect();
        // One by one, so that the table has them in another order.
        for event in &events {
            record(transaction, std::slice::from_ref(event));
        }
        events.sort_by_key(|event| (event["started_at"].to_string(), event["id"].to_string()));
        let expected: Vec<Uuid> = events.iter().map(|event| event["id"].as_str().unwrap().parse().unwrap()).collect();
        for limit in [1, 3, 7, 40, 500] {
            assert_eq!(all(transaction, cluster.owner, limit), expected, "pages of {limit}");
        }
    });
}

fn visibility(cluster: &Cluster) {
    cluster.transaction(|transaction| {
        let by = |user: Uuid, org: Uuid| json!({ "user_id": user, "org_id": org });
        let events = [
            event(1, &by(cluster.owner, cluster.org)),
            event(2, &by(cluster.viewer, cluster.org)),
            event(3, &by(cluster.stranger, cluster.other_org)),
            event(4, &json!({ "user_id": cluster.viewer, "started_at": "2026-02-28T23:59:59.999999Z" })),
            event(5, &json!({ "user_id": cluster.viewer, "started_at": "2026-03-31T23:59:59.999999Z" })),
            event(6, &json!({ "user_id": cluster.viewer, "started_at": "2026-04-01T00:00:00Z" })),
            event(7, &json!({})),
        ];
        record(transaction, &events);
        let of = |numbers: &[u128]| numbers.iter().map(|n| Uuid::from_u128(*n)).collect::<BTreeSet<_>>();
        for (who, expected) in [
            (cluster.owner, of(&[1, 2])),
            (cluster.admin, of(&[1, 2])),
            (cluster.viewer, of(&[2, 5])),
            (cluster.stranger, of(&[3])),
            (cluster.newcomer, of(&[])),
        ] {
            let page = export(transaction, who, &json!({}));
            assert_eq!(ids(&page).into_iter().collect::<BTreeSet<_>>(), expected);
            assert_eq!(page["next_after"], Value::Null);
        }
    });
}

fn columns(cluster: &Cluster) {
    cluster.transaction(|transaction| {
        let full = event(1, &json!({ "user_id": cluster.viewer, "cost_nano_usd": 1_234_560, "cache_hit": true }));
        let bare = event(2, &json!({
            "user_id": cluster.viewer, "provider": null, "model": null, "http_status": null, "finish_reason": null,
            "cost_nano_usd": null, "price_version": null, "time_to_first_token_ms": null, "service_tier": null,
        }));
        record(transaction, &[full, bare]);
        let page = export(transaction, cluster.viewer, &json!({}));
        let names: Vec<_> = page["columns"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        let row = |number: usize| -> Value {
            let cells = page["rows"][number].as_array().unwrap();
            assert_eq!(cells.len(), names.len());
            names.iter().zip(cells).map(|(name, cell)| ((*name).to_owned(), cell.clone())).collect::<serde_json::Map<_, _>>().into()
        };
        assert_eq!(row(0), json!({
            "id": Uuid::from_u128(1), "started_at": "2026-03-01T12:00:00.000000Z", "request_id": "r", "user_id": cluster.viewer,
            "org_id": null, "api_key_id": null, "alias": "default", "provider": "together", "model": "llama",
            "service_tier": "default", "stream": "true", "status": "success", "http_status": "200", "finish_reason": "stop",
            "input_tokens": "10", "cached_input_tokens": "5", "cache_write_tokens": "2", "cache_write_1h_tokens": "1",
            "output_tokens": "20",
            "usage_source": "provider", "cost_micro_usd": "1234.56", "price_version": "v1", "cache_hit": "true",
            "latency_ms": "100", "time_to_first_token_ms": "10", "attempts": "1",
        }));
        assert_eq!(row(1)["cost_micro_usd"], Value::Null, "what has no price did not cost nothing");
    });
}

fn resuming(cluster: &Cluster) {
    cluster.transaction(|transaction| {
        let by = |n: u128, user: Uuid| event(n, &json!({ "user_id": user, "started_at": DAY }));
        record(
            transaction,
            &[by(1, cluster.viewer), by(2, cluster.viewer), by(3, cluster.viewer), by(4, cluster.stranger)],
        );
        let rest = export(transaction, cluster.viewer, &json!({ "after": Uuid::from_u128(1) }));
        assert_eq!(ids(&rest), [2, 3].map(Uuid::from_u128));
    });
    for hidden in [Uuid::from_u128(4), Uuid::nil()] {
        let refused = cluster.refusal(As::User(cluster.viewer), "export_usage", &json!({ "after": hidden }));
        assert_eq!(refused, ("PT404".into(), "after".into()));
    }
}

fn reads(cluster: &Cluster) {
    let mut superuser = cluster.superuser("postgres");
    let mut transaction = superuser.transaction().unwrap();
    // Twenty thousand calls, half of them the owner's own, none at the same moment.
    let fill = format!(
        "insert into public.llm_usage (
           id, request_id, user_id, org_id, alias, stream, status, input_tokens, output_tokens, cached_input_tokens,
           usage_source, latency_ms, attempts, started_at
         )
         select gen_random_uuid(), 'r', case n % 2 when 0 then '{}' else '{}' end::uuid, '{}', 'a', false, 'success', n, 0, 0,
           'none', 0, 1, timestamptz '2026-03-02' + n * interval '1 second'
         from generate_series(1, 20000) n;
         analyze public.llm_usage",
        cluster.owner, cluster.developer, cluster.org
    );
    transaction.batch_execute(&fill).unwrap();
    let late: Uuid = transaction
        .query_one("select id from public.llm_usage where input_tokens = 15000 and started_at > '2026-03-02'", &[])
        .unwrap()
        .get(0);
    let mut read = |after: &Value| -> i64 {
        let sum = "select (seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint from pg_stat_xact_user_tables
                   where relid = 'public.llm_usage'::regclass";
        let before: i64 = transaction.query_one(sum, &[]).unwrap().get(0);
        let page = export(&mut transaction, cluster.owner, &json!({ "after": after, "limit": 100 }));
        assert_eq!(ids(&page).len(), 100);
        transaction.query_one(sum, &[]).unwrap().get::<_, i64>(0) - before
    };
    for after in [Value::Null, json!(late)] {
        let read = read(&after);
        assert!(read < 1_000, "{read} rows for a page of 100 after {after}");
    }
}

fn wrong_arguments(cluster: &Cluster) {
    for (payload, code, field) in [
        (json!({ "from": "soon" }), "PT400", "from"),
        (json!({ "to": "soon" }), "PT400", "to"),
        (json!({ "from": "2020-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z" }), "PT400", "from"),
        (json!({ "after": "first" }), "PT422", "after"),
        (json!({ "limit": 501 }), "PT422", "limit"),
    ] {
        let refused = cluster.refusal(As::User(cluster.owner), "export_usage", &payload);
        assert_eq!(refused, (code.into(), field.into()), "{payload}");
    }
    assert_eq!(cluster.refusal(As::Service, "export_usage", &json!({})).0, "42501");
}
