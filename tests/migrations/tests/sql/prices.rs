//! The price table, and the routes that fall back to it.

use std::fs;
use std::path::Path;

use postgres::Transaction;
use serde_json::{Value, json};

use crate::Test;
use crate::cluster::{As, Cluster, become_, call, code, migrations, refusal};

pub const TESTS: &[Test] = &[
    ("the_committed_price_table_is_loaded_as_it_is", committed),
    ("a_route_without_a_price_has_that_of_the_table", fallback),
    ("a_new_version_takes_the_place_of_what_it_names", update),
    ("rates_that_are_none_are_refused_and_nothing_is_stored", refused),
    ("prices_are_set_by_the_service_alone", grants),
];

fn rates(input: u64) -> Value {
    json!([
        { "tier": "standard", "above": 0, "input": input, "output": 5, "cached_input": 1, "cache_write": 3, "cache_write_1h": 4 },
        { "tier": "standard", "above": 200_000, "input": 2 * input, "output": 10 },
        { "tier": "flex", "above": 0, "input": 1, "output": 2 },
    ])
}

fn price(model: &str, rates: &Value) -> Value {
    json!({ "provider": "openai", "model": model, "max_input_tokens": 1_000, "max_output_tokens": 100, "rates": rates })
}

fn set(transaction: &mut Transaction<'_>, version: &str, prices: &[Value]) -> Value {
    let payload = json!({ "version": version, "prices": prices });
    call(transaction, As::Service, "set_model_prices", &payload).unwrap()
}

/// The route of an alias that has one.
fn route(transaction: &mut Transaction<'_>, columns: &str, values: &str) -> Value {
    become_(transaction, As::Service);
    let insert = format!(
        "insert into public.models (alias) values ('priced') on conflict do nothing;
         delete from public.model_routes where alias = 'priced';
         insert into public.model_routes (alias, position, provider, model{columns}) values ('priced', 1, 'openai', 'm'{values})"
    );
    transaction.batch_execute(&insert).unwrap();
    let models = call(transaction, As::Service, "list_models", &json!({})).unwrap();
    let priced = models["models"].as_array().unwrap().iter().find(|model| model["alias"] == "priced").unwrap();
    priced["routes"][0].clone()
}

fn committed(cluster: &Cluster) {
    let file = migrations().parent().map(|folder| folder.join("prices.json"));
    let table: Value =
        serde_json::from_str(&fs::read_to_string(file.as_deref().unwrap_or(Path::new(""))).unwrap()).unwrap();
    let stored = "select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                    'provider', provider, 'model', model, 'max_input_tokens', max_input_tokens,
                    'max_output_tokens', max_output_tokens, 'rates', rates
                  )) order by provider collate \"C\", model collate \"C\") from public.model_prices where version = $1";
    let version = table["version"].as_str().unwrap();
    let stored: Value = cluster.superuser("postgres").query_one(stored, &[&version]).unwrap().get(0);
    assert!(stored == table["prices"], "what is stored is not what is committed");
}

fn fallback(cluster: &Cluster) {
    cluster.transaction(|transaction| {
        let none = route(transaction, "", "");
        assert_eq!((&none["rates"], &none["price_version"]), (&Value::Null, &Value::Null));
        set(transaction, "v1", &[price("m", &rates(4)), price("other", &rates(9))]);
        let table = route(transaction, "", "");
        assert_eq!((&table["rates"], &table["price_version"]), (&rates(4), &json!("v1")));
        assert_eq!((&table["max_input_tokens"], &table["max_output_tokens"]), (&json!(1_000), &json!(100)));
        let other = route(transaction, ", priced_as, max_output_tokens", ", 'other', 50");
        assert_eq!((&other["rates"], &other["max_output_tokens"]), (&rates(9), &json!(50)));
        let own = route(transaction, ", input_nano_usd, output_nano_usd", ", 1, 2");
        assert_eq!((&own["rates"], &own["price_version"]), (&Value::Null, &json!("route")));
        let half = route(transaction, ", input_nano_usd", ", 1");
        assert_eq!((&half["rates"], &half["price_version"]), (&rates(4), &json!("v1")), "half a price is none");
    });
}

fn update(cluster: &Cluster) {
    cluster.transaction(|transaction| {
        set(transaction, "v1", &[price("m", &rates(4)), price("n", &rates(5))]);
        let answer = set(transaction, "v2", &[price("m", &rates(6))]);
        assert_eq!(answer, json!({ "version": "v2", "stored": 1 }));
        let kept = "select model, version, rates from public.model_prices where version in ('v1', 'v2') order by model";
        let kept: Vec<(String, String, Value)> =
            transaction.query(kept, &[]).unwrap().iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
        assert_eq!(kept, [("m".into(), "v2".into(), rates(6)), ("n".into(), "v1".into(), rates(5))]);
    });
}

fn refused(cluster: &Cluster) {
    let rate = |more: Value| {
        let mut rate = json!({ "tier": "standard", "above": 0, "input": 1, "output": 2 });
        rate.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        rate
    };
    let plain = rate(json!({}));
    for wrong in [
        json!([]),
        json!({}),
        Value::Null,
        json!(["standard"]),
        json!([{ "tier": "standard", "above": 0, "input": 1 }]),
        json!([rate(json!({ "input": 0.5 }))]),
        json!([rate(json!({ "input": -1 }))]),
        json!([rate(json!({ "output": "2" }))]),
        json!([rate(json!({ "cached_input": null }))]),
        json!([rate(json!({ "cache_write_1h": 0.5 }))]),
        json!([rate(json!({ "tier": "Standard" }))]),
        json!([rate(json!({ "tier": null }))]),
        json!([rate(json!({ "colour": 1 }))]),
        json!([rate(json!({ "above": 1 }))]),
        json!([rate(json!({ "tier": "flex" }))]),
        json!([plain, plain]),
        json!([plain, rate(json!({ "tier": "flex", "above": 9 }))]),
    ] {
        let payload = json!({ "version": "v9", "prices": [price("good", &json!([plain])), price("m", &wrong)] });
        let found = cluster.refusal(As::Service, "set_model_prices", &payload);
        assert_eq!(found, ("PT422".into(), "prices".into()), "{wrong}");
    }
    let good = price("m", &json!([plain]));
    let unnamed = json!({ "provider": null, "model": "m", "rates": [plain] });
    for (payload, field) in [
        (json!({ "prices": [good] }), "version"),
        (json!({ "version": "v9", "prices": {} }), "prices"),
        (json!({ "version": "v9", "prices": [unnamed] }), "prices"),
        (json!({ "version": "v9", "prices": [good, good] }), "prices"),
        (json!({ "version": "v9", "prices": [price("m", &json!([plain]))["rates"]] }), "prices"),
    ] {
        let found = cluster.refusal(As::Service, "set_model_prices", &payload);
        assert_eq!(found, ("PT422".into(), field.into()), "{payload}");
    }
    let stored = "select count(*) from public.model_prices where version = 'v9'";
    assert_eq!(cluster.superuser("postgres").query_one(stored, &[]).unwrap().get::<_, i64>(0), 0);
}

fn grants(cluster: &Cluster) {
    for who in [As::User(cluster.owner), As::Anonymous] {
        let refused = cluster.call(who, "set_model_prices", &json!({ "version": "v", "prices": [] })).unwrap_err();
        assert_eq!(code(&refused), "42501");
        assert_eq!(refusal(&refused).1, "");
    }
}
