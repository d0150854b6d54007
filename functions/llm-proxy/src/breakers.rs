//! Which routes are left alone because they keep failing.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use platform::{Context, Timestamp};

use crate::routing::Way;

/// A circuit breaker for every route at each endpoint, and one for every provider's credential.
///
/// After some failures in a row a breaker opens, and for a while nothing goes that way. Then one call at a time tries;
/// while they fail it stays open, for longer each time. An instance tells the others of its region by the cache, in
/// which they look when a route fails there too.
pub(crate) struct Breakers {
    /// Failures in a row after which a route is left alone; 0 for never.
    tolerated: u32,
    breakers: Mutex<HashMap<String, Breaker>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Breaker {
    failures: u32,
    /// How often it has opened since the last success.
    openings: u32,
    /// Until then nothing goes this way; afterwards one call tries.
    open_until: Option<Timestamp>,
    /// Until then somebody tries.
    trying_until: Option<Timestamp>,
}

/// Whose fault a failure was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The route's: it fails, is late or cannot be read.
    Route,
    /// Our credential's, of which other credentials know nothing.
    Credential,
    /// Nobody's who could be left alone: the request is wrong, or there were too many.
    Nobody,
}

/// For how long at first; twice as long each time it fails again.
const COOL: Duration = Duration::from_secs(5);
const LONGEST_DOUBLINGS: u32 = 4;
/// A credential does not mend by itself.
const CREDENTIAL_COOL: Duration = Duration::from_mins(1);
const CREDENTIAL: &str = "credential ";
/// A try whose request was torn down without a trace is given up after this.
const TRY: Duration = Duration::from_secs(30);
/// Routes and credentials are few; names that are no longer in the catalog are forgotten.
const MOST: usize = 1_000;

impl Breakers {
    /// Breakers that open after `tolerated` failures in a row; 0 for never.
    pub(crate) fn new(tolerated: u32) -> Self {
        Self { tolerated, breakers: Mutex::default() }
    }

    /// Whether a call may go this way now. Who may, reports how it went.
    pub(crate) fn admit(&self, way: &Way<'_>, now: Timestamp) -> bool {
        let mut breakers = self.breakers();
        let names = [route(way), credential(way)];
        let all = names.iter().all(|name| breakers.get(name).is_none_or(|breaker| breaker.may_pass(now)));
        if all {
            for name in &names {
                if let Some(breaker) = breakers.get_mut(name).filter(|breaker| breaker.open_until.is_some()) {
                    breaker.trying_until = Some(now.saturating_add(TRY));
                }
            }
        }
        all
    }

    /// When the first of `ways` may be tried again.
    pub(crate) fn next_try(&self, ways: &[Way<'_>], now: Timestamp) -> Duration {
        let breakers = self.breakers();
        let until = |name: String| breakers.get(&name).and_then(|breaker| breaker.closed_until(now)).unwrap_or(now);
        let waits = ways.iter().map(|way| until(route(way)).max(until(credential(way))).duration_since(now));
        waits.min().unwrap_or_default()
    }

    /// A call has gone this way and come back.
    pub(crate) fn succeeded(&self, way: &Way<'_>) {
        let mut breakers = self.breakers();
        for name in [route(way), credential(way)] {
            if breakers.remove(&name).is_some_and(|breaker| breaker.openings > 0) {
                tracing::info!(name, "a circuit breaker has closed");
            }
        }
    }

    /// A call has gone this way and failed.
    pub(crate) async fn failed(&self, way: &Way<'_>, fault: Fault, context: &Context) {
        if self.tolerated == 0 {
            return;
        }
        let now = context.clock.now();
        let (name, tolerated) = match fault {
            Fault::Route => (route(way), self.tolerated),
            Fault::Credential => (credential(way), 1),
            Fault::Nobody => return self.tried(way),
        };
        let opened = self.count(&name, tolerated, now);
        if let Some(until) = opened {
            tracing::warn!(name, openings = self.openings(&name), "a circuit breaker has opened");
            publish(&name, until, context).await;
        } else if let Some(until) = published(&name, context).await.filter(|until| *until > now) {
            self.open(&name, until);
        }
    }

    /// Counts a failure; until when it is open if that has opened it.
    fn count(&self, name: &str, tolerated: u32, now: Timestamp) -> Option<Timestamp> {
        let mut breakers = self.breakers();
        if breakers.len() >= MOST && !breakers.contains_key(name) {
            breakers.clear();
        }
        let breaker = breakers.entry(name.to_owned()).or_default();
        breaker.failures = breaker.failures.saturating_add(1);
        breaker.trying_until = None;
        if breaker.failures < tolerated {
            return None;
        }
        let cool = if name.starts_with(CREDENTIAL) {
            CREDENTIAL_COOL
        } else {
            COOL * (1 << breaker.openings.min(LONGEST_DOUBLINGS))
        };
        breaker.openings = breaker.openings.saturating_add(1);
        // Never shorter than it was.
        breaker.open_until = breaker.open_until.max(Some(now.saturating_add(cool)));
        breaker.open_until
    }

    /// Somebody else has opened it.
    fn open(&self, name: &str, until: Timestamp) {
        let mut breakers = self.breakers();
        let breaker = breakers.entry(name.to_owned()).or_default();
        breaker.failures = breaker.failures.max(self.tolerated);
        breaker.openings = breaker.openings.max(1);
        breaker.open_until = breaker.open_until.max(Some(until));
    }

    /// A try has ended without a word on the route: it was given up, or the failure was nobody's.
    pub(crate) fn tried(&self, way: &Way<'_>) {
        let mut breakers = self.breakers();
        for name in [route(way), credential(way)] {
            if let Some(breaker) = breakers.get_mut(&name) {
                breaker.trying_until = None;
            }
        }
    }

    fn openings(&self, name: &str) -> u32 {
        self.breakers().get(name).map_or(0, |breaker| breaker.openings)
    }

    fn breakers(&self) -> MutexGuard<'_, HashMap<String, Breaker>> {
        self.breakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Breaker {
    fn may_pass(&self, now: Timestamp) -> bool {
        self.closed_until(now).is_none()
    }

    /// Until when nothing goes this way, if it does not now.
    fn closed_until(&self, now: Timestamp) -> Option<Timestamp> {
        let open_until = self.open_until?;
        if now < open_until { Some(open_until) } else { self.trying_until.filter(|until| now < *until) }
    }
}

fn route(way: &Way<'_>) -> String {
    let Way { provider, route, endpoint, .. } = way;
    format!("route {}{} {}", provider.name, endpoint.below_base(), route.model)
}

fn credential(way: &Way<'_>) -> String {
    format!("{CREDENTIAL}{}", way.provider.name)
}

async fn publish(name: &str, until: Timestamp, context: &Context) {
    let lasts = until.duration_since(context.clock.now());
    let text = Bytes::from(until.as_millisecond().to_string());
    if let Err(error) = context.cache.set(&key(name), text, lasts).await {
        tracing::warn!(%error, "other instances are not told of a circuit breaker");
    }
}

/// Until when another instance has opened it.
async fn published(name: &str, context: &Context) -> Option<Timestamp> {
    let text = context.cache.get(&key(name)).await.ok()??;
    let milliseconds = std::str::from_utf8(&text).ok()?.parse().ok()?;
    Timestamp::from_millisecond(milliseconds)
}

fn key(name: &str) -> String {
    format!("breaker/{name}")
}
