//! The model aliases and their routes, kept per instance.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::RETRY_AFTER;
use platform::{Context, Timestamp};
use problem::{Problem, kinds};
use serde::Deserialize;
use serde_json::json;
use supabase::{Identity, LIST_MODELS, Supabase};
use token::{LlmRules, Tier};

use crate::guard_rails::GuardRails;
use crate::price::{Price, Rate};

/// What `list_models` answers.
#[derive(Debug, Deserialize)]
struct Listing {
    models: Vec<Model>,
    #[serde(default)]
    tiers: BTreeMap<Tier, LlmRules>,
}

/// One alias.
#[derive(Debug, Deserialize)]
pub(crate) struct Model {
    pub(crate) alias: String,
    /// Unix seconds.
    pub(crate) created: i64,
    pub(crate) owned_by: String,
    /// In the order of their positions.
    pub(crate) routes: Vec<Route>,
}

/// One way to answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "ListedRoute")]
pub(crate) struct Route {
    pub(crate) provider: String,
    /// The provider's own name of the model.
    pub(crate) model: String,
    /// Routes of a lower number are tried first; of the same number in an order of chance.
    pub(crate) priority: u32,
    /// How likely the route comes first among those of its number.
    pub(crate) weight: u32,
    /// What it costs, if that is known.
    pub(crate) price: Option<Arc<Price>>,
    /// The longest prompt that the model takes, in tokens.
    pub(crate) max_input_tokens: Option<u64>,
    /// The longest answer of the model, in tokens.
    pub(crate) max_output_tokens: Option<u64>,
}

/// A route as `list_models` answers it: with a price of its own, or with the rates of the price table.
#[derive(Deserialize)]
struct ListedRoute {
    provider: String,
    model: String,
    #[serde(default)]
    priority: u32,
    #[serde(default)]
    weight: u32,
    input_nano_usd: Option<u64>,
    output_nano_usd: Option<u64>,
    cached_input_nano_usd: Option<u64>,
    rates: Option<Vec<Rate>>,
    price_version: Option<String>,
    max_input_tokens: Option<u64>,
    max_output_tokens: Option<u64>,
}

/// Every alias, by name, and what may be asked of them.
pub(crate) struct Models {
    aliases: BTreeMap<String, Model>,
    tiers: BTreeMap<Tier, LlmRules>,
}

/// A copy of the aliases. For a minute it is fresh; then it still answers while one request's background work fetches
/// anew, also for as long as the database is away. Only an instance that never had a copy makes its callers wait.
///
/// A request must not wait for a future of another request: some hosts bind I/O to the request that began it. So who
/// finds that somebody else is fetching looks again after a short sleep.
pub(crate) struct Catalog {
    supabase: Supabase,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    models: Option<Arc<Models>>,
    /// Until then nobody fetches: the copy is fresh, or an attempt has just failed.
    settled_until: Option<Timestamp>,
    /// Until then somebody is fetching; the number tells whether it is still the same one.
    fetching: Option<(u64, Timestamp)>,
    fetches: u64,
}

/// What a look at the copy leads to.
enum Look {
    Use(Arc<Models>),
    UseAndRefresh(Arc<Models>, Fetching),
    Fetch(Fetching),
    Wait,
    Failed,
}

/// The right to fetch, given back when dropped.
struct Fetching {
    catalog: Arc<Catalog>,
    number: u64,
}

const FRESH: Duration = Duration::from_mins(1);
const RETRY_STALE: Duration = Duration::from_secs(5);
const RETRY_COLD: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// A fetch whose request was torn down without a trace is given up after this.
const LEASE: Duration = Duration::from_secs(10);

impl Route {
    /// A route of which nothing more is known.
    #[cfg(test)]
    pub(crate) fn to(provider: &str, model: &str) -> Self {
        serde_json::from_value(json!({"provider": provider, "model": model})).unwrap()
    }
}

impl From<ListedRoute> for Route {
    fn from(listed: ListedRoute) -> Self {
        let of_table = |(version, rates)| Price::listed(&listed.provider, version, rates);
        let price = match (listed.input_nano_usd, listed.output_nano_usd) {
            (Some(input), Some(output)) => Some(Price::of_route(input, output, listed.cached_input_nano_usd)),
            _ => listed.price_version.zip(listed.rates).and_then(of_table),
        };
        Self {
            provider: listed.provider,
            model: listed.model,
            priority: listed.priority,
            weight: listed.weight,
            price: price.map(Arc::new),
            max_input_tokens: listed.max_input_tokens,
            max_output_tokens: listed.max_output_tokens,
        }
    }
}

impl Models {
    /// The alias of this name.
    pub(crate) fn get(&self, alias: &str) -> Option<&Model> {
        self.aliases.get(alias)
    }

    /// The aliases, in the order of their names.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Model> {
        self.aliases.values()
    }

    /// What a caller of `tier` with an API key of these rules may ask.
    pub(crate) fn rails<'a>(&'a self, key: &'a LlmRules, tier: Tier) -> GuardRails<'a> {
        GuardRails { key, tier: self.tiers.get(&tier) }
    }
}

impl Catalog {
    pub(crate) fn new(supabase: Supabase) -> Arc<Self> {
        Arc::new(Self { supabase, state: Mutex::default() })
    }

    /// The aliases. 503 if there has never been a copy and the database cannot be reached.
    pub(crate) async fn models(self: &Arc<Self>, context: &Context) -> Result<Arc<Models>, Problem> {
        let give_up = context.clock.now().saturating_add(2 * LEASE);
        loop {
            match self.look(context.clock.now()) {
                Look::Use(models) => return Ok(models),
                Look::UseAndRefresh(models, fetching) => {
                    let background = context.clone();
                    context.background.spawn(Box::pin(async move {
                        fetching.fetch(&background).await;
                    }));
                    return Ok(models);
                }
                Look::Fetch(fetching) => return fetching.fetch(context).await.ok_or_else(unavailable),
                Look::Wait if context.clock.now() < give_up => context.clock.sleep(LOOK_AGAIN).await,
                Look::Wait | Look::Failed => return Err(unavailable()),
            }
        }
    }

    fn look(self: &Arc<Self>, now: Timestamp) -> Look {
        let mut state = self.state();
        let settled = state.settled_until.is_some_and(|until| now < until);
        let fetching = state.fetching.is_some_and(|(_, until)| now < until);
        match (state.models.clone(), settled, fetching) {
            (Some(models), true, _) | (Some(models), _, true) => Look::Use(models),
            (Some(models), false, false) => Look::UseAndRefresh(models, self.claim(&mut state, now)),
            (None, _, true) => Look::Wait,
            (None, true, false) => Look::Failed,
            (None, false, false) => Look::Fetch(self.claim(&mut state, now)),
        }
    }

    fn claim(self: &Arc<Self>, state: &mut State, now: Timestamp) -> Fetching {
        state.fetches += 1;
        state.fetching = Some((state.fetches, now.saturating_add(LEASE)));
        Fetching { catalog: Arc::clone(self), number: state.fetches }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fetching {
    async fn fetch(self, context: &Context) -> Option<Arc<Models>> {
        // As the edge: every caller may use the aliases, and nobody but us sees routes and prices.
        let supabase = &self.catalog.supabase;
        let listing: Result<Listing, _> = supabase.rpc(context, LIST_MODELS, &json!({}), Identity::Service).await;
        let now = context.clock.now();
        let mut state = self.catalog.state();
        match listing {
            Ok(listing) => {
                let mut aliases = BTreeMap::new();
                aliases.extend(listing.models.into_iter().map(|model| (model.alias.clone(), model)));
                state.models = Some(Arc::new(Models { aliases, tiers: listing.tiers }));
                state.settled_until = Some(now.saturating_add(FRESH));
            }
            Err(error) => {
                let retry = if state.models.is_some() { RETRY_STALE } else { RETRY_COLD };
                state.settled_until = Some(now.saturating_add(retry));
                tracing::error!(%error, stale = state.models.is_some(), "the model catalog could not be fetched");
            }
        }
        state.models.clone()
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        let mut state = self.catalog.state();
        if state.fetching.is_some_and(|(number, _)| number == self.number) {
            state.fetching = None;
        }
    }
}

fn unavailable() -> Problem {
    Problem::new(kinds::UPSTREAM_UNAVAILABLE)
        .detail("The list of models cannot be read at present. Try again in a second.")
        .header(RETRY_AFTER, "1")
}
