use std::fs;
use std::path::Path;
use std::thread;

use platform::Timestamp;
use platform::fakes::ManualClock;
use proptest::prelude::*;
use quota::account::{Account, Amounts, Per, Reserve, Rule, Subject, Unit};
use quota::samples::sequence;
use tempfile::TempDir;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn at(nanoseconds: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + std::time::Duration::from_nanos(nanoseconds)
}

fn open(clock: &ManualClock, folder: &Path) -> io::Result<Accounts> {
    Accounts::open(Arc::new(clock.clone()), folder)
}

fn reopen(clock: &ManualClock, folder: &TempDir) -> Accounts {
    open(clock, folder.path()).unwrap()
}

fn reserve(id: &str, nano_usd: u64) -> Operation {
    let rule = Rule { name: "usd-month".into(), unit: Unit::NanoUsd, per: Per::Month, limit: 1_000_000 };
    Operation::Reserve(Reserve {
        id: id.into(),
        subjects: vec![Subject { name: "org:1".into(), rules: vec![rule] }],
        amounts: Amounts { nano_usd, ..Amounts::ONE_REQUEST },
        expires_after: 60 * SECOND,
        record: Some(format!("{id} is lost")),
    })
}

fn settle(id: &str, nano_usd: u64) -> Operation {
    let actual = Amounts { nano_usd, ..Amounts::ONE_REQUEST };
    Operation::Settle { id: id.into(), actual, record: Some(format!("{id} is settled")) }
}

fn rows(accounts: &Accounts) -> Vec<String> {
    accounts.undelivered(usize::MAX, usize::MAX).unwrap().1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// At each step: nothing, a restart, the journal written anew, or a delivery of some rows.
    #[test]
    fn restarts_change_nothing(seed in any::<u64>(), events in prop::collection::vec(0u8..8, 120)) {
        let (folder, clock) = (TempDir::new().unwrap(), ManualClock::default());
        let mut accounts = Some(reopen(&clock, &folder));
        let (mut expected, mut rows_expected) = (Account::default(), Vec::new());
        for ((now, operation), event) in sequence(seed, 120).into_iter().zip(events) {
            clock.set(at(now));
            match event {
                0 => { drop(accounts.take()); accounts = Some(reopen(&clock, &folder)); }
                1 => accounts.as_ref().unwrap().rewrite().unwrap(),
                2 => {
                    let (last, some) = accounts.as_ref().unwrap().undelivered(3, usize::MAX).unwrap();
                    let delivered: Vec<String> = rows_expected.drain(..some.len()).collect();
                    prop_assert_eq!(some, delivered);
                    accounts.as_ref().unwrap().deliver(last).unwrap();
                }
                _ => (),
            }
            let accounts = accounts.as_ref().unwrap();
            let outcomes = accounts.apply("org", std::slice::from_ref(&operation)).unwrap();
            prop_assert_eq!(outcomes, [expected.apply(now, &operation)]);
            rows_expected.extend(expected.changes().ended.into_values());
            prop_assert_eq!(accounts.view("org"), expected.view(now));
            prop_assert_eq!(accounts.first_due().map(|(due, _)| due), expected.next_due());
        }
        prop_assert_eq!(rows(accounts.as_ref().unwrap()), rows_expected);
    }
}

#[test]
fn a_last_batch_that_is_cut_off_anywhere_is_as_if_it_had_never_been() {
    let (folder, clock) = (TempDir::new().unwrap(), ManualClock::default());
    let accounts = reopen(&clock, &folder);
    accounts.apply("org", &[reserve("a", 10), reserve("b", 20), settle("a", 5)]).unwrap();
    let (path, before) = (folder.path().join("journal"), accounts.view("org"));
    let whole = fs::metadata(&path).unwrap().len();
    accounts.apply("org", &[settle("b", 20), reserve("c", 30), settle("c", 1)]).unwrap();
    let after = accounts.view("org");
    drop(accounts);
    let bytes = fs::read(&path).unwrap();
    for length in usize::try_from(whole).unwrap()..=bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        let accounts = reopen(&clock, &folder);
        let is_complete = length == bytes.len();
        assert_eq!(accounts.view("org"), if is_complete { after.clone() } else { before.clone() }, "{length} bytes");
        assert_eq!(rows(&accounts).len(), if is_complete { 3 } else { 1 }, "{length} bytes");
        accounts.apply("org", &[settle("b", 20)]).unwrap();
        drop(accounts);
        assert_eq!(rows(&reopen(&clock, &folder)).len(), if is_complete { 3 } else { 2 }, "it goes on after {length}");
    }
}

#[test]
fn a_line_that_was_changed_is_an_error_that_says_where() {
    let (folder, clock) = (TempDir::new().unwrap(), ManualClock::default());
    let accounts = reopen(&clock, &folder);
    for id in ["a", "b", "c"] {
        accounts.apply("org", &[reserve(id, 10), settle(id, 10)]).unwrap();
    }
    drop(accounts);
    let path = folder.path().join("journal");
    let bytes = fs::read(&path).unwrap();
    let starts: Vec<usize> =
        bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    for index in starts[0]..bytes.len() - 1 {
        let mut damaged = bytes.clone();
        damaged[index] ^= 0x80;
        fs::write(&path, &damaged).unwrap();
        let error = open(&clock, folder.path()).err().unwrap().to_string();
        let line = starts.iter().rev().find(|start| **start <= index).unwrap();
        assert!(error.contains(&format!("the line at byte {line}:")), "byte {index}: {error}");
        assert_eq!(fs::read(&path).unwrap(), damaged, "and it is left as it is");
    }
    let without_first_row = [&bytes[..starts[0]], &bytes[starts[1]..]].concat();
    fs::write(&path, without_first_row).unwrap();
    let error = open(&clock, folder.path()).err().unwrap().to_string();
    assert!(error.ends_with("rows for the accounts are missing"), "{error}");
}

#[test]
fn another_format_and_a_folder_in_use_are_refused() {
    let (folder, clock) = (TempDir::new().unwrap(), ManualClock::default());
    let accounts = reopen(&clock, &folder);
    let error = open(&clock, folder.path()).err().unwrap().to_string();
    assert_eq!(error, "another process has it open");
    drop(accounts);
    let path = folder.path().join("journal");
    for other in ["", "qlp-edge ledger 2\n", "qlp-edge ledger 1"] {
        fs::write(&path, other).unwrap();
        let error = open(&clock, folder.path()).err().unwrap().to_string();
        assert_eq!(error, "journal is of another format than this version reads");
    }
}

#[test]
fn the_journal_is_written_anew_while_it_is_in_use() {
    let (folder, clock) = (TempDir::new().unwrap(), ManualClock::default());
    let accounts = reopen(&clock, &folder);
    let work = |thread: usize| {
        for number in 0..300 {
            let id = format!("{thread}-{number}");
            accounts.apply(&format!("org-{}", number % 7), &[reserve(&id, 3), settle(&id, 2)]).unwrap();
            if number % 50 == 0 {
                let (last, _) = accounts.undelivered(20, usize::MAX).unwrap();
                accounts.deliver(last).unwrap();
            }
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|thread| scope.spawn(move || work(thread))).collect();
        while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
            accounts.rewrite().unwrap();
        }
    });
    let views = |accounts: &Accounts| (0..7).map(|org| accounts.view(&format!("org-{org}"))).collect::<Vec<_>>();
    let (before, rows_before) = (views(&accounts), rows(&accounts));
    drop(accounts);
    let accounts = reopen(&clock, &folder);
    assert_eq!((views(&accounts), rows(&accounts)), (before, rows_before));
}

#[test]
fn the_journal_stays_small_when_little_is_worth_keeping() {
    let (folder, clock) = (TempDir::new().unwrap(), ManualClock::default());
    let accounts = reopen(&clock, &folder);
    let look = Operation::Take { subjects: Vec::new(), amounts: Amounts::default() };
    let length = || fs::metadata(folder.path().join("journal")).unwrap().len();
    let account = "an account with a long name ".repeat(1000);
    let mut longest = 0;
    for _ in 0..300 {
        accounts.apply(&account, std::slice::from_ref(&look)).unwrap();
        longest = longest.max(length());
        accounts.maintain().unwrap();
    }
    assert!((2 << 20..3 << 20).contains(&longest) && length() <= longest, "{longest} bytes, then {}", length());
}

#[test]
fn idle_accounts_are_swept_out() {
    let clock = ManualClock::default();
    let accounts = Accounts::in_memory(Arc::new(clock.clone()));
    let rule = Rule { name: "requests".into(), unit: Unit::Requests, per: Per::Seconds(1), limit: 10 };
    let take = Operation::Take {
        subjects: vec![Subject { name: "user:1".into(), rules: vec![rule] }],
        amounts: Amounts::ONE_REQUEST,
    };
    for number in 0..10_000 {
        accounts.apply(&format!("org-{number}"), std::slice::from_ref(&take)).unwrap();
        clock.advance(std::time::Duration::from_secs(1));
    }
    assert!(accounts.len() <= 1024, "{} accounts", accounts.len());
}
