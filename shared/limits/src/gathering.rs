use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_channel::oneshot;
use platform::{Clock, Ledger, StoreError, Timestamp};
use quota::account::{Operation, Outcome, Reserve};

/// Reservations that one instance makes at the same time in the same account go to the ledger together.
///
/// While the ledger is asked for an account, the next reservations in it gather. When the answer is there, the first of
/// those that wait asks for all of them: some hosts bind I/O to the request that began it. Nobody waits for a request that
/// came after his own, and an account that is asked now and then is asked at once. So is a ledger that takes its time, for
/// who waits twice as long as it takes must still be well within the deadline.
///
/// For hosts that let one request wake another, and for reservations that are made in the background, where no caller's
/// leaving ends them.
#[derive(Default)]
pub struct Gathering(Mutex<State>);

#[derive(Default)]
struct State {
    /// The accounts for which the ledger is being asked.
    accounts: HashMap<String, Asking>,
    /// How long the last answer took.
    took: Duration,
    /// The number given last.
    turns: u64,
}

struct Asking {
    since: Timestamp,
    /// Who asks: whoever has been overtaken leaves the rest to his successor.
    turn: u64,
    waiting: Vec<Waiting>,
}

struct Waiting {
    reserve: Reserve,
    told: oneshot::Sender<Told>,
}

/// What one that waits is told.
enum Told {
    /// The ledger's answer.
    Outcome(Result<Outcome, StoreError>),
    /// To ask, for himself and for these.
    Ask(Turn),
}

/// The right to ask for one account, and what to ask.
struct Turn {
    number: u64,
    since: Timestamp,
    /// One's own first.
    batch: Vec<Reserve>,
    /// Who waits for the others.
    others: Vec<oneshot::Sender<Told>>,
}

/// Passes the right on, also when whoever has it is torn down.
struct Passing<'a> {
    gathering: &'a Gathering,
    account: &'a str,
    number: u64,
    since: Timestamp,
    clock: &'a dyn Clock,
}

/// How many reservations wait for one call at most.
const MOST: usize = 100;
/// How long an answer is waited for before somebody asks beside it: it may be slow, or never come.
const PATIENCE: Duration = Duration::from_millis(10);

impl Gathering {
    /// Makes a reservation in `account`.
    pub async fn reserve(
        &self,
        ledger: &dyn Ledger,
        clock: &dyn Clock,
        account: &str,
        reserve: Reserve,
    ) -> Result<Outcome, StoreError> {
        let turn = match self.arrive(account, reserve, clock.now()) {
            Ok(turn) => turn,
            Err(waits) => match waits.await {
                Ok(Told::Outcome(outcome)) => return outcome,
                Ok(Told::Ask(turn)) => turn,
                Err(_) => return Err(StoreError::Unavailable("the request that asked for this one has ended".into())),
            },
        };
        self.ask(ledger, clock, account, turn).await
    }

    /// The right to ask, or where one will be told.
    fn arrive(&self, account: &str, reserve: Reserve, now: Timestamp) -> Result<Turn, oneshot::Receiver<Told>> {
        let mut state = self.state();
        let (quick, number) = (state.took < PATIENCE, state.next_turn());
        let Some(asking) = state.accounts.get_mut(account) else {
            state.accounts.insert(account.to_owned(), Asking { since: now, turn: number, waiting: Vec::new() });
            return Ok(Turn { number, since: now, batch: Vec::from([reserve]), others: Vec::new() });
        };
        let patient = quick && now < asking.since.saturating_add(PATIENCE);
        if patient && asking.waiting.len() < MOST {
            let (told, waits) = oneshot::channel();
            asking.waiting.push(Waiting { reserve, told });
            return Err(waits);
        }
        Ok(asking.pass_to(number, reserve, now))
    }

    async fn ask(
        &self,
        ledger: &dyn Ledger,
        clock: &dyn Clock,
        account: &str,
        turn: Turn,
    ) -> Result<Outcome, StoreError> {
        let Turn { number, since, batch, others } = turn;
        let passing = Passing { gathering: self, account, number, since, clock };
        let operations: Vec<Operation> = batch.into_iter().map(Operation::Reserve).collect();
        let answer = ledger.apply(account, &operations).await;
        drop(passing);
        let mut outcomes = answer.map(Vec::into_iter);
        let mut next = || match &mut outcomes {
            Ok(outcomes) => outcomes.next().ok_or_else(|| StoreError::Refused("an outcome is missing".into())),
            Err(error) => Err(error.clone()),
        };
        let own = next();
        for told in others {
            // Who is gone was torn down: the ledger charges his call when its time is over.
            let _ = told.send(Told::Outcome(next()));
        }
        own
    }

    /// Has the first of those that wait ask, unless somebody else asks already.
    fn pass_on(&self, account: &str, number: u64, now: Timestamp) {
        let mut state = self.state();
        let next = state.next_turn();
        let Some(asking) = state.accounts.get_mut(account).filter(|asking| asking.turn == number) else { return };
        // Who is gone is passed over, and with him his reservation.
        asking.waiting.retain(|waiting| !waiting.told.is_canceled());
        if !asking.waiting.is_empty() {
            let Waiting { reserve, told } = asking.waiting.remove(0);
            let _ = told.send(Told::Ask(asking.pass_to(next, reserve, now)));
            return;
        }
        state.accounts.remove(account);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A number that no turn has had, in whichever account.
    fn next_turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }
}

impl Asking {
    /// The turn `number` is to ask for `own` and for all that wait.
    fn pass_to(&mut self, number: u64, own: Reserve, now: Timestamp) -> Turn {
        (self.turn, self.since) = (number, now);
        let mut turn = Turn { number, since: now, batch: Vec::from([own]), others: Vec::new() };
        for Waiting { reserve, told } in self.waiting.drain(..) {
            turn.batch.push(reserve);
            turn.others.push(told);
        }
        turn
    }
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        let now = self.clock.now();
        self.gathering.state().took = now.duration_since(self.since);
        self.gathering.pass_on(self.account, self.number, now);
    }
}

#[cfg(test)]
mod tests;
