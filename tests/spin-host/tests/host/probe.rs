//! The port on Spin, from the outside: the routes that only tests use (`tests/probe`), over a real Postgres.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use local_redis::Server as Redis;
use local_stack::{Options, Settings, Stack};

use crate::running::Running;
use crate::streams::begun;
use crate::wire::{Call, End, Upstream};

/// What the components reach: Postgres behind the Supabase surface, and the simulator, whose `/__peer/` the contract needs.
fn stack() -> &'static Stack {
    static STACK: OnceLock<Stack> = OnceLock::new();
    STACK.get_or_init(|| {
        // Nothing drops a static: its watchdog stops the processes, and the next run uses the folder again.
        let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join("probe-stack");
        std::fs::create_dir_all(&state).unwrap();
        let options = Options {
            root: &root(),
            state: &state,
            hosts: &[],
            port: 0,
            durable: false,
            release: false,
            settings: &Settings::from([]),
            progress: &|_| {},
        };
        Stack::start(&options).unwrap_or_else(|error| panic!("{error}"))
    })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The probe, which is built when the first test needs it.
fn probe() -> Running {
    probe_with("")
}

/// The same with its ledger in this Redis; in Postgres if there is none.
fn probe_with(redis_url: &str) -> Running {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| drop(local_stack::spin_components(&root(), &["spin-probe", "spin-signature"]).unwrap()));
    let supabase = &stack().description.supabase;
    Running::of(
        &root().join("platforms/spin/probe.spin.toml"),
        [
            ("supabase_url", &supabase.url),
            ("supabase_publishable_key", &supabase.publishable_key),
            ("supabase_secret_key", &supabase.secret_key),
            ("redis_url", redis_url),
        ],
    )
}

const FORWARD: &str = "/__probe/forward?url=";

#[test]
fn the_port_keeps_its_contract() {
    keeps_its_contract(&probe());
}

#[test]
fn the_port_keeps_its_contract_with_its_ledger_in_redis() {
    let (redis, _folder) = redis();
    keeps_its_contract(&probe_with(&redis.url()));
}

#[test]
fn a_redis_that_comes_back_is_found_again() {
    let (mut redis, _folder) = redis();
    let host = probe_with(&redis.url());
    let take = || Call::get(host.address, "/__probe/take?shard=one&limit=1000000").answer();
    assert_eq!(take(), (200, "true".into()));
    redis.kill();
    assert_ne!(take().0, 200);
    redis.restart().unwrap();
    // What takes is not repeated by itself, so one may meet the connection that is gone.
    assert!((0..2).any(|_| take() == (200, "true".into())));
}

fn redis() -> (Redis, tempfile::TempDir) {
    let folder = tempfile::TempDir::new().unwrap();
    (Redis::start(&root(), folder.path(), true).unwrap_or_else(|error| panic!("{error}")), folder)
}

fn keeps_its_contract(probe: &Running) {
    let peer = &stack().description.simulator.as_ref().unwrap().url;
    let outcomes = probe.text(&format!("/__probe/contract?peer={peer}"));
    let outcomes: Vec<serde_json::Value> = serde_json::from_str(&outcomes).unwrap();
    let failures: Vec<_> = outcomes.iter().filter(|outcome| !outcome["failure"].is_null()).collect();
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(outcomes.len() > 20);
}

#[test]
fn the_port_judges_every_token_as_every_host_does() {
    let (host, items) = (probe(), jws_vectors::items());
    let body = jws_vectors::body(&items);
    let head = format!("POST /__probe/verdicts HTTP/1.1\r\nhost: edge\r\ncontent-length: {}\r\n\r\n", body.len());
    let (status, answer) = Call::send(host.address, &(head + &body)).answer();
    assert_eq!(status, 200, "{answer}");
    jws_vectors::check(&items, &answer);
}

#[test]
fn the_port_hands_each_chunk_on_before_the_next_one_exists() {
    let host = probe();
    let (mut call, mut connection) = begun(&host, FORWARD);
    for event in ["data: 2\n\n", "data: [DONE]\n\n"] {
        connection.send_chunk(event);
        assert_eq!(call.chunk(), Ok(event.into()));
    }
    connection.send("0\r\n\r\n");
    assert_eq!(call.chunk(), Err(End::Complete));
}

#[test]
fn the_port_breaks_an_answer_off_when_its_upstream_breaks_off() {
    let host = probe();
    let (mut call, connection) = begun(&host, FORWARD);
    drop(connection);
    assert_eq!(call.chunk(), Err(End::Broken));
}

#[test]
fn the_port_closes_the_upstream_of_a_client_that_leaves_an_idle_stream_and_finishes_its_work() {
    let (host, upstream, report) = (probe(), Upstream::listen(), Upstream::listen());
    let target = format!("/__probe/watch?url={}&dropped={}", upstream.url(), report.url());
    let mut call = Call::get(host.address, &target);
    let mut connection = upstream.accept();
    connection.read_to("\r\n\r\n");
    connection.send_head();
    connection.send_chunk("first");
    assert_eq!((call.head(), call.chunk()), (200, Ok("first".into())));
    drop(call);
    // Nothing more is sent: the port looks by itself whether anybody still reads.
    connection.wait_for_close();
    assert!(report.accept().read_to("\r\n").starts_with("POST /upstream "));
}

#[test]
fn the_port_does_work_after_the_answer() {
    let (host, report) = (probe(), Upstream::listen());
    assert_eq!(host.text(&format!("/__probe/later?url={}", report.url())), "later");
    assert!(report.accept().read_to("\r\n").starts_with("POST /upstream "));
}

/// The host ends the bodies of a broken instance as if they were complete. Whoever knows the length sees the truth; whoever
/// does not needs a last event, as `[DONE]` is.
#[test]
fn after_a_panic_a_body_of_known_length_is_broken_and_a_stream_lacks_its_last_event() {
    let (host, upstream) = (probe(), Upstream::listen());
    let (mut stream, _open) = begun(&host, FORWARD);
    let mut whole = Call::get(host.address, &format!("{FORWARD}{}", upstream.url()));
    let mut connection = upstream.accept();
    connection.read_to("\r\n\r\n");
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf ");
    assert_eq!((whole.head(), whole.bytes(5)), (200, Ok("half ".into())));
    // The first panic may hit another instance, one that was made while theirs was busy.
    let hit = (0..1000).any(|_| {
        assert_eq!(host.status("/__probe/panic"), 500);
        stream.has_more() && whole.has_more()
    });
    assert!(hit, "no panic reaches their instances");
    assert_eq!(stream.chunk(), Err(End::Complete), "without `data: [DONE]`");
    assert_eq!(whole.bytes(5), Err(End::Broken));
    // What earlier runs have taken is still counted.
    assert_eq!(host.text("/__probe/take?shard=after-a-panic&limit=1000000"), "true");
}
