use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_channel::oneshot;
use platform::{BoxFuture, Context, Signal, StoreError, Timestamp};
use quota::account::{Operation, Outcome, Reserve};

/// Reservations that one instance makes at the same time in the same account go to the ledger together.
///
/// While the ledger is asked for an account, the next reservations in it gather. When the answer is there, the first of
/// those that wait asks for all of them, in its own request's background: some hosts bind I/O to the request that began
/// it. Nobody waits for a request that came after his own, and an account that is asked now and then is asked at once.
#[derive(Default)]
pub struct Gathering {
    /// The accounts for which the ledger is being asked.
    accounts: Mutex<HashMap<String, Asking>>,
}

struct Asking {
    since: Timestamp,
    /// Who asks: whoever has been overtaken leaves the rest to his successor.
    turn: u64,
    waiting: Vec<Waiting>,
}

struct Waiting {
    reserve: Reserve,
    teller: Teller,
}

/// Tells one that waits, in another request, and then wakes him.
struct Teller {
    told: oneshot::Sender<Told>,
    _signal: Signal,
}

/// A signal, and what one is told when it is given.
type Wait = (BoxFuture<'static, ()>, oneshot::Receiver<Told>);

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
    /// One's own first.
    batch: Vec<Reserve>,
    /// Who waits for the others.
    others: Vec<Teller>,
}

/// Passes the right on, also when whoever has it is torn down.
struct Passing<'a> {
    gathering: &'a Gathering,
    account: &'a str,
    number: u64,
    context: &'a Context,
}

/// How many reservations wait for one call at most.
const MOST: usize = 100;
/// How long reservations wait for an answer before one of them asks beside it: it may be slow, or never come.
const PATIENCE: Duration = Duration::from_millis(10);

impl Gathering {
    /// Makes a reservation in `account`.
    pub(crate) async fn reserve(
        &self,
        account: &str,
        reserve: Reserve,
        context: &Context,
    ) -> Result<Outcome, StoreError> {
        let turn = match self.arrive(account, reserve, context) {
            Ok(turn) => turn,
            Err((signal, mut told)) => {
                signal.await;
                match told.try_recv() {
                    Ok(Some(Told::Outcome(outcome))) => return outcome,
                    Ok(Some(Told::Ask(turn))) => turn,
                    _ => return Err(StoreError::Unavailable("the request that asked for this one has ended".into())),
                }
            }
        };
        self.ask(account, turn, context).await
    }

    /// The right to ask, or what to wait for and where one is told then.
    fn arrive(&self, account: &str, reserve: Reserve, context: &Context) -> Result<Turn, Wait> {
        let (mut accounts, now) = (self.accounts(), context.clock.now());
        let Some(asking) = accounts.get_mut(account) else {
            accounts.insert(account.to_owned(), Asking { since: now, turn: 0, waiting: Vec::new() });
            return Ok(Turn { number: 0, batch: Vec::from([reserve]), others: Vec::new() });
        };
        let patient = now < asking.since.saturating_add(PATIENCE);
        if patient && asking.waiting.len() < MOST {
            let ((told, tells), (signal, given)) = (oneshot::channel(), context.background.signal());
            asking.waiting.push(Waiting { reserve, teller: Teller { told, _signal: signal } });
            return Err((given, tells));
        }
        Ok(asking.next_turn(reserve, now))
    }

    async fn ask(&self, account: &str, turn: Turn, context: &Context) -> Result<Outcome, StoreError> {
        let Turn { number, batch, others } = turn;
        let passing = Passing { gathering: self, account, number, context };
        let operations: Vec<Operation> = batch.into_iter().map(Operation::Reserve).collect();
        let answer = context.ledger.apply(account, &operations).await;
        drop(passing);
        let mut outcomes = answer.map(Vec::into_iter);
        let mut next = || match &mut outcomes {
            Ok(outcomes) => outcomes.next().ok_or_else(|| StoreError::Refused("an outcome is missing".into())),
            Err(error) => Err(error.clone()),
        };
        let own = next();
        for other in others {
            // Who is gone was torn down: the ledger charges his call when its time is over.
            let _ = other.told.send(Told::Outcome(next()));
        }
        own
    }

    /// Has the first of those that wait ask, unless somebody else asks already.
    fn pass_on(&self, account: &str, number: u64, now: Timestamp) {
        let mut accounts = self.accounts();
        let Some(asking) = accounts.get_mut(account).filter(|asking| asking.turn == number) else { return };
        while !asking.waiting.is_empty() {
            let Waiting { reserve, teller } = asking.waiting.remove(0);
            let turn = asking.next_turn(reserve, now);
            match teller.told.send(Told::Ask(turn)) {
                Ok(()) => return,
                // He is gone, and with him his reservation; the others wait on.
                Err(Told::Ask(turn)) => asking.take_back(turn),
                Err(Told::Outcome(_)) => {}
            }
        }
        accounts.remove(account);
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<String, Asking>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asking {
    /// Asks for `own` and for all that wait.
    fn next_turn(&mut self, own: Reserve, now: Timestamp) -> Turn {
        self.turn += 1;
        self.since = now;
        let mut turn = Turn { number: self.turn, batch: Vec::from([own]), others: Vec::new() };
        for Waiting { reserve, teller } in self.waiting.drain(..) {
            turn.batch.push(reserve);
            turn.others.push(teller);
        }
        turn
    }

    fn take_back(&mut self, turn: Turn) {
        let others = turn.batch.into_iter().skip(1).zip(turn.others);
        self.waiting.extend(others.map(|(reserve, teller)| Waiting { reserve, teller }));
    }
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        self.gathering.pass_on(self.account, self.number, self.context.clock.now());
    }
}

#[cfg(test)]
mod tests;
