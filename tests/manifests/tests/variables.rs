//! Every variable that the code reads is documented and deployable, and none is documented that nothing reads.

#![allow(clippy::unwrap_used, clippy::panic)] // tests

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Variables of the stack on a developer's machine, which no function reads.
const LOCAL_ONLY: [&str; 1] = ["DATABASE_URL"];
/// Variables of the native server alone.
const NATIVE_ONLY: [&str; 2] = ["LISTEN", "LEDGER_DIR"];
/// Variables of the components on Spin alone.
const SPIN_ONLY: [&str; 1] = ["REDIS_URL"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The variables that `functions/`, `shared/` and `platforms/` read: the string after `.url(`, `.secret(`, … of a
/// `Configuration`.
fn read_by_the_code() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in ["functions", "shared", "platforms"] {
        let files = walkdir::WalkDir::new(root().join(folder)).into_iter().flatten();
        for file in files.filter(|file| is_product_code(file.path())) {
            let text = fs::read_to_string(file.path()).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for line in code.lines().filter(|line| !line.contains("env!(")) {
                names.extend(line.split('"').skip(1).step_by(2).filter(|word| is_variable(word)).map(str::to_owned));
            }
        }
    }
    names
}

/// Not tests, and not what only tests compile: the fakes, the contract and the probe.
fn is_product_code(file: &Path) -> bool {
    let path = file.strip_prefix(root()).unwrap_or(file).to_string_lossy();
    path.ends_with(".rs")
        && path.contains("/src/")
        && !["/tests", "/fakes", "/contract", "/probe.rs", "/wycheproof.rs"].iter().any(|part| path.contains(part))
}

/// Upper-case words with an underscore are variables, and so are these without one.
fn is_variable(word: &str) -> bool {
    let characters = |byte: u8| byte.is_ascii_uppercase() || byte == b'_' || byte.is_ascii_digit();
    word.len() > 3 && word.bytes().all(characters) && (word.contains('_') || word == "LISTEN") && !word.starts_with('_')
}

/// The variables in `.env.example`, commented out or not.
fn documented() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join(".env.example")).unwrap();
    let names = text.lines().filter_map(|line| line.trim_start_matches('#').split_once('=').map(|(name, _)| name));
    names.filter(|name| is_variable(name)).map(str::to_owned).collect()
}

#[test]
fn every_variable_is_documented_and_every_documented_one_is_read() {
    let (code, documented) = (read_by_the_code(), documented());
    let missing: Vec<_> = code.difference(&documented).collect();
    assert!(missing.is_empty(), ".env.example lacks {missing:?}");
    let unused: Vec<_> = documented.difference(&code).filter(|name| !LOCAL_ONLY.contains(&name.as_str())).collect();
    assert!(unused.is_empty(), "nothing reads {unused:?} of .env.example");
}

#[test]
fn the_worker_can_be_given_every_variable() {
    let text = fs::read_to_string(root().join("wrangler.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    let vars = manifest["vars"].as_table().unwrap().keys().cloned();
    let secrets =
        manifest["secrets"]["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
    let declared: BTreeSet<_> = vars.chain(secrets).collect();
    let code = read_by_the_code();
    let unknown: Vec<_> = declared.difference(&code).collect();
    assert!(unknown.is_empty(), "wrangler.toml declares {unknown:?}, which nothing reads");
    for name in code.iter().filter(|name| ![&NATIVE_ONLY[..], &SPIN_ONLY].concat().contains(&name.as_str())) {
        assert!(text.contains(name.as_str()), "wrangler.toml does not mention {name}");
    }
}

#[test]
fn a_secret_is_never_a_plain_variable() {
    let manifest: toml::Table = fs::read_to_string(root().join("wrangler.toml")).unwrap().parse().unwrap();
    for name in manifest["vars"].as_table().unwrap().keys() {
        let secret = ["SECRET", "_API_KEY", "PEPPER", "SIGNING_KEYS", "BEARER_TOKEN", "ACCESS_KEY", "SESSION_TOKEN"]
            .iter()
            .any(|word| name.contains(word));
        assert!(!secret, "{name} belongs to the secrets, not to [vars]");
    }
}
