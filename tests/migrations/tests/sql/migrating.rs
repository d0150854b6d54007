//! How migrations are applied.

use std::fs;
use std::path::Path;

use local_supabase::Error;
use tempfile::TempDir;

use crate::Test;
use crate::cluster::{Cluster, migrations, prepare};

pub const TESTS: &[Test] = &[
    ("migrations_and_seed_are_applied_once", once),
    ("a_migration_that_was_changed_is_refused", changed),
    ("a_migration_that_fails_leaves_nothing_and_says_where", failing),
    ("a_wrongly_named_migration_is_refused", misnamed),
    ("only_a_superuser_can_prepare_a_database", superuser),
];

fn once(cluster: &Cluster) {
    let url = database(cluster, "once");
    let first = prepare(&url, &migrations()).unwrap();
    assert!(first.len() >= 6 && first.last().is_some_and(|name| name == "seed.sql"), "{first:?}");
    assert_eq!(prepare(&url, &migrations()).unwrap(), Vec::<String>::new());
}

fn changed(cluster: &Cluster) {
    let (url, folder) = (database(cluster, "changed"), folder());
    let file = folder.path().join("migrations/20260101000000_first.sql");
    fs::write(&file, "create table public.first (id integer);").unwrap();
    prepare(&url, file.parent().unwrap()).unwrap();
    fs::write(&file, "create table public.first (id bigint);").unwrap();
    let refused = prepare(&url, file.parent().unwrap()).unwrap_err();
    assert!(matches!(refused, Error::ChangedMigration(ref changed) if *changed == file), "{refused}");
}

fn failing(cluster: &Cluster) {
    let (url, folder) = (database(cluster, "failing"), folder());
    let file = folder.path().join("migrations/20260101000000_first.sql");
    fs::write(&file, "create table public.first (id integer);\n\nselect nothing_there();\n").unwrap();
    let refused = prepare(&url, file.parent().unwrap()).unwrap_err();
    assert!(matches!(refused, Error::Migration { line: 3, .. }), "{refused}");
    let left = "select count(*) from pg_class where relname = 'first'";
    assert_eq!(cluster.superuser("failing").query_one(left, &[]).unwrap().get::<_, i64>(0), 0);
}

fn misnamed(cluster: &Cluster) {
    let (url, folder) = (database(cluster, "misnamed"), folder());
    let file = folder.path().join("migrations/2026_first.sql");
    fs::write(&file, "").unwrap();
    assert!(matches!(prepare(&url, file.parent().unwrap()), Err(Error::MigrationName(_))));
}

fn superuser(cluster: &Cluster) {
    let url = local_supabase::login_url(&cluster.url("postgres"), local_supabase::Login::Authenticator).unwrap();
    assert!(matches!(prepare(&url, &migrations()), Err(Error::NotSuperuser(role)) if role == "authenticator"));
}

fn database(cluster: &Cluster, name: &str) -> String {
    cluster.superuser("postgres").batch_execute(&format!("create database {name}")).unwrap();
    cluster.url(name)
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(Path::new(folder.path()).join("migrations")).unwrap();
    folder
}
