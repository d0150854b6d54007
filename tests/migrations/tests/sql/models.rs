//! Model aliases and their routes.

use serde_json::json;

use crate::Test;
use crate::cluster::{As, Cluster, become_, call, code};

pub const TESTS: &[Test] = &[
    ("models_are_listed_with_their_routes_in_order", listing),
    ("prices_are_for_the_service_alone", grants),
    ("the_rules_of_tiers_come_with_the_models", tiers),
];

fn listing(cluster: &Cluster) {
    let answer = cluster.call(As::Service, "list_models", &json!({})).unwrap();
    let models = answer["models"].as_array().unwrap();
    let aliases: Vec<_> = models.iter().map(|model| model["alias"].as_str().unwrap()).collect();
    assert_eq!(aliases, ["claude-sonnet-4-5", "default", "sim-1"]);
    assert!(models[1]["created"].as_i64().unwrap() > 1_700_000_000);
    let routes = models[1]["routes"].as_array().unwrap();
    let providers: Vec<_> = routes.iter().map(|route| route["provider"].as_str().unwrap()).collect();
    assert_eq!(providers, ["together", "openai", "azure", "anthropic", "ollama", "simulator"]);
    let mut priced = routes[1].clone();
    assert!(priced["price_version"].take().as_str().unwrap().starts_with("litellm-"));
    assert_eq!(priced["rates"].take()[0]["tier"], "standard");
    let price = json!({
        "provider": "openai", "model": "gpt-4o-mini", "priority": 2, "weight": 0, "max_input_tokens": 128_000,
        "max_output_tokens": 16_384, "input_nano_usd": null, "output_nano_usd": null, "cached_input_nano_usd": null,
        "rates": null, "price_version": null,
    });
    assert_eq!(priced, price);
    let price = json!({
        "provider": "simulator", "model": "sim-1", "priority": 6, "weight": 0, "max_input_tokens": null,
        "max_output_tokens": null, "input_nano_usd": 100, "output_nano_usd": 400, "cached_input_nano_usd": 50,
        "rates": null, "price_version": "route",
    });
    assert_eq!(routes[5], price);
    assert_eq!(models[2]["routes"].as_array().unwrap().len(), 1);
}

fn grants(cluster: &Cluster) {
    for who in [As::User(cluster.owner), As::Anonymous] {
        assert_eq!(code(&cluster.call(who, "list_models", &json!({})).unwrap_err()), "42501");
    }
}

fn tiers(cluster: &Cluster) {
    let listed = |sql: &str| {
        cluster.transaction(|transaction| {
            become_(transaction, As::Service);
            transaction.batch_execute(sql).unwrap();
            call(transaction, As::Service, "list_models", &json!({})).unwrap()["tiers"].clone()
        })
    };
    assert_eq!(listed("delete from public.llm_tier_rules"), json!({}));
    let set = "delete from public.llm_tier_rules;
               insert into public.llm_tier_rules values ('T1', '{default}', 100), ('T3', '{}', null)";
    let expected = json!({
        "T1": { "allowed_models": ["default"], "max_output_tokens": 100 },
        "T3": { "allowed_models": [], "max_output_tokens": null },
    });
    assert_eq!(listed(set), expected);
}
