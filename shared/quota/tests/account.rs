//! What holds of an account whatever happens to it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // a test fails by panicking

use std::collections::BTreeMap;

use proptest::prelude::*;
use quota::account::{Account, Amounts, Decision, Operation, Outcome, Per, Record, Reserve, Rule, Subject, Unit};
use quota::samples::sequence;
use serde_json::Value;

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3_600 * SECOND;
const NOON: u64 = 1_800_014_400 * SECOND;

fn rule(name: &str, unit: Unit, per: Per, limit: u64) -> Rule {
    Rule { name: name.into(), unit, per, limit }
}

fn hourly(limit: u64) -> Rule {
    rule("user", Unit::Requests, Per::Seconds(3600), limit)
}

fn dollars(limit: u64) -> Rule {
    rule("usd-day", Unit::NanoUsd, Per::Day, limit)
}

fn subject(name: &str, rules: &[Rule]) -> Subject {
    Subject { name: name.into(), rules: rules.to_vec() }
}

fn money(nano_usd: u64) -> Amounts {
    Amounts { requests: 1, tokens: 0, nano_usd }
}

fn take(rules: &[Rule], amounts: Amounts) -> Operation {
    Operation::Take { subjects: vec![subject("user:1", rules)], amounts }
}

fn reserve(id: &str, rules: &[Rule], amounts: Amounts) -> Operation {
    let subjects = vec![subject("user:1", rules)];
    let record = Some(format!("{id} is lost"));
    Operation::Reserve(Reserve { id: id.into(), subjects, amounts, expires_after: 60 * SECOND, record })
}

fn settle(id: &str, actual: Amounts) -> Operation {
    Operation::Settle { id: id.into(), actual, record: Some(format!("{id} is settled")) }
}

fn decided(outcome: Outcome) -> Decision {
    let Outcome::Decided(decision) = outcome else { panic!("not decided: {outcome:?}") };
    decision
}

fn allowed(account: &mut Account, now: u64, operation: &Operation) -> bool {
    decided(account.apply(now, operation)).allowed
}

#[test]
fn all_levels_are_taken_or_none() {
    let mut account = Account::default();
    let both = Operation::Take {
        subjects: vec![subject("user:1", &[hourly(5)]), subject("org:1", &[hourly(1)])],
        amounts: Amounts::ONE_REQUEST,
    };
    assert!(allowed(&mut account, NOON, &both));
    assert!(!allowed(&mut account, NOON, &both));
    let look = decided(account.apply(NOON, &take(&[hourly(5)], Amounts::default())));
    assert_eq!(look.standings[0].remaining, 4, "the refused request took nothing from the user");
}

#[test]
fn what_open_calls_hold_cannot_be_spent_twice() {
    let (mut account, rules) = (Account::default(), [dollars(100)]);
    assert!(allowed(&mut account, NOON, &reserve("a", &rules, money(60))));
    assert!(!allowed(&mut account, NOON, &reserve("b", &rules, money(41))));
    assert!(allowed(&mut account, NOON, &reserve("c", &rules, money(40))));
    account.apply(NOON, &settle("a", money(10)));
    assert!(!allowed(&mut account, NOON, &reserve("d", &rules, money(51))));
    assert!(allowed(&mut account, NOON, &reserve("e", &rules, money(50))));
}

#[test]
fn what_a_call_uses_beyond_its_reservation_is_owed() {
    let (mut account, rules) = (Account::default(), [dollars(100)]);
    account.apply(NOON, &reserve("a", &rules, money(60)));
    account.apply(NOON, &settle("a", money(130)));
    let refused = decided(account.apply(NOON, &reserve("b", &rules, money(1))));
    assert_eq!((refused.allowed, refused.retry_after()), (false, Some(12 * HOUR)), "until midnight");
    assert!(
        !allowed(&mut account, NOON, &take(&rules, Amounts::ONE_REQUEST)),
        "a debt stops whatever costs nothing too"
    );
    assert!(allowed(&mut account, NOON + 12 * HOUR, &reserve("b", &rules, money(1))));
}

#[test]
fn a_call_that_was_never_begun_gives_all_back() {
    let (mut account, rules) = (Account::default(), [dollars(100), hourly(2)]);
    account.apply(NOON, &reserve("a", &rules, money(100)));
    account.apply(NOON, &Operation::Release { id: "a".into(), record: None });
    let look = decided(account.apply(NOON, &take(&rules, Amounts::default())));
    assert_eq!(look.standings.iter().map(|standing| standing.remaining).collect::<Vec<_>>(), [100, 2]);
}

#[test]
fn a_call_that_came_to_nothing_stays_counted() {
    let (mut account, rules) = (Account::default(), [dollars(100), hourly(2)]);
    account.apply(NOON, &reserve("a", &rules, money(100)));
    account.apply(NOON, &settle("a", Amounts::default()));
    let look = decided(account.apply(NOON, &take(&rules, Amounts::default())));
    assert_eq!(look.standings.iter().map(|standing| standing.remaining).collect::<Vec<_>>(), [100, 1]);
}

#[test]
fn a_call_of_which_nothing_is_heard_is_charged_as_reserved_until_it_reports() {
    let (mut account, rules) = (Account::default(), [dollars(100)]);
    account.apply(NOON, &reserve("a", &rules, money(60)));
    account.changes();
    assert_eq!(account.next_due(), Some(NOON + 60 * SECOND));
    account.apply(NOON + 60 * SECOND, &Operation::Expire);
    assert_eq!(account.changes().ended["a"], "a is lost");
    assert!(!allowed(&mut account, NOON + 60 * SECOND, &reserve("b", &rules, money(41))));
    account.apply(NOON + 70 * SECOND, &settle("a", money(5)));
    assert_eq!(account.changes().ended["a"], "a is settled");
    assert!(allowed(&mut account, NOON + 70 * SECOND, &reserve("c", &rules, money(95))));
}

#[test]
fn calls_at_the_same_time_are_limited_and_make_room_as_they_end() {
    let (mut account, rules) = (Account::default(), [rule("concurrent", Unit::Requests, Per::Moment, 2)]);
    assert!(allowed(&mut account, NOON, &reserve("a", &rules, money(0))));
    assert!(allowed(&mut account, NOON, &reserve("b", &rules, money(0))));
    assert!(!allowed(&mut account, NOON, &reserve("c", &rules, money(0))));
    account.apply(NOON, &settle("a", money(0)));
    assert!(allowed(&mut account, NOON, &reserve("c", &rules, money(0))));
    assert!(allowed(&mut account, NOON + 60 * SECOND, &reserve("d", &rules, money(0))), "the others have expired");
}

#[test]
fn a_limit_that_changes_keeps_what_was_taken() {
    let mut account = Account::default();
    for _ in 0..50 {
        assert!(allowed(&mut account, NOON, &take(&[hourly(100)], Amounts::ONE_REQUEST)));
    }
    let set = |limit| Operation::SetRules { subject: "user:1".into(), rules: vec![hourly(limit)] };
    for (limit, remaining) in [(200, 150), (60, 10), (50, 0), (40, 0), (100, 50)] {
        account.apply(NOON, &set(limit));
        let look = decided(account.apply(NOON, &take(&[hourly(100)], Amounts::default())));
        assert_eq!((look.standings[0].remaining, look.standings[0].rule.limit), (remaining, limit));
        account.apply(NOON, &take(&[hourly(100)], Amounts { tokens: 1, ..Amounts::default() }));
    }
}

#[test]
fn a_correction_counts_once_and_never_below_nothing() {
    let (mut account, rules) = (Account::default(), [dollars(100)]);
    account.apply(NOON, &reserve("a", &rules, money(100)));
    account.apply(NOON, &settle("a", money(100)));
    let adjust =
        |id: &str, by| Operation::Adjust { id: id.into(), subject: "user:1".into(), rule: "usd-day".into(), by };
    for _ in 0..2 {
        assert!(allowed(&mut account, NOON, &adjust("refund", -30)));
    }
    let remaining =
        |account: &mut Account| decided(account.apply(NOON, &take(&rules, Amounts::default()))).standings[0].remaining;
    assert_eq!(remaining(&mut account), 30);
    account.apply(NOON, &adjust("gift", -1_000));
    assert_eq!(remaining(&mut account), 100);
    assert_eq!(account.apply(NOON, &adjust("other", 1)), Outcome::Unknown, "a counter that is empty is not there");
}

#[test]
fn a_budget_begins_anew_with_its_period_and_what_was_open_belongs_to_the_old_one() {
    let (mut account, rules) = (Account::default(), [dollars(100)]);
    account.apply(NOON + 12 * HOUR - SECOND, &reserve("a", &rules, money(100)));
    let midnight = NOON + 12 * HOUR;
    assert!(allowed(&mut account, midnight, &reserve("b", &rules, money(100))));
    account.apply(midnight, &settle("a", money(100)));
    account.apply(midnight, &settle("b", money(40)));
    assert!(allowed(&mut account, midnight, &reserve("c", &rules, money(60))));
    assert!(!allowed(&mut account, midnight, &reserve("d", &rules, money(1))));
}

#[test]
fn a_clock_that_jumps_back_grants_nothing_and_locks_nobody_out() {
    let (mut account, rules) = (Account::default(), [hourly(10), dollars(10)]);
    for _ in 0..10 {
        assert!(allowed(&mut account, NOON, &take(&rules, money(1))));
    }
    let refused = decided(account.apply(NOON, &take(&rules[..1], Amounts::ONE_REQUEST)));
    let back = NOON - HOUR;
    let later = decided(account.apply(back, &take(&rules[..1], Amounts::ONE_REQUEST)));
    assert_eq!(refused, later, "as if no time had passed");
    assert!(allowed(&mut account, back + HOUR / 10, &take(&rules[..1], Amounts::ONE_REQUEST)));
    assert!(!allowed(&mut account, back + HOUR / 10, &take(&rules[1..], money(1))), "nor does a budget come back");
}

#[test]
fn an_account_is_bounded() {
    let mut account = Account::default();
    let fill = |account: &mut Account, number: usize| {
        let id = format!("call-{number}");
        account.apply(NOON, &reserve(&id, &[dollars(u64::MAX)], money(0)))
    };
    assert!((0..50_000).all(|number| matches!(fill(&mut account, number), Outcome::Decided(_))));
    assert_eq!(fill(&mut account, 50_000), Outcome::Full);
    account.apply(NOON + 60 * SECOND + HOUR, &Operation::Expire);
    assert!(matches!(fill(&mut account, 50_000), Outcome::Decided(_)));
}

#[test]
fn hundreds_of_calls_a_second_find_room_for_as_long_as_they_go_on() {
    const APART: u64 = SECOND / 800;
    let mut account = Account::default();
    for number in 0..150_000 {
        let (id, now) = (format!("call-{number}"), NOON + number * APART);
        assert!(allowed(&mut account, now, &reserve(&id, &[dollars(u64::MAX)], money(0))), "call {number}");
        account.apply(now, &settle(&id, money(0)));
    }
}

#[test]
fn a_million_random_subjects_stay_bounded() {
    let mut account = Account::default();
    for number in 0..1_000_000u64 {
        let wish = Operation::Take {
            subjects: vec![subject(&format!("address:{number}"), &[rule("r", Unit::Requests, Per::Seconds(60), 10)])],
            amounts: Amounts::ONE_REQUEST,
        };
        account.apply(NOON + number * 1_000_000, &wish);
    }
    let counters = account.view(0)["counters"].as_object().unwrap().len();
    assert!(counters <= 50_000, "{counters} counters");
}

/// What a store has kept of an account.
fn keep(kept: &mut BTreeMap<String, String>, account: &mut Account) {
    let changes = account.changes();
    for (name, text) in changes.binding.into_iter().chain(account.fleeting_changes()) {
        match text {
            Some(text) => kept.insert(name, text),
            None => kept.remove(&name),
        };
    }
}

/// Whether `kept` is the account at `now`.
fn is_kept(kept: &BTreeMap<String, String>, account: &Account, now: u64) -> bool {
    let (mut read, unread) = Account::load(records(kept));
    read.apply(now, &Operation::Expire);
    unread.is_empty() && read.view(now) == account.view(now)
}

#[test]
fn a_call_that_is_forgotten_may_be_so_later_and_under_its_name_another_begins() {
    let (mut account, mut kept) = (Account::default(), BTreeMap::new());
    let call = |account: &mut Account, now: u64| {
        assert!(allowed(account, now, &reserve("a", &[dollars(10)], money(1))));
        account.apply(now, &settle("a", money(1)));
    };
    call(&mut account, NOON);
    keep(&mut kept, &mut account);
    let later = NOON + 61 * SECOND;
    account.apply(later, &Operation::Expire);
    assert_eq!(account.changes().binding, BTreeMap::new(), "nothing that must be kept before an answer");
    assert!(is_kept(&kept, &account, later), "who reads it again finds that it is over");
    call(&mut account, later);
    keep(&mut kept, &mut account);
    assert!(is_kept(&kept, &account, later) && kept.contains_key("call a"));
    account.apply(later + 61 * SECOND, &Operation::Expire);
    keep(&mut kept, &mut account);
    assert!(!kept.contains_key("call a"));
}

fn records(kept: &BTreeMap<String, String>) -> Vec<Record> {
    kept.iter().map(|(name, text)| Record { name: name.clone(), text: text.clone() }).collect()
}

/// Sums over the calls under way and the settled ones, counted by hand.
#[derive(Default)]
struct Book {
    open: BTreeMap<String, u64>,
    spent: u64,
}

proptest! {
    #[test]
    fn what_is_kept_is_the_account(seed in any::<u64>()) {
        let (mut account, mut kept) = (Account::default(), BTreeMap::new());
        for (now, operation) in sequence(seed, 150) {
            account.apply(now, &operation);
            keep(&mut kept, &mut account);
            let (mut read, unread) = Account::load(records(&kept));
            prop_assert!(unread.is_empty());
            prop_assert_eq!(read.view(now), account.view(now));
            prop_assert_eq!(read.next_due(), account.next_due());
            prop_assert_eq!(read.apply(now, &Operation::Expire), account.apply(now, &Operation::Expire));
        }
        let now = sequence(seed, 150).last().map_or(0, |(now, _)| *now);
        let (mut whole, unread) = Account::load(account.records());
        prop_assert!(unread.is_empty());
        prop_assert_eq!((whole.view(now), whole.next_due()), (account.view(now), account.next_due()));
        for (later, operation) in sequence(!seed, 20) {
            prop_assert_eq!(whole.apply(later, &operation), account.apply(later, &operation));
        }
    }

    #[test]
    fn whatever_is_repeated_changes_nothing(seed in any::<u64>()) {
        let mut account = Account::default();
        for (now, operation) in sequence(seed, 150) {
            let first = account.apply(now, &operation);
            let before = account.view(now);
            if matches!(&operation, Operation::Take { .. }) || matches!(&first, Outcome::Decided(decision) if !decision.allowed) {
                continue;
            }
            let again = account.apply(now, &operation);
            prop_assert_eq!(account.view(now), before, "{:?}", operation);
            if let (Outcome::Decided(first), Outcome::Decided(again)) = (first, again) {
                prop_assert_eq!(first.allowed, again.allowed);
            }
        }
    }

    #[test]
    fn a_budget_is_never_overspent(limit in 1u64..500, steps in prop::collection::vec((0u8..3, 0u64..40, 0u64..200, 0u64..200), 1..200)) {
        let (mut account, mut book, rules) = (Account::default(), Book::default(), [dollars(limit)]);
        for (kind, number, amount, used) in steps {
            let id = format!("call-{number}");
            let operation = match kind {
                0 => reserve(&id, &rules, money(amount)),
                1 => settle(&id, money(used.min(book.open.get(&id).copied().unwrap_or(0)))),
                _ => Operation::Release { id: id.clone(), record: None },
            };
            let outcome = account.apply(NOON, &operation);
            match (kind, outcome) {
                (0, Outcome::Decided(decision)) => {
                    let known = book.open.contains_key(&id) || account.view(NOON)["calls"][&id]["stage"] == "closed";
                    let fits = book.spent + book.open.values().sum::<u64>() + amount <= limit;
                    prop_assert_eq!(decision.allowed, known || fits);
                    if decision.allowed && !known { book.open.insert(id, amount); }
                }
                (1, _) => if let Some(reserved) = book.open.remove(&id) { book.spent += used.min(reserved); },
                (_, _) => { book.open.remove(&id); }
            }
            let counter: Value = account.view(NOON)["counters"]["user:1 usd-day"].clone();
            let sum = |name: &str| counter[name].as_u64().unwrap_or(0);
            prop_assert_eq!((sum("spent"), sum("held")), (book.spent, book.open.values().sum::<u64>()));
            prop_assert!(sum("spent") + sum("held") <= limit);
        }
    }

    #[test]
    fn a_rate_admits_what_a_log_of_all_requests_admits(limit in 1u64..20, window in 1u64..100, waits in prop::collection::vec(0u64..10 * SECOND, 1..150)) {
        let (mut account, mut log, mut now) = (Account::default(), Vec::<u64>::new(), NOON);
        let rules = [rule("r", Unit::Requests, Per::Seconds(window), limit)];
        let spacing = (window * SECOND).div_ceil(limit);
        for wait in waits {
            now += wait;
            // A request passes if in every stretch of time that ends now there were at most the limit, and one more for
            // each spacing within it.
            let fits = log.iter().rev().enumerate().all(|(later, start)| {
                let with_this = later as u64 + 2;
                with_this <= limit + (now - start) / spacing || with_this * spacing <= limit * spacing + (now - start)
            });
            prop_assert_eq!(allowed(&mut account, now, &take(&rules, Amounts::ONE_REQUEST)), fits);
            if fits { log.push(now); }
        }
    }

    #[test]
    fn who_waits_as_told_gets_through(seed in any::<u64>()) {
        let mut account = Account::default();
        for (now, operation) in sequence(seed, 100) {
            let Outcome::Decided(decision) = account.apply(now, &operation) else { continue };
            let Operation::Take { .. } = &operation else { continue };
            if let (false, Some(wait)) = (decision.allowed, decision.retry_after()) {
                prop_assert!(wait > 0);
                let mut later = account.clone();
                prop_assert!(allowed(&mut later, now + wait, &operation), "{:?} after {}", operation, wait);
            }
        }
    }
}
