use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use platform::{Context, PublicKey, Timestamp};

use crate::expiring_map::ExpiringMap;
use crate::jwks_source::{Copy, JwksSource};
use crate::{Reason, Refusal};

/// Between two fetches, whatever happens: forged key ids must not turn into requests to the issuer.
pub(crate) const FETCH_INTERVAL: Duration = Duration::from_secs(30);
/// After a fetch whose caller went away, so that neither the next caller waits long nor hang-ups turn into a flood.
const INTERVAL_AFTER_ABANDONED: Duration = Duration::from_secs(1);
/// A refresh that has neither ended nor been dropped by then counts as lost. Above the source's own deadlines.
const FLIGHT_DEADLINE: Duration = Duration::from_secs(8);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How long keys are used when the issuer cannot be reached.
const MAX_STALENESS: Duration = Duration::from_hours(24);
const UNKNOWN_KEY_IDS: usize = 1024;
const UNKNOWN_FOR: Duration = Duration::from_mins(1);

/// An issuer's published keys, kept and renewed.
///
/// On some hosts a request must not wait for another request's future. A refresh is therefore a flag with a deadline
/// under a mutex that is never held across an await; those who need its result look again every 20 ms.
pub(crate) struct RemoteKeys {
    source: JwksSource,
    state: Mutex<State>,
}

struct State {
    held: Option<Copy>,
    /// When the refresh that is under way began.
    flight: Option<Timestamp>,
    fetched: Option<Timestamp>,
    interval: Duration,
    failing: bool,
    unknown: ExpiringMap<String, ()>,
}

/// What the state says about one key id.
enum Look {
    Found {
        key: Arc<PublicKey>,
        refresh: bool,
    },
    Unknown,
    /// The issuer could not be asked; it can be after this time.
    Unreachable(Duration),
    Wait,
    Refresh,
}

/// Ends the refresh also when its future is dropped half-way.
struct Flight {
    keys: Arc<RemoteKeys>,
    began: Timestamp,
    landed: bool,
}

impl RemoteKeys {
    pub(crate) fn new(source: JwksSource) -> Arc<Self> {
        let state = State {
            held: None,
            flight: None,
            fetched: None,
            interval: FETCH_INTERVAL,
            failing: false,
            unknown: ExpiringMap::new(UNKNOWN_KEY_IDS),
        };
        Arc::new(Self { source, state: Mutex::new(state) })
    }

    /// The key named `id`, fetched if need be.
    pub(crate) async fn get(self: &Arc<Self>, id: &str, context: &Context) -> Result<Arc<PublicKey>, Refusal> {
        let give_up = context.clock.now().saturating_add(FLIGHT_DEADLINE);
        loop {
            let now = context.clock.now();
            match self.look(id, now) {
                Look::Found { key, refresh } => {
                    if refresh {
                        self.refresh_behind(now, context);
                    }
                    return Ok(key);
                }
                Look::Unknown => return Err(Reason::UnknownKey.into()),
                Look::Unreachable(retry_after) => return Err(Refusal::Unavailable { retry_after }),
                Look::Wait if now >= give_up => return Err(Refusal::Unavailable { retry_after: FETCH_INTERVAL }),
                Look::Wait => context.clock.sleep(POLL_INTERVAL).await,
                Look::Refresh => {
                    if let Some(flight) = self.take_off(now) {
                        self.refresh(flight, Some(id), context).await;
                    }
                }
            }
        }
    }

    /// Whether `key` is still the one published under `id`, as far as we know. Starts a refresh when that is old.
    pub(crate) fn still_lists(self: &Arc<Self>, id: &str, key: &Arc<PublicKey>, context: &Context) -> bool {
        let now = context.clock.now();
        match self.look(id, now) {
            Look::Found { key: listed, refresh } => {
                if refresh {
                    self.refresh_behind(now, context);
                }
                Arc::ptr_eq(&listed, key) || listed == *key
            }
            _ => false,
        }
    }

    /// Whether `id` is the name of a published key, without asking the issuer.
    pub(crate) fn is_known(&self, id: &str) -> bool {
        self.state().held.as_ref().is_some_and(|held| held.keys.get(id).is_some())
    }

    fn look(&self, id: &str, now: Timestamp) -> Look {
        let state = self.state();
        let held = state.held.as_ref().filter(|held| since(held.fetched_at, now) <= MAX_STALENESS);
        if let Some((held, key)) = held.and_then(|held| Some((held, held.keys.get(id)?))) {
            return Look::Found { key: Arc::clone(key), refresh: now >= held.fresh_until() && state.may_fetch(now) };
        }
        if state.unknown.get(id, now).is_some() {
            return Look::Unknown;
        }
        if state.may_fetch(now) {
            return Look::Refresh;
        }
        if state.is_flying(now) || state.interval == INTERVAL_AFTER_ABANDONED {
            return Look::Wait;
        }
        if held.is_some() && !state.failing { Look::Unknown } else { Look::Unreachable(state.until_next_fetch(now)) }
    }

    fn refresh_behind(self: &Arc<Self>, now: Timestamp, context: &Context) {
        let Some(flight) = self.take_off(now) else { return };
        let (keys, inner) = (Arc::clone(self), context.clone());
        context.background.spawn(Box::pin(async move { keys.refresh(flight, None, &inner).await }));
    }

    /// Begins a refresh unless another caller was quicker.
    fn take_off(self: &Arc<Self>, now: Timestamp) -> Option<Flight> {
        let mut state = self.state();
        if state.is_flying(now) || !state.may_fetch(now) {
            return None;
        }
        state.flight = Some(now);
        state.fetched = Some(now);
        state.interval = FETCH_INTERVAL;
        Some(Flight { keys: Arc::clone(self), began: now, landed: false })
    }

    /// Takes another instance's copy if that is newer than ours, else asks the issuer. Who misses something in the copy
    /// looks again, and then the issuer is asked. `wanted` is the key id that was missing.
    async fn refresh(&self, flight: Flight, wanted: Option<&str>, context: &Context) {
        let held_since = self.state().held.as_ref().map(|held| held.fetched_at);
        let shared = self.source.shared_copy(context).await.filter(|copy| Some(copy.fetched_at) > held_since);
        if let Some(copy) = shared {
            return flight.land(|state| {
                state.fetched = Some(copy.fetched_at);
                state.hold(copy);
            });
        }
        if held_since.is_some() && !self.source.is_ours_to_fetch(context).await {
            return flight.land(|_| ()); // what the other one finds is shared, and found here in half a minute
        }
        let fetched = self.source.fetch(context).await;
        let now = context.clock.now();
        match fetched {
            Ok(copy) => {
                self.source.share(&copy, context);
                flight.land(|state| {
                    if let Some(id) = wanted.filter(|id| copy.keys.get(id).is_none()) {
                        state.unknown.insert(id.to_owned(), (), now, now.saturating_add(UNKNOWN_FOR));
                    }
                    state.hold(copy);
                });
            }
            Err(error) => {
                let jwks_stale_seconds = held_since.map(|fetched_at| since(fetched_at, now).as_secs());
                tracing::warn!(error = %error, jwks_stale_seconds, "the issuer's keys could not be fetched");
                flight.land(|state| state.failing = true);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn hold(&mut self, copy: Copy) {
        self.failing = false;
        self.held = Some(copy);
    }

    fn is_flying(&self, now: Timestamp) -> bool {
        self.flight.is_some_and(|began| since(began, now) < FLIGHT_DEADLINE)
    }

    fn may_fetch(&self, now: Timestamp) -> bool {
        !self.is_flying(now) && self.until_next_fetch(now).is_zero()
    }

    /// Zero also after the clock was set back, which must not lock anybody out.
    fn until_next_fetch(&self, now: Timestamp) -> Duration {
        match self.fetched {
            Some(fetched) if fetched <= now => self.interval.saturating_sub(since(fetched, now)),
            _ => Duration::ZERO,
        }
    }
}

impl Flight {
    fn land(mut self, change: impl FnOnce(&mut State)) {
        self.landed = true;
        change(&mut self.keys.state());
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut state = self.keys.state();
        if state.flight == Some(self.began) {
            state.flight = None;
            if !self.landed {
                state.interval = INTERVAL_AFTER_ABANDONED;
            }
        }
    }
}

/// How long ago `then` was; zero if it lies ahead.
pub(crate) fn since(then: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(then)
}
