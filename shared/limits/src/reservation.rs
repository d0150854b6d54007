use futures_channel::oneshot;
use platform::{Context, StoreError};
use problem::Problem;
use quota::account::{Decision, Operation, Outcome, Reserve, Standing};

use crate::{Availability, Config, refusal, take};

/// A call that may begin. It ends by [`Reservation::end`]; one that is dropped before came to nothing.
pub struct Reservation {
    /// Where the limits stand.
    pub standings: Vec<Standing>,
    ended: oneshot::Sender<Operation>,
}

/// What becomes of a reservation in the background of its request: the ledger's answer, and later the operation that
/// ends the call. None if nothing was reserved.
pub struct Answered(oneshot::Sender<Result<Vec<Outcome>, StoreError>>, oneshot::Receiver<Operation>);

impl Reservation {
    /// Tells what became of the call, with [`Operation::Settle`] or [`Operation::Release`].
    pub fn end(self, operation: Operation) {
        // Nobody receives it only when the host has ended this request's background work, which it logs itself.
        let _ = self.ended.send(operation);
    }
}

/// Asks the ledger for what a call could come to at most. One hop, for all levels.
///
/// `spawn` starts the background work that asks, since hosts let nothing begin once a caller has gone: it calls
/// [`Answered::run`]. Whoever costs money is not let in when the ledger does not answer in time: 503.
pub async fn reserve(
    config: &Config,
    availability: &Availability,
    context: &Context,
    spawn: impl FnOnce(Answered) + Send,
) -> Result<Reservation, Problem> {
    let ((answer, answered), (ended, end)) = (oneshot::channel(), oneshot::channel());
    let asking = async move {
        spawn(Answered(answer, end));
        answered.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the background work was ended".into())))
    };
    let decided = take::in_time(config, availability, context, 1, asking).await;
    match decided.map(|decisions| decisions.into_iter().next().unwrap_or_default()) {
        Ok(decision) => admit(decision, ended),
        Err(reason) => {
            availability.decided_without(false, &reason);
            Err(refusal::unavailable(context))
        }
    }
}

fn admit(decision: Decision, ended: oneshot::Sender<Operation>) -> Result<Reservation, Problem> {
    if decision.allowed {
        return Ok(Reservation { standings: decision.standings, ended });
    }
    Err(refusal::refused(&decision))
}

impl Answered {
    /// Asks, and waits for the call's end. What the call then has to report is returned: also for one that was admitted
    /// too late, which nobody waits for any more.
    pub async fn run(self, account: &str, reserve: Reserve, context: &Context) -> Option<Operation> {
        let id = reserve.id.clone();
        let outcomes = context.ledger.apply(account, &[Operation::Reserve(reserve)]).await;
        let may_hold = match &outcomes {
            Ok(outcomes) => matches!(outcomes.as_slice(), [Outcome::Decided(decision)] if decision.allowed),
            Err(_) => true, // it may have been done all the same
        };
        // Who has stopped waiting has dropped the other end too.
        let _ = self.0.send(outcomes);
        match self.1.await {
            Ok(operation) => Some(operation),
            Err(_) => may_hold.then_some(Operation::Release { id, record: None }),
        }
    }
}
