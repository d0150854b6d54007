//! The Rust list of database functions and the migrations name the same ones.

#![allow(clippy::unwrap_used)] // tests

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use supabase::RPCS;

/// The functions that the migrations create in schema `api`.
fn created() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../supabase/migrations");
    let mut names = BTreeSet::new();
    for file in fs::read_dir(folder).unwrap().flatten() {
        let sql = fs::read_to_string(file.path()).unwrap().to_lowercase();
        for (at, _) in sql.match_indices("function api.") {
            let name: String =
                sql[at + "function api.".len()..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let statement = &sql[..at];
            if statement.trim_end().ends_with("create or replace") || statement.trim_end().ends_with("create") {
                names.insert(name);
            }
        }
    }
    names
}

#[test]
fn the_edge_and_the_migrations_name_the_same_functions() {
    let named: BTreeSet<_> = RPCS.iter().map(|rpc| rpc.name.to_owned()).collect();
    assert_eq!(named, created());
}

#[test]
fn each_function_is_granted_to_the_role_the_edge_calls_it_as() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../supabase/migrations");
    let all: String = fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|file| fs::read_to_string(file.path()).unwrap().to_lowercase())
        .collect();
    for rpc in RPCS {
        let granted = all.lines().any(|line| {
            line.contains("grant execute")
                && line.contains(&format!("api.{}(", rpc.name))
                && line.contains(rpc.role.name())
        });
        assert!(granted, "no migration grants api.{} to {}", rpc.name, rpc.role.name());
    }
}
