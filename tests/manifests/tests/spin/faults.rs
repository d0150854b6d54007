//! What is wrong with a Spin manifest: undeclared, unused, or wider than the function needs.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use crate::needs;

/// A component and the variables that it needs.
pub type Needs = BTreeMap<&'static str, BTreeSet<String>>;

/// Where the component is that checks signatures.
const SIGNATURE: &str = "http://signature.spin.internal";

/// Every fault, as a sentence.
pub fn faults(manifest: &Table, needs: &Needs) -> Vec<String> {
    let mut faults = Vec::new();
    let components = manifest["component"].as_table().unwrap();
    let known: BTreeSet<_> = components.keys().map(String::as_str).collect();
    if known != needs.keys().copied().collect() {
        faults.push(format!("the components are {known:?}"));
    }
    for (name, needed) in needs {
        let Some(component) = components.get(*name) else { continue };
        variables(name, component, needed, &mut faults);
        hosts(name, component, manifest, &mut faults);
        stores(name, component, &mut faults);
        build(name, component, &mut faults);
    }
    application_variables(manifest, &mut faults);
    routes(manifest, &known, &mut faults);
    faults
}

fn variables(name: &str, component: &Value, needed: &BTreeSet<String>, faults: &mut Vec<String>) {
    let declared = table(component, "variables");
    let names: BTreeSet<_> = declared.keys().cloned().collect();
    for variable in needed.difference(&names) {
        faults.push(format!("{name} does not declare {variable}"));
    }
    for variable in names.difference(needed) {
        faults.push(format!("{name} declares {variable} and does not read it"));
    }
    for (variable, value) in &declared {
        if value.as_str() != Some(&format!("{{{{ {variable} }}}}")) {
            faults.push(format!("{name} gives {variable} another value than the application's"));
        }
    }
}

/// The hosts must be those of the addresses that the component is given, and no others.
fn hosts(name: &str, component: &Value, manifest: &Table, faults: &mut Vec<String>) {
    let is_address = |name: &&String| name.ends_with("_url") || name.ends_with("_endpoint");
    let addresses: BTreeSet<_> =
        table(component, "variables").keys().filter(is_address).map(|name| service(name)).collect();
    let mut allowed = BTreeSet::new();
    chaining(name, component, faults);
    for host in list(component, "allowed_outbound_hosts").into_iter().filter(|host| host != SIGNATURE) {
        let variable = host.strip_prefix("{{ ").and_then(|host| host.strip_suffix(" }}"));
        match variable {
            Some(variable) if !allowed.insert(service(variable)) => faults.push(format!("{name} allows {host} twice")),
            Some(variable) if !manifest["variables"].as_table().unwrap().contains_key(variable) => {
                faults.push(format!("{name} allows {host}, which is not declared"));
            }
            Some(_) => {}
            None => faults.push(format!("{name} allows {host}, which is not the host of one of its addresses")),
        }
    }
    for missing in addresses.difference(&allowed) {
        faults.push(format!("{name} may not call {missing}"));
    }
    for unused in allowed.difference(&addresses) {
        faults.push(format!("{name} may call {unused} and has no address there"));
    }
}

/// The component that checks signatures may be called by whoever asks its host for that, and by nobody else.
fn chaining(name: &str, component: &Value, faults: &mut Vec<String>) {
    let allowed = list(component, "allowed_outbound_hosts").iter().any(|host| host == SIGNATURE);
    match (needs::is_granted(name, "signatures"), allowed) {
        (true, false) => faults.push(format!("{name} may not have signatures checked")),
        (false, true) => faults.push(format!("{name} may have signatures checked and never asks")),
        _ => {}
    }
}

/// `supabase_jwks_url` and `supabase_jwks_host` are about one service.
fn service(variable: &str) -> String {
    let suffix = ["_host", "_url", "_endpoint"].into_iter().find(|suffix| variable.ends_with(suffix));
    let name = suffix.and_then(|suffix| variable.strip_suffix(suffix)).unwrap_or(variable);
    name.strip_suffix("_base").unwrap_or(name).to_owned()
}

fn stores(name: &str, component: &Value, faults: &mut Vec<String>) {
    let (stores, needed) = (list(component, "key_value_stores"), needs::is_granted(name, "cache"));
    if stores != if needed { vec!["default".to_owned()] } else { Vec::new() } {
        faults
            .push(format!("{name} has the stores {stores:?}, and {}", if needed { "needs one" } else { "needs none" }));
    }
    let secret = table(component, "variables").contains_key("supabase_secret_key");
    if needs::is_granted(name, "ledger") && !secret {
        faults.push(format!("{name} has a ledger and no key to it"));
    }
    let signing_keys = table(component, "variables").contains_key("edge_signing_keys");
    if needs::is_granted(name, "signer") != signing_keys {
        faults.push(format!("{name} has keys and no signer, or a signer and no keys"));
    }
}

fn build(name: &str, component: &Value, faults: &mut Vec<String>) {
    let source = format!("target/wasm32-wasip2/spin/spin_{}.wasm", name.replace('-', "_"));
    let command = format!("cargo build --package spin-{name} --target wasm32-wasip2 --profile spin --locked");
    if component.get("source").and_then(Value::as_str) != Some(&source)
        || component.get("build").and_then(|build| build.get("command")).and_then(Value::as_str) != Some(&command)
    {
        faults.push(format!("{name} is not built by `{command}` into {source}"));
    }
}

fn application_variables(manifest: &Table, faults: &mut Vec<String>) {
    let declared = manifest["variables"].as_table().unwrap();
    let used = manifest["component"].to_string();
    for (name, declaration) in declared {
        if !used.contains(&format!("{{{{ {name} }}}}")) {
            faults.push(format!("{name} is declared and nobody uses it"));
        }
        let secret = declaration.get("secret").and_then(Value::as_bool) == Some(true);
        if secret != is_secret(name) {
            faults.push(format!("{name} must {}be marked as a secret", if secret { "not " } else { "" }));
        }
        let default = declaration.get("default").and_then(Value::as_str);
        if secret && default.is_some_and(|default| !default.is_empty()) {
            faults.push(format!("the secret {name} has a value in the manifest"));
        }
        if name.ends_with("_host") && !default.is_some_and(is_origin) {
            faults.push(format!("the default of {name} must be one host: scheme, name and port"));
        }
    }
}

fn is_secret(name: &str) -> bool {
    name != "supabase_publishable_key"
        && [
            "secret",
            "_api_key",
            "_ad_token",
            "pepper",
            "session_key",
            "signing_keys",
            "redis_url",
            "bearer_token",
            "access_key",
            "session_token",
        ]
        .iter()
        .any(|word| name.contains(word))
}

fn is_origin(text: &str) -> bool {
    let host = ["https://", "http://", "redis://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', '{', '@']))
}

fn routes(manifest: &Table, known: &BTreeSet<&str>, faults: &mut Vec<String>) {
    let triggers = manifest["trigger"]["http"].as_array().unwrap();
    let mut routed = BTreeSet::new();
    for trigger in triggers {
        let (route, component) = (&trigger["route"], trigger["component"].as_str().unwrap());
        routed.insert(component);
        if (component == "signature") != route.is_table() {
            faults
                .push(format!("{route} leads to {component}: signatures are checked in private, and nothing else is"));
        }
        if !known.contains(component) {
            faults.push(format!("{route} leads to {component}, which is not there"));
        }
    }
    for component in known.difference(&routed) {
        faults.push(format!("no route leads to {component}"));
    }
}

fn table(component: &Value, name: &str) -> Table {
    component.get(name).and_then(Value::as_table).cloned().unwrap_or_default()
}

fn list(component: &Value, name: &str) -> Vec<String> {
    let list = component.get(name).and_then(Value::as_array).into_iter().flatten();
    list.map(|entry| entry.as_str().unwrap().to_owned()).collect()
}
