use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use platform::{Context, Timestamp};
use serde::Serialize;
use serde_json::Value;
use supabase::{Identity, Supabase, TOUCH_KEYS};
use uuid::Uuid;

use crate::KeyDigest;
use crate::api_key::hex;
use crate::expiring_map::ExpiringMap;

/// How often the use of a key is noted, at most: `last_used_at` is accurate to a minute.
const EVERY: Duration = Duration::from_mins(1);
/// How long uses gather, so that keys which are used at the same time share a call.
const GATHER: Duration = Duration::from_secs(1);
/// How many keys are remembered as noted; of further ones the oldest is noted again too early.
const CAPACITY: usize = 4096;
/// What one call takes.
const BATCH: usize = 1000;

/// When API keys were last used, and their digests under the current pepper where another one is stored: written to the
/// database beside the requests.
///
/// It is best effort: what the database does not take is forgotten, and the key's next use is noted a minute later.
pub(crate) struct KeyUses {
    supabase: Supabase,
    state: Mutex<State>,
}

struct State {
    noted: ExpiringMap<Uuid, ()>,
    waiting: HashMap<Uuid, Waiting>,
}

struct Waiting {
    at: Timestamp,
    digest: Option<KeyDigest>,
}

#[derive(Serialize)]
struct Uses {
    keys: Vec<Use>,
}

#[derive(Serialize)]
struct Use {
    id: Uuid,
    at: Timestamp,
    #[serde(flatten)]
    digest: Option<NewDigest>,
}

/// What is stored of the key from now on.
#[derive(Serialize)]
struct NewDigest {
    digest: String,
    pepper_version: u16,
}

impl KeyUses {
    pub(crate) fn new(supabase: Supabase) -> Self {
        Self { supabase, state: Mutex::new(State { noted: ExpiringMap::new(CAPACITY), waiting: HashMap::new() }) }
    }

    /// Notes that a key is used now, and `digest` if it is stored under another pepper; the writing is left to the
    /// background.
    pub(crate) fn note(self: &Arc<Self>, id: Uuid, digest: Option<KeyDigest>, context: &Context) {
        let now = context.clock.now();
        {
            let mut state = self.state();
            if state.noted.get(&id, now).is_some() || state.waiting.len() >= BATCH {
                return;
            }
            state.noted.insert(id, (), now, now.saturating_add(EVERY));
            state.waiting.insert(id, Waiting { at: now, digest });
        }
        // Each request that adds a use also looks after the writing: a host may tear down what another one began.
        let (uses, background) = (Arc::clone(self), context.clone());
        context.background.spawn(Box::pin(async move {
            background.clock.sleep(GATHER).await;
            uses.write(&background).await;
        }));
    }

    /// Writes what waits, if nobody else has.
    async fn write(&self, context: &Context) {
        let waiting = std::mem::take(&mut self.state().waiting);
        if waiting.is_empty() {
            return;
        }
        let keys: Vec<_> = waiting.into_iter().map(|(id, waiting)| Use::of(id, &waiting)).collect();
        let count = keys.len();
        // As the edge: nobody writes when their own key was used.
        let written: Result<Value, _> = self.supabase.rpc(context, TOUCH_KEYS, &Uses { keys }, Identity::Service).await;
        if let Err(error) = written {
            tracing::warn!(%error, count, "the use of API keys could not be noted");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Use {
    fn of(id: Uuid, waiting: &Waiting) -> Self {
        let digest = waiting.digest.map(|of| NewDigest { digest: hex(&of.digest), pepper_version: of.pepper_version });
        Self { id, at: waiting.at, digest }
    }
}
