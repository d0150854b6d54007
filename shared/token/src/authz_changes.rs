use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use platform::{Context, Timestamp, timeout};
use serde::{Deserialize, Serialize};
use supabase::{AUTHZ_CHANGES, Identity, Supabase};
use uuid::Uuid;

use crate::remote_keys::since;

/// An answer this old is renewed behind the request that finds it.
const RENEWED_AFTER: Duration = Duration::from_secs(5);
/// An answer this old is renewed before anything is decided: the longest time for which a change goes unnoticed.
const FRESH_FOR: Duration = Duration::from_secs(10);
/// The longest that a request waits for an answer. Then what the token says counts, as it does until it ends when
/// nobody can be asked: whoever cannot reach the database has removed nobody from it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two questions, also when they fail.
const INTERVAL: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Beyond it everything is asked anew: the database tells of the latest 10,000 of a day.
const CAPACITY: usize = 20_000;

/// Whose rights changed after their tokens were made, as the database tells it.
///
/// One question serves all callers, so that a token costs none of its own. As with the issuer's keys, a question is a
/// note under a mutex: on some hosts a request must not wait for another request's future.
pub(crate) struct AuthzChanges {
    supabase: Supabase,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The lowest epoch that is not stale, of those whose rights changed.
    epochs: HashMap<Uuid, u64>,
    /// The database's own time of the last answer.
    as_of: Option<Timestamp>,
    /// When that answer was asked for.
    answered: Option<Timestamp>,
    /// When it was asked last.
    asked: Option<Timestamp>,
    asking: bool,
}

enum Look {
    Fresh,
    Old,
    Wait,
    Ask,
    /// It was asked a moment ago, to no avail.
    GiveUp,
}

#[derive(Serialize)]
struct Query {
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Answer {
    as_of: Timestamp,
    changes: HashMap<Uuid, u64>,
}

/// Ends the question also when its future is dropped half-way.
struct Asking {
    changes: Arc<AuthzChanges>,
    began: Timestamp,
}

impl AuthzChanges {
    pub(crate) fn new(supabase: Supabase) -> Arc<Self> {
        Arc::new(Self { supabase, state: Mutex::default() })
    }

    /// Whether what a token of `user` with this epoch says is still so.
    pub(crate) async fn is_current(self: &Arc<Self>, user: Uuid, epoch: u64, context: &Context) -> bool {
        self.renew(context).await;
        self.state().epochs.get(&user).is_none_or(|lowest| epoch >= *lowest)
    }

    async fn renew(self: &Arc<Self>, context: &Context) {
        let give_up = context.clock.now().saturating_add(PATIENCE);
        loop {
            let now = context.clock.now();
            match self.look(now) {
                Look::Fresh | Look::GiveUp => return,
                Look::Old => return self.ask_behind(now, context),
                Look::Wait if now >= give_up => return,
                Look::Wait => context.clock.sleep(POLL_INTERVAL).await,
                Look::Ask => {
                    let asking = self.begin(now);
                    let _ = timeout(&*context.clock, PATIENCE, asking.ask(context)).await;
                    return;
                }
            }
        }
    }

    fn look(&self, now: Timestamp) -> Look {
        let state = self.state();
        let age = state.answered.map(|at| since(at, now));
        let pause = state.asked.is_some_and(|at| since(at, now) < INTERVAL);
        match age {
            Some(age) if age < RENEWED_AFTER => Look::Fresh,
            Some(age) if age < FRESH_FOR && (state.asking || pause) => Look::Fresh,
            Some(age) if age < FRESH_FOR => Look::Old,
            _ if state.asking && pause => Look::Wait,
            _ if pause => Look::GiveUp,
            _ => Look::Ask,
        }
    }

    fn ask_behind(self: &Arc<Self>, now: Timestamp, context: &Context) {
        let (asking, inner) = (self.begin(now), context.clone());
        context.background.spawn(Box::pin(async move { asking.ask(&inner).await }));
    }

    fn begin(self: &Arc<Self>, now: Timestamp) -> Asking {
        let mut state = self.state();
        (state.asked, state.asking) = (Some(now), true);
        Asking { changes: Arc::clone(self), began: now }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asking {
    async fn ask(&self, context: &Context) {
        let query = Query { since: self.changes.state().as_of };
        match self.changes.supabase.rpc::<Answer>(context, AUTHZ_CHANGES, &query, Identity::Service).await {
            Ok(answer) => self.changes.state().learn(answer, self.began),
            Err(error) => tracing::warn!(%error, "whose rights have changed is not known at present"),
        }
    }
}

impl State {
    fn learn(&mut self, answer: Answer, asked: Timestamp) {
        self.epochs.extend(answer.changes);
        (self.as_of, self.answered) = (Some(answer.as_of), Some(asked));
        if self.epochs.len() > CAPACITY {
            *self = Self::default();
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.changes.state().asking = false;
    }
}
