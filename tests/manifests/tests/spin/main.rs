//! `spin.toml` grants each component what its function needs, and nothing else.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test fails by panicking

mod faults;
mod needs;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use faults::{Needs, faults};
use toml::{Table, Value};

fn manifest() -> Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spin.toml");
    fs::read_to_string(path).unwrap().parse().unwrap()
}

fn needs() -> Needs {
    let mut needs = Needs::from([
        ("ops", needs::variables::<ops::Ops>()),
        ("auth", needs::variables::<auth::Auth>()),
        ("llm-proxy", needs::variables::<llm_proxy::LlmProxy>()),
        ("rate-limit", needs::variables::<rate_limit::RateLimit>()),
        ("signature", BTreeSet::new()),
    ]);
    for (_, variables) in needs.iter_mut().filter(|(component, _)| needs::is_granted(component, "ledger")) {
        variables.insert("redis_url".to_owned()); // by the doorway
    }
    needs
}

#[test]
fn every_component_is_granted_what_it_needs_and_nothing_else() {
    assert_eq!(faults(&manifest(), &needs()), [""; 0]);
}

#[test]
fn readiness_knows_no_secret() {
    assert!(!needs()["ops"].iter().any(|name| name.contains("secret")));
}

#[test]
fn every_path_is_routed_to_the_function_it_belongs_to() {
    let manifest = manifest();
    let triggers = manifest["trigger"]["http"].as_array().unwrap();
    let routes: Vec<_> = triggers
        .iter()
        .map(|trigger| (trigger["route"].as_str().unwrap_or("private"), trigger["component"].as_str().unwrap()))
        .collect();
    assert_eq!(
        routes,
        [
            ("/...", "ops"),
            ("/auth/...", "auth"),
            ("/.well-known/jwks.json", "auth"),
            ("/v1/chat/completions", "llm-proxy"),
            ("/v1/embeddings", "llm-proxy"),
            ("/v1/responses", "llm-proxy"),
            ("/v1/messages", "llm-proxy"),
            ("/v1/models/...", "llm-proxy"),
            ("/v1/usage", "llm-proxy"),
            ("/v1/usage/export", "llm-proxy"),
            ("/v1/cache", "llm-proxy"),
            ("/v1/limits/...", "rate-limit"),
            ("private", "signature"),
        ]
    );
}

/// The manifest with one change has exactly this fault.
#[track_caller]
fn expect(fault: &str, change: impl FnOnce(&mut Table)) {
    let mut manifest = manifest();
    change(&mut manifest);
    let found = faults(&manifest, &needs());
    assert!(found.iter().any(|found| found.starts_with(fault)), "{fault}: {found:?}");
}

fn component<'a>(manifest: &'a mut Table, name: &str) -> &'a mut Table {
    manifest["component"][name].as_table_mut().unwrap()
}

fn variables<'a>(manifest: &'a mut Table, name: &str) -> &'a mut Table {
    component(manifest, name)["variables"].as_table_mut().unwrap()
}

fn allow(manifest: &mut Table, name: &str, host: &str) {
    component(manifest, name)["allowed_outbound_hosts"].as_array_mut().unwrap().push(host.into());
}

#[test]
fn an_undeclared_or_unused_variable_is_found() {
    expect("ops does not declare log_level", |manifest| drop(variables(manifest, "ops").remove("log_level")));
    expect("ops declares api_key_pepper", |manifest| {
        variables(manifest, "ops").insert("api_key_pepper".into(), "{{ api_key_pepper }}".into());
    });
    expect("auth gives log_level another value", |manifest| variables(manifest, "auth")["log_level"] = "debug".into());
    expect("spare is declared and nobody uses it", |manifest| {
        manifest["variables"].as_table_mut().unwrap().insert("spare".into(), Value::Table(Table::new()));
    });
}

#[test]
fn a_host_that_is_missing_or_too_wide_is_found() {
    expect("ops may call openai and has no address there", |manifest| allow(manifest, "ops", "{{ openai_host }}"));
    expect("ops may not call supabase", |manifest| {
        component(manifest, "ops")["allowed_outbound_hosts"].as_array_mut().unwrap().clear();
    });
    for wide in ["https://*:*", "*://*:*", "https://*.supabase.co", "https://api.openai.com"] {
        expect(&format!("ops allows {wide}"), |manifest| allow(manifest, "ops", wide));
    }
    expect("the default of openai_host must be one host", |manifest| {
        manifest["variables"]["openai_host"]["default"] = "https://*".into();
    });
}

#[test]
fn signatures_are_checked_in_private_and_for_those_who_ask() {
    let signature = "http://signature.spin.internal";
    expect("ops may have signatures checked and never asks", |manifest| allow(manifest, "ops", signature));
    expect("auth may not have signatures checked", |manifest| {
        let hosts = component(manifest, "auth")["allowed_outbound_hosts"].as_array_mut().unwrap();
        hosts.retain(|host| host.as_str() != Some(signature));
    });
    expect("signature may call supabase and has no address there", |manifest| {
        let hosts = Value::Array(vec!["{{ supabase_url }}".into()]);
        component(manifest, "signature").insert("allowed_outbound_hosts".into(), hosts);
    });
    expect("\"/x\" leads to signature", |manifest| {
        let triggers = manifest["trigger"]["http"].as_array_mut().unwrap();
        triggers.last_mut().unwrap().as_table_mut().unwrap().insert("route".into(), "/x".into());
    });
}

#[test]
fn a_store_that_is_not_needed_is_found() {
    let stores = || Value::Array(vec!["default".into()]);
    expect("ops has the stores", |manifest| {
        drop(component(manifest, "ops").insert("key_value_stores".into(), stores()));
    });
    expect("auth has the stores", |manifest| drop(component(manifest, "auth").remove("key_value_stores")));
}

#[test]
fn a_secret_that_is_not_marked_is_found() {
    expect("openai_api_key must be marked", |manifest| {
        manifest["variables"]["openai_api_key"].as_table_mut().unwrap().remove("secret");
    });
    expect("the secret openai_api_key has a value", |manifest| {
        manifest["variables"]["openai_api_key"]["default"] = "sk-x".into();
    });
}

#[test]
fn a_component_that_is_not_built_or_not_reached_is_found() {
    expect("ops is not built", |manifest| drop(component(manifest, "ops").remove("build")));
    expect("no route leads to auth", |manifest| {
        manifest["trigger"]["http"]
            .as_array_mut()
            .unwrap()
            .retain(|trigger| trigger["component"].as_str() != Some("auth"));
    });
}
