//! The exact cache of answers: whoever opts in and asks the same again is answered without a provider.
//!
//! An entry is found by a hash over the tenant, the generation of its entries (a purge begins the next), the endpoint and
//! the request in its canonical form. So tenants never meet, and what was purged is never found again.

mod canonical;
mod entry;
mod generations;
mod hit;
mod purge;
mod recording;
mod replay;

use std::time::Duration;

use http::HeaderMap;
use platform::{Context, timeout};
use problem::{Problem, kinds};
use sha2::{Digest as _, Sha256};
use supabase::Supabase;
use token::CacheMode;
use uuid::Uuid;

use crate::model_request::ModelRequest;

pub(crate) use entry::{About, Entry};
use generations::Generations;
pub(crate) use hit::answer;
pub(crate) use purge::purge;
pub(crate) use recording::Recording;
use replay::Replay;

/// The header by which a caller says how a call uses the cache, and an answer how it did.
pub(crate) const X_QLP_CACHE: &str = "x-qlp-cache";
/// What the cache may add to the time of a call at most. A slower one is done without.
const PATIENCE: Duration = Duration::from_millis(500);

/// The cache, as one instance sees it.
pub(crate) struct Cache {
    generations: Generations,
    limits: Limits,
}

/// Bounds of the cache.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How long an answer is kept.
    pub(crate) ttl: Duration,
    /// The largest answer that is kept, in bytes; 0 for none.
    pub(crate) largest: usize,
}

/// Where the answer to a request is kept.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    key: String,
    /// Whether an answer that is not there yet may be put there.
    writes: bool,
    limits: Limits,
}

/// How a call used the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// It was answered from there.
    Hit,
    /// It was not there.
    Miss,
    /// The caller did not want it, or the request is none that is cached.
    Off,
}

impl Use {
    /// As `x-qlp-cache` says it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Off => "off",
        }
    }
}

/// How a call is to use the cache: as its header says, else as its API key does. Nothing if neither has ever heard of it.
pub(crate) fn mode(headers: &HeaderMap, default: CacheMode) -> Result<Option<CacheMode>, Problem> {
    let Some(value) = headers.get(X_QLP_CACHE) else { return Ok(Some(default).filter(|mode| !mode.is_off())) };
    let mode = value.to_str().ok().and_then(CacheMode::named);
    let detail = "The header `x-qlp-cache` must be off, read or read-write.";
    mode.map(Some).ok_or_else(|| Problem::new(kinds::INVALID_REQUEST).detail(detail))
}

impl Cache {
    pub(crate) fn new(supabase: Supabase, limits: Limits) -> Self {
        Self { generations: Generations::new(supabase), limits }
    }

    /// Where the answer for `tenant` is kept. Nothing for a request that is not cached, and while the database does not
    /// say which entries are purged.
    pub(crate) async fn place(
        &self,
        mode: CacheMode,
        tenant: Uuid,
        request: &ModelRequest,
        context: &Context,
    ) -> Option<Place> {
        if mode.is_off() || self.limits.largest == 0 {
            return None;
        }
        let canonical = canonical::of(request.endpoint, request.body())?;
        let generation = timeout(&*context.clock, PATIENCE, self.generations.of(tenant, context)).await;
        let generation = generation
            .inspect_err(|_| tracing::warn!("the cache of answers is left alone: its generation is late"))
            .ok()??;
        let mut hash = Sha256::new();
        // What the caller is held to is part of the question too.
        let (endpoint, longest) = (request.endpoint.below_base(), request.held_to().unwrap_or(0));
        hash.update(format!("{tenant} {generation} {endpoint} {longest}\n"));
        hash.update(canonical);
        let key = format!("llm-answer/{:x}", hash.finalize());
        Some(Place { key, writes: mode == CacheMode::ReadWrite, limits: self.limits })
    }

    /// The caller has purged the entries of `tenant`: this instance keeps to it from now on.
    pub(crate) fn purged(&self, tenant: Uuid, generation: u64, context: &Context) {
        self.generations.note(tenant, generation, context.clock.now());
    }
}

impl Place {
    /// The answer that is kept there, if any.
    pub(crate) async fn find(&self, context: &Context) -> Option<Entry> {
        let found = timeout(&*context.clock, PATIENCE, context.cache.get(&self.key)).await.ok()?;
        let found = found.inspect_err(|error| tracing::warn!(%error, "the cache of answers cannot be read")).ok()??;
        let entry = Entry::read(&found);
        if entry.is_none() {
            tracing::warn!("an entry of the cache of answers has another form");
        }
        entry
    }
}
