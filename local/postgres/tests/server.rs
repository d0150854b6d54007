//! A real server, through everything that happens to one on a person's machine.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test fails by panicking, and polls with a deadline

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use local_postgres::{Error, Options, Server};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

#[test]
fn a_second_start_finds_the_data_of_the_first() {
    let folder = folder();
    let server = start(folder.path());
    query(&server, "create table kept as select 42 as answer");
    let made = initdb_time(folder.path());
    let pid = server.pid().unwrap();
    server.stop();
    assert!(!is_alive(pid), "stop leaves a process behind");

    let server = start(folder.path());
    assert_eq!(query(&server, "select answer from kept"), 42);
    assert_eq!(initdb_time(folder.path()), made, "the cluster was made again");
}

#[test]
fn data_survives_a_server_that_was_killed() {
    let folder = folder();
    let options = Options { durable: true, ..options(folder.path()) };
    let server = Server::start(&options).unwrap();
    query(&server, "create table kept as select 7 as answer");
    kill(server.pid().unwrap(), Signal::KILL);
    drop(server);

    let server = Server::start(&options).unwrap();
    assert_eq!(query(&server, "select answer from kept"), 7);
}

#[test]
fn a_server_that_crashes_comes_back_with_its_data_at_the_same_place() {
    let folder = folder();
    let mut server = Server::start(&Options { durable: true, ..options(folder.path()) }).unwrap();
    query(&server, "create table kept as select 9 as answer");
    let (url, pid) = (server.url("postgres"), server.pid());
    server.crash().unwrap();
    assert_eq!((server.url("postgres"), server.pid() == pid), (url, false));
    assert_eq!(query(&server, "select answer from kept"), 9);
}

#[test]
fn a_server_that_outlived_its_starter_is_replaced() {
    let folder = folder();
    let server = start(folder.path());
    let orphan = server.pid().unwrap();
    std::mem::forget(server); // what a crash of this process leaves behind: a server, and no lock
    release_lock(folder.path());

    let server = start(folder.path());
    wait_until(|| !is_alive(orphan) || is_zombie(orphan));
    assert_ne!(server.pid(), Some(orphan));
    assert_eq!(query(&server, "select 1"), 1);
}

#[test]
fn a_stale_pid_file_of_a_number_that_is_used_again_is_no_obstacle() {
    let folder = folder();
    start(folder.path()).stop();
    let data = folder.path().join("postgres/data");
    let file = format!("{}\n{}\n", std::process::id(), data.display());
    std::fs::write(data.join("postmaster.pid"), file).unwrap();

    assert_eq!(query(&start(folder.path()), "select 1"), 1);
    assert!(is_alive(std::process::id()));
}

#[test]
fn a_folder_in_use_is_refused_with_the_id_of_its_user() {
    let folder = folder();
    let _server = start(folder.path());
    let second = Server::start(&options(folder.path())).unwrap_err();
    assert!(matches!(&second, Error::InUse { owner, .. } if *owner == std::process::id().to_string()), "{second}");
}

#[test]
fn dropping_a_server_stops_it_and_its_files_are_private() {
    let folder = folder();
    let server = start(folder.path());
    let pid = server.pid().unwrap();
    let directory = server.directory().unwrap().to_owned();
    for name in [".", "password"] {
        let mode = directory.join(name).metadata().unwrap().mode();
        assert_eq!(mode & 0o077, 0, "{name} can be read by others");
    }
    drop(server);
    assert!(!is_alive(pid));
}

#[test]
fn a_wrong_password_is_refused() {
    let folder = folder();
    let server = start(folder.path());
    let password = std::fs::read_to_string(server.directory().unwrap().join("password")).unwrap();
    let url = server.url("postgres").replace(&password, "guess");
    assert!(postgres::Client::connect(&url, postgres::NoTls).is_err());
}

#[test]
fn a_folder_that_the_server_account_cannot_reach_is_moved() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root runs the server as another account");
    }
    let private = tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap();
    let server = start(private.path());
    let moved = server.moved_to().expect("the folder is out of reach").to_owned();
    assert!(moved.starts_with(std::env::temp_dir()));
    assert_eq!(query(&server, "select 3"), 3);
    server.stop();
    std::fs::remove_dir_all(moved).unwrap();
}

fn folder() -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o711)).tempdir().unwrap()
}

fn options(folder: &Path) -> Options {
    Options { directory: folder.join("postgres"), project: Path::new("/nonexistent").into(), durable: false }
}

fn start(folder: &Path) -> Server {
    Server::start(&options(folder)).unwrap()
}

fn query(server: &Server, sql: &str) -> i32 {
    let mut client = postgres::Client::connect(&server.url("postgres"), postgres::NoTls).unwrap();
    let rows = client.query(sql, &[]).unwrap();
    rows.first().map_or(0, |row| row.get(0))
}

fn initdb_time(folder: &Path) -> SystemTime {
    folder.join("postgres/data/PG_VERSION").metadata().unwrap().modified().unwrap()
}

/// A new file in the lock's place, as if the process that held the old one had ended.
fn release_lock(folder: &Path) {
    std::fs::remove_file(folder.join("postgres/lock")).unwrap();
}

fn kill(pid: u32, signal: Signal) {
    kill_process(raw(pid), signal).unwrap();
    wait_until(|| is_zombie(pid) || !is_alive(pid));
}

fn is_alive(pid: u32) -> bool {
    test_kill_process(raw(pid)).is_ok()
}

/// An ended child of this test that nobody has waited for.
fn is_zombie(pid: u32) -> bool {
    let output = std::process::Command::new("ps").args(["-o", "state=", "-p", &pid.to_string()]).output().unwrap();
    output.stdout.starts_with(b"Z")
}

fn raw(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

fn wait_until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "it does not happen");
        std::thread::yield_now();
    }
}
