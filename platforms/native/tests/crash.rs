//! What the ledger has answered outlives `kill -9`, and each row for the accounts reaches the database.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // a test fails by panicking
#![allow(clippy::disallowed_methods)] // and is told by its environment what to do

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use platform::fakes::block_on;
use quota::account::{Account, Amounts, Operation, Outcome, Per, Reserve, Rule, Subject, Unit};
use quota::samples::Random;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The folder that a child works in, and the number of the step it begins with.
const FOLDER: &str = "CRASH_FOLDER";
const FIRST: &str = "CRASH_FIRST";
const ROUNDS: u64 = 20;
const ACCOUNTS: u64 = 3;
/// Nothing takes that long; what does has failed.
const PATIENCE: Duration = Duration::from_mins(1);

fn main() -> ExitCode {
    if let Ok(folder) = std::env::var(FOLDER) {
        let first = std::env::var(FIRST).unwrap().parse().unwrap();
        work(Path::new(&folder), first);
    }
    let trial = Trial::test("nothing that was answered is lost or doubled by a kill", || {
        kill_at_random();
        Ok(())
    });
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}

/// Step after step without an end, each told when it has been answered.
fn work(folder: &Path, first: u64) -> ! {
    let mut host = native::Host::new().unwrap();
    host.open_ledger(folder).unwrap();
    for step in first.. {
        block_on(host.context.ledger.apply(&account(step), &operations(step))).unwrap();
        println!("{step}");
    }
    unreachable!("there are more steps than time")
}

/// Each step changes how much is left, and only every fourth call stays open.
fn operations(step: u64) -> Vec<Operation> {
    let call = format!("call-{}", step / (2 * ACCOUNTS) * ACCOUNTS + step % ACCOUNTS);
    let record = Some(json!({"id": step.to_string()}).to_string());
    let begin = Operation::Reserve(Reserve {
        id: call.clone(),
        subjects: subjects(),
        amounts: Amounts { nano_usd: 10, ..Amounts::ONE_REQUEST },
        expires_after: 24 * 3_600_000_000_000,
        record: Some("it is lost".into()),
    });
    match (step / ACCOUNTS % 2, step % 4) {
        (0, _) => vec![begin],
        (_, 0) => vec![Operation::Release { id: call, record }],
        (_, 1) => vec![Operation::Reserve(Reserve { id: format!("open-{step}"), ..reserve(begin) })],
        _ => vec![Operation::Settle { id: call, actual: Amounts { nano_usd: 3, ..Amounts::ONE_REQUEST }, record }],
    }
}

fn reserve(operation: Operation) -> Reserve {
    let Operation::Reserve(reserve) = operation else { panic!("not a reservation") };
    reserve
}

/// The row that a step leaves.
fn row(step: u64) -> Option<String> {
    let ends = operations(step).iter().any(|operation| !matches!(operation, Operation::Reserve(_)));
    ends.then(|| step.to_string())
}

fn account(step: u64) -> String {
    format!("org-{}", step % ACCOUNTS)
}

fn subjects() -> Vec<Subject> {
    let rule = |name: &str, unit| Rule { name: name.into(), unit, per: Per::Month, limit: 1_000_000_000 };
    let rules = vec![rule("usd-month", Unit::NanoUsd), rule("requests-month", Unit::Requests)];
    vec![Subject { name: "org".into(), rules }]
}

/// What is left of each rule of each account.
fn left(mut apply: impl FnMut(&str, &Operation) -> Outcome) -> Vec<u64> {
    let look = Operation::Take { subjects: subjects(), amounts: Amounts::default() };
    let outcomes = (0..ACCOUNTS).map(|number| apply(&account(number), &look));
    let standings = outcomes.flat_map(|outcome| match outcome {
        Outcome::Decided(decision) => decision.standings,
        other => panic!("{other:?}"),
    });
    standings.map(|standing| standing.remaining).collect()
}

/// What must be there.
struct Expected {
    now: u64,
    accounts: Vec<Account>,
    /// The first step that was not done.
    next: u64,
    rows: BTreeSet<String>,
}

impl Expected {
    fn new() -> Self {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let accounts = (0..ACCOUNTS).map(|_| Account::default()).collect();
        Self { now: now.try_into().unwrap(), accounts, next: 0, rows: BTreeSet::new() }
    }

    fn step(&mut self) {
        let account = &mut self.accounts[usize::try_from(self.next % ACCOUNTS).unwrap()];
        for operation in operations(self.next) {
            account.apply(self.now, &operation);
        }
        self.rows.extend(row(self.next));
        self.next += 1;
    }

    fn left(&mut self) -> Vec<u64> {
        left(|account, look| {
            let number: usize = account.trim_start_matches("org-").parse().unwrap();
            self.accounts[number].apply(self.now, look)
        })
    }
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn kill_at_random() {
    let (folder, mut expected, mut random) = (TempDir::new().unwrap(), Expected::new(), Random::new(7));
    for _ in 0..ROUNDS {
        let answered = run_and_kill(folder.path(), expected.next, random.below(1500));
        (0..answered).for_each(|_| expected.step());
        let mut host = native::Host::new().unwrap();
        host.open_ledger(folder.path()).unwrap();
        let left = left(|account, look| {
            block_on(host.context.ledger.apply(account, std::slice::from_ref(look))).unwrap().remove(0)
        });
        if left != expected.left() {
            expected.step(); // the one that was done and not answered
            assert_eq!(left, expected.left(), "after {answered} answers");
        }
    }
    deliver(folder.path(), &expected.rows, &mut random);
}

/// Kills a child after about `answers` answers; how many there were.
fn run_and_kill(folder: &Path, first: u64, answers: u64) -> u64 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(FOLDER, folder).env(FIRST, first.to_string()).stdout(Stdio::piped());
    let mut child = Running(command.spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut count = 0;
    for step in lines.by_ref() {
        assert_eq!(step.unwrap(), (first + count).to_string());
        count += 1;
        if count == answers + 1 {
            child.0.kill().unwrap();
        }
    }
    assert_eq!(child.0.wait().unwrap().signal(), Some(9), "it ended by itself after {count} answers");
    count
}

/// The real server delivers, is killed now and then, and the database is away now and then.
fn deliver(folder: &Path, rows: &BTreeSet<String>, random: &mut Random) {
    let (url, batches) = database();
    let mut received = BTreeSet::new();
    let (mut repeated, mut kills) = (0, 0);
    while received.len() < rows.len() {
        let mut server = Running(native(folder, &url).spawn().unwrap());
        for _ in 0..=random.below(8) {
            for id in batches.recv_timeout(PATIENCE).unwrap() {
                assert!(rows.contains(&id), "row {id} was never answered for");
                repeated += usize::from(!received.insert(id));
            }
            if received.len() == rows.len() {
                break;
            }
        }
        server.0.kill().unwrap();
        server.0.wait().unwrap();
        kills += 1;
        for id in batches.try_iter().flatten() {
            repeated += usize::from(!received.insert(id));
        }
    }
    assert_eq!(&received, rows);
    // A batch at most is sent again after a kill; its rows have the same ids.
    assert!(repeated <= kills * 200, "{repeated} rows came again after {kills} kills");
    let mut server = Running(native(folder, &url).spawn().unwrap());
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    kill_process(Pid::from_child(&server.0), Signal::TERM).unwrap();
    assert!(server.0.wait().unwrap().success());
    let journal = fs::read_to_string(folder.join("journal")).unwrap();
    let delivered = journal.lines().rfind(|line| line.contains("{\"delivered\":")).unwrap();
    assert!(delivered.ends_with(&format!("{{\"delivered\":{}}}", rows.len())), "{delivered}");
}

fn native(folder: &Path, supabase: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_native"));
    let keys = [("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_x"), ("SUPABASE_SECRET_KEY", "sb_secret_x")];
    command.env_clear().envs(keys).env("SUPABASE_URL", supabase).env("LEDGER_DIR", folder);
    command.env("LISTEN", "127.0.0.1:0").env("LOG_LEVEL", "off").stdout(Stdio::piped());
    command
}

/// A database that answers every third call with 503: its URL, and the ids of the rows in each of the others.
fn database() -> (String, Receiver<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (batches, received) = channel();
    thread::spawn(move || {
        for (number, caller) in listener.incoming().enumerate() {
            // A caller that was killed is none.
            let _ = answer(&caller.unwrap(), number % 3 == 0, &batches);
        }
    });
    (url, received)
}

fn answer(mut caller: &TcpStream, fails: bool, batches: &Sender<Vec<String>>) -> std::io::Result<()> {
    let (mut lines, mut length, mut head) = (BufReader::new(caller), 0, String::new());
    while lines.read_line(&mut head)? > 2 {}
    for line in head.lines() {
        let field = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        length = field.map_or(length, |(_, value)| value.trim().parse().unwrap());
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body)?;
    if fails || !head.starts_with("POST /rest/v1/rpc/record_llm_usage ") {
        let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        return caller.write_all(head.as_bytes());
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    let events = body["payload"]["events"].as_array().unwrap();
    let ids = events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    let _ = batches.send(ids);
    caller.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
}
