use std::future::Future;
use std::pin::Pin;
use std::task::{self, Poll, Waker};

use platform::fakes::Host;
use quota::account::{Amounts, Per, Rule, Subject, Unit};

use super::*;

const ACCOUNT: &str = "org:1";

/// A host whose ledger answers when it is told to, and what gathers there.
#[derive(Default)]
struct Scene {
    host: Host,
    gathering: Gathering,
}

type Reservation<'a> = Pin<Box<dyn Future<Output = Result<Outcome, StoreError>> + Send + 'a>>;

impl Scene {
    fn held() -> Self {
        let scene = Self::default();
        scene.host.ledger.hold();
        scene
    }

    /// Begins the reservation `id` in `account`, as far as it goes by itself.
    fn begin_in(&self, account: &'static str, id: &str) -> Reservation<'_> {
        let Host { ledger, clock, .. } = &self.host;
        let mut begun: Reservation<'_> = Box::pin(self.gathering.reserve(ledger, clock, account, reserve(id)));
        assert!(poll(&mut begun).is_none());
        begun
    }

    fn begin(&self, id: &str) -> Reservation<'_> {
        self.begin_in(ACCOUNT, id)
    }

    /// Makes the reservation `id`; whether it was allowed.
    async fn make(&self, id: &str) -> Result<bool, StoreError> {
        self.gathering.reserve(&self.host.ledger, &self.host.clock, ACCOUNT, reserve(id)).await.map(allowed)
    }

    /// The calls that the ledger was asked for, a list for each time it was asked.
    fn asked(&self) -> Vec<Vec<String>> {
        let ids = |operation: &Operation| match operation {
            Operation::Reserve(reserve) => reserve.id.clone(),
            other => panic!("{other:?}"),
        };
        self.host.ledger.applied().iter().map(|(_, operations)| operations.iter().map(ids).collect()).collect()
    }
}

/// One of three requests that there may be.
fn reserve(id: &str) -> Reserve {
    let rule = Rule { name: "rate".into(), unit: Unit::Requests, per: Per::Seconds(3_600), limit: 3 };
    let subjects = Vec::from([Subject { name: "user:1".into(), rules: vec![rule] }]);
    Reserve { id: id.into(), subjects, amounts: Amounts::ONE_REQUEST, expires_after: 60_000_000_000, record: None }
}

fn allowed(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Decided(decision) if decision.allowed)
}

fn poll(reservation: &mut Reservation<'_>) -> Option<Result<bool, StoreError>> {
    let polled = reservation.as_mut().poll(&mut task::Context::from_waker(Waker::noop()));
    match polled {
        Poll::Ready(outcome) => Some(outcome.map(allowed)),
        Poll::Pending => None,
    }
}

#[test]
fn what_comes_while_the_ledger_is_asked_goes_out_together_and_each_is_told_his_own() {
    let scene = Scene::held();
    let mut all: Vec<_> = ["a", "b", "c", "d"].iter().map(|id| scene.begin(id)).collect();
    assert_eq!(scene.asked(), [["a"]]);
    scene.host.ledger.let_through();
    let outcomes: Vec<_> = all.iter_mut().map(poll).collect();
    assert_eq!(outcomes, [true, true, true, false].map(|allowed| Some(Ok(allowed))));
    assert_eq!(scene.asked(), [vec!["a"], vec!["b", "c", "d"]]);
    // Nobody asks any more: the next one does so at once.
    assert_eq!(scene.host.block_on(scene.make("e")), Ok(false));
}

#[test]
fn accounts_wait_for_themselves_alone() {
    let scene = Scene::held();
    let _both = [scene.begin_in("org:1", "a"), scene.begin_in("org:2", "b")];
    assert_eq!(scene.asked(), [["a"], ["b"]]);
}

#[test]
fn an_answer_that_is_long_in_coming_is_not_waited_for() {
    let scene = Scene::held();
    let mut all = Vec::from([scene.begin("a"), scene.begin("b")]);
    scene.host.clock.advance(PATIENCE);
    all.push(scene.begin("c"));
    all.push(scene.begin("d"));
    assert_eq!(scene.asked(), [vec!["a"], vec!["c", "b"]]);
    scene.host.ledger.let_through();
    // Whoever was overtaken leaves what has come since to his successor.
    assert_eq!(poll(&mut all[0]), Some(Ok(true)));
    assert_eq!(poll(&mut all[3]), None);
    let rest: Vec<_> = [2, 1, 3].map(|number: usize| poll(&mut all[number])).into();
    assert_eq!(rest, [true, true, false].map(|allowed| Some(Ok(allowed))));
    assert_eq!(scene.asked(), [vec!["a"], vec!["c", "b"], vec!["d"]]);
}

#[test]
fn who_was_overtaken_has_no_say_when_the_account_is_asked_anew() {
    let scene = Scene::held();
    let mut overtaken = scene.begin("a");
    scene.host.clock.advance(PATIENCE);
    let mut successor = scene.begin("b");
    scene.host.ledger.let_through();
    assert_eq!(poll(&mut successor), Some(Ok(true)));
    scene.host.ledger.hold();
    let (mut anew, mut waiting) = (scene.begin("c"), scene.begin("d"));
    scene.host.ledger.let_through();
    assert_eq!(poll(&mut overtaken), Some(Ok(true)));
    assert_eq!(poll(&mut waiting), None);
    assert_eq!([poll(&mut anew), poll(&mut waiting)], [Some(Ok(true)), Some(Ok(false))]);
}

#[test]
fn a_ledger_that_takes_its_time_is_asked_at_once_until_it_is_quick_again() {
    let scene = Scene::held();
    let mut slow = scene.begin("a");
    scene.host.clock.advance(PATIENCE);
    scene.host.ledger.let_through();
    assert_eq!(poll(&mut slow), Some(Ok(true)));
    scene.host.ledger.hold();
    let mut all = ["b", "c"].map(|id| scene.begin(id));
    assert_eq!(scene.asked(), [["a"], ["b"], ["c"]]);
    scene.host.ledger.let_through();
    assert_eq!(all.each_mut().map(poll), [Some(Ok(true)), Some(Ok(true))]);
    scene.host.ledger.hold();
    let _again = ["d", "e"].map(|id| scene.begin(id));
    assert_eq!(scene.asked().last().unwrap(), &["d"]);
}

#[test]
fn no_more_than_so_many_are_made_at_a_time() {
    let scene = Scene::held();
    let all: Vec<_> = (0..MOST + 3).map(|number| scene.begin(&number.to_string())).collect();
    let lengths: Vec<_> = scene.asked().iter().map(Vec::len).collect();
    assert_eq!(lengths, [1, MOST + 1]);
    drop(all);
}

#[test]
fn when_the_ledger_fails_all_that_were_asked_for_are_told() {
    let scene = Scene::held();
    let mut all = ["a", "b", "c"].map(|id| scene.begin(id));
    scene.host.ledger.fail_with(StoreError::Unavailable("away".into()));
    scene.host.ledger.let_through();
    for reservation in &mut all {
        assert_eq!(poll(reservation), Some(Err(StoreError::Unavailable("away".into()))));
    }
}

#[test]
fn a_request_that_is_torn_down_while_it_asks_leaves_nobody_waiting() {
    let scene = Scene::held();
    let (first, mut second, mut third) = (scene.begin("a"), scene.begin("b"), scene.begin("c"));
    drop(first); // the ledger may have it or not; nobody else's was in it
    assert_eq!(poll(&mut second), None);
    assert_eq!(scene.asked(), [vec!["a"], vec!["b", "c"]]);
    drop(second); // this one had asked for the third
    assert!(matches!(poll(&mut third), Some(Err(StoreError::Unavailable(_)))));
    scene.host.ledger.let_through();
    assert_eq!(scene.host.block_on(scene.make("d")), Ok(true));
}

#[test]
fn who_is_torn_down_while_he_waits_is_passed_over() {
    let scene = Scene::held();
    let (mut first, second, mut third) = (scene.begin("a"), scene.begin("b"), scene.begin("c"));
    drop(second);
    scene.host.ledger.let_through();
    assert_eq!(poll(&mut first), Some(Ok(true)));
    assert_eq!(poll(&mut third), Some(Ok(true)));
    assert_eq!(scene.asked(), [["a"], ["c"]]);
}
