use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use platform::{ClientAddress, Context};
use quota::{Policy, Take, shard};

use crate::Refusal;
use crate::api_key::ApiKey;
use crate::expiring_map::ExpiringMap;
use crate::remote_keys::since;

/// Unknown keys from one network: 100 per 5 minutes.
const PER_NETWORK: (&str, u64) = ("key-guess-network", 100);
/// Unknown keys that begin alike: 20 per 5 minutes. Two keys of one project rarely do.
const PER_PREFIX: (&str, u64) = ("key-guess-prefix", 20);
const WINDOW_SECONDS: u64 = 300;
const CAPACITY: usize = 1024;

/// Slows down whoever tries keys that do not exist. Only failures are counted, so that keys that work cost nothing.
///
/// Whoever has tried too many waits before the next look-up, for longer the more are tried meanwhile; keys that an
/// instance knows are let in all the same.
pub(crate) struct KeyGuesses(Mutex<ExpiringMap<String, platform::Timestamp>>);

impl KeyGuesses {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(ExpiringMap::new(CAPACITY)))
    }

    /// Refuses a look-up for whoever has to wait.
    pub(crate) fn check(
        &self,
        key: &ApiKey<'_>,
        address: Option<ClientAddress>,
        context: &Context,
    ) -> Result<(), Refusal> {
        let now = context.clock.now();
        let blocked = self.blocked();
        let until =
            guesses(key, address).into_iter().filter_map(|guess| blocked.get(&guess.subject, now).copied()).max();
        until.map_or(Ok(()), |until| Err(Refusal::TooManyAttempts { retry_after: since(now, until) }))
    }

    /// Counts a key that does not exist. When it cannot be counted it is refused like any other.
    pub(crate) async fn count(&self, key: &ApiKey<'_>, address: Option<ClientAddress>, context: &Context) {
        for Guess { shard, subject, limit: (name, limit) } in guesses(key, address) {
            let policy = Policy { name: name.into(), limit, window_seconds: WINDOW_SECONDS };
            let take = Take { subject: subject.clone(), policy, quantity: 1 };
            match context.ledger.take(&shard, &[take]).await {
                Ok(decision) if decision.allowed => (),
                Ok(decision) => {
                    let wait = Duration::from_nanos(decision.retry_after().unwrap_or(0));
                    let now = context.clock.now();
                    self.blocked().insert(subject, now.saturating_add(wait), now, now.saturating_add(wait));
                }
                Err(error) => tracing::warn!(%error, "an unknown API key could not be counted"),
            }
        }
    }

    fn blocked(&self) -> MutexGuard<'_, ExpiringMap<String, platform::Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is counted, where, and by which limit.
struct Guess {
    shard: String,
    subject: String,
    limit: (&'static str, u64),
}

fn guesses(key: &ApiKey<'_>, address: Option<ClientAddress>) -> Vec<Guess> {
    let guess = |kind: &str, whose: &str, limit: (&'static str, u64)| Guess {
        shard: shard(kind, whose),
        subject: format!("{}:{whose}", limit.0),
        limit,
    };
    let network = address.map(|address| guess("address", &address.network(), PER_NETWORK));
    network.into_iter().chain([guess("key-prefix", key.display_prefix(), PER_PREFIX)]).collect()
}
