//! Which of a tenant's entries count.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use platform::{Context, Timestamp};
use serde::Deserialize;
use serde_json::json;
use supabase::{Identity, LLM_CACHE_GENERATION, Supabase};
use uuid::Uuid;

/// The generations of tenants, as they were lately.
pub(crate) struct Generations {
    supabase: Supabase,
    known: Mutex<HashMap<Uuid, Known>>,
}

/// A generation, and until when it is believed.
#[derive(Clone, Copy)]
struct Known {
    generation: u64,
    until: Timestamp,
}

#[derive(Deserialize)]
struct Answer {
    generation: u64,
}

/// For how long after a purge another instance may still answer with what was purged.
const BELIEVED_FOR: Duration = Duration::from_secs(10);
/// Tenants that use the cache are few.
const MOST: usize = 4_096;

impl Generations {
    pub(crate) fn new(supabase: Supabase) -> Self {
        Self { supabase, known: Mutex::default() }
    }

    /// The generation of the tenant's entries. Nothing while the database does not say it.
    pub(crate) async fn of(&self, tenant: Uuid, context: &Context) -> Option<u64> {
        // From before the question on, so that the answer is never older than it looks.
        let asked = context.clock.now();
        if let Some(known) = self.known().get(&tenant).filter(|known| asked < known.until) {
            return Some(known.generation);
        }
        // As the edge: it is no user's business how often anybody purges.
        let payload = json!({"tenant": tenant});
        let answer: Result<Answer, _> =
            self.supabase.rpc(context, LLM_CACHE_GENERATION, &payload, Identity::Service).await;
        let answer = answer.inspect_err(|error| tracing::warn!(%error, "the cache of answers is left alone")).ok()?;
        self.note(tenant, answer.generation, asked);
        Some(answer.generation)
    }

    /// Takes note of a generation that was told at `asked`; an older one never displaces a newer.
    pub(crate) fn note(&self, tenant: Uuid, generation: u64, asked: Timestamp) {
        let mut known = self.known();
        if known.len() >= MOST && !known.contains_key(&tenant) {
            known.clear();
        }
        let newest = known.get(&tenant).map_or(generation, |known| known.generation.max(generation));
        known.insert(tenant, Known { generation: newest, until: asked.saturating_add(BELIEVED_FOR) });
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Uuid, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
