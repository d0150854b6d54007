//! The OpenAI-compatible proxy in front of LLM providers.
//!
//! - `POST /v1/chat/completions`, `/v1/embeddings`, `/v1/responses`, `/v1/messages`: the caller's bytes go to a route of
//!   the model alias, to others while nothing of an answer has come, the provider's bytes come back, streams event by
//!   event. Usage is known also when the caller did not ask for it or hangs up; every call leaves exactly one usage event,
//!   written after the answer.
//! - `GET /v1/models`, `GET /v1/models/{id}`: the aliases.
//! - `GET /v1/usage`: what was used; `GET /v1/usage/export`: the same, call by call.
//! - `DELETE /v1/cache`: cached answers are worth nothing any more.
//!
//! One file per step, in the order of a call: `inference` reads the request (`model_request`) to an `endpoint`, sees
//! whether the caller may ask it (`guard_rails`, `output_limit`), finds the ways to answer it (`catalog`, `routing`) or an
//! answer to the same question (`cache`), begins a `call` by reserving what it could come to (`worst_case`), tries one
//! way after the other (`failover`, `attempt`, `breakers`) in its provider's protocol (`providers`), at most two at a time
//! (`claim`), and passes the answer on, in one piece or through a `relay` that frames (`sse`) and watches (`answers`,
//! `observation`) it. However it ends (`ending`, `refusal`), the call leaves its event (`usage_event`, `tokens`, `price`)
//! to the `settlements`, and to the `prompt_log` of organizations that keep one what was said.

mod answer_headers;
mod answers;
mod attempt;
mod breakers;
mod cache;
mod call;
mod call_log;
mod catalog;
mod claim;
mod config;
mod csv;
mod ending;
mod endpoint;
mod error_words;
mod failover;
mod guard_rails;
mod inference;
mod measure;
mod members;
mod model_request;
mod models;
mod observation;
mod output_limit;
mod price;
mod prompt_log;
mod providers;
mod refusal;
mod relay;
mod routing;
mod settlements;
mod sse;
mod tokens;
mod usage;
mod usage_event;
mod usage_export;
mod usage_query;
mod worst_case;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use audit::Origin;
use front_door::Function;
use http::Method;
use limits::{Availability, Member};
use platform::{Configuration, Context, Request, Response};
use problem::{Problem, kinds};
use secrecy::SecretString;
use supabase::Supabase;
use telemetry::RequestId;
use token::{Authenticator, LlmRules, Sent};

use crate::breakers::Breakers;
use crate::cache::Cache;
use crate::call::Payer;
use crate::catalog::Catalog;
use crate::endpoint::Endpoint;
use crate::settlements::Settlements;

pub use config::Config;

/// The proxy, loaded once per instance: it keeps the catalog of models and the ends of calls not yet settled.
pub struct LlmProxy {
    config: Config,
    limits: limits::Config,
    availability: Availability,
    breakers: Breakers,
    cache: Cache,
    supabase: Supabase,
    catalog: Arc<Catalog>,
    settlements: Arc<Settlements>,
    audit: Arc<audit::Recorder>,
    authenticator: Arc<Authenticator>,
}

const MODELS: &str = "/v1/models";
const USAGE: &str = "/v1/usage";
const USAGE_EXPORT: &str = "/v1/usage/export";
const CACHE: &str = "/v1/cache";

fn is_known(path: &str) -> bool {
    [MODELS, USAGE, USAGE_EXPORT, CACHE].contains(&path) || model_of(path).is_some() || Endpoint::at(path).is_some()
}

/// The alias, percent-encoded, in the path of one model.
fn model_of(path: &str) -> Option<&str> {
    path.strip_prefix(MODELS)?.strip_prefix('/').filter(|alias| !alias.is_empty() && !alias.contains('/'))
}

/// What the proxy needs to know of a caller.
struct Caller {
    payer: Payer,
    /// What the credential may ask.
    rules: LlmRules,
    /// To act as the user, where something is done as the user.
    user_token: Option<SecretString>,
}

impl Function for LlmProxy {
    async fn read(read: &mut Configuration<'_>) -> Option<Self> {
        let token = token::Config::read(read).await;
        let supabase = supabase::Config::read(read).await;
        let config = Config::read(read).await;
        let limits = limits::Config::read(read).await;
        let authenticator = Arc::new(Authenticator::new(token?));
        Some(Self::new(config?, limits?, Supabase::new(supabase?), authenticator))
    }

    async fn answer(&self, request: Request, context: &Context) -> Result<Response, Problem> {
        if !is_known(request.uri().path()) {
            return Err(kinds::NOT_FOUND.into());
        }
        let caller = self.authenticator.authenticate(Sent::with(&request), context).await;
        let caller = caller.inspect_err(|refusal| {
            self.audit.record_refusal(refusal, request.headers(), Origin::of(&request), context);
        })?;
        self.handle(request, &caller, context).await
    }
}

impl LlmProxy {
    /// A proxy that has called nobody yet, for callers that `authenticator` knows.
    pub fn new(config: Config, limits: limits::Config, supabase: Supabase, authenticator: Arc<Authenticator>) -> Self {
        let catalog = Catalog::new(supabase.clone());
        let settlements = Settlements::new(supabase.clone(), settlements::LIMITS);
        let audit = audit::Recorder::new(supabase.clone());
        let (availability, breakers) = (Availability::default(), Breakers::new(config.breaker_failures));
        let cache = Cache::new(supabase.clone(), config.cache);
        Self { config, limits, availability, breakers, cache, supabase, catalog, settlements, audit, authenticator }
    }

    /// Answers a request to one of the routes above for an authenticated caller. The scopes are `llm` and, for the
    /// usage, `usage:read`. The request's id is taken from its extensions.
    async fn handle(&self, request: Request, caller: &token::Caller, context: &Context) -> Result<Response, Problem> {
        let reads_usage = [USAGE, USAGE_EXPORT].contains(&request.uri().path());
        caller.require_scope(if reads_usage { "usage:read" } else { "llm" })?;
        guard_rails::check_endpoint(&caller.principal.llm, request.uri().path())?;
        let request_id = request.extensions().get::<RequestId>().cloned();
        let payer = Payer {
            member: Member::from(&*caller.principal),
            request: request_id.unwrap_or_else(|| RequestId::new(context)),
            logs_prompts: caller.principal.logs_prompts && caller.principal.org_id.is_some(),
        };
        let acts_as_user = reads_usage || request.uri().path() == CACHE;
        let user_token = if acts_as_user { Some(caller.user_token(context).await?) } else { None };
        let rules = caller.principal.llm.clone();
        self.route(request, Caller { payer, rules, user_token }, context).await
    }

    /// Settles calls and writes audit events that a ledger or database which was away has left behind, and ends logs of
    /// prompts whose time is over. For the scheduled trigger.
    pub async fn flush(&self, context: &Context) {
        self.settlements.write(context).await;
        self.audit.write(context).await;
        prompt_log::expire(&self.supabase, context).await;
    }

    async fn route(&self, request: Request, caller: Caller, context: &Context) -> Result<Response, Problem> {
        let (path, method) = (request.uri().path(), request.method());
        if let Some(endpoint) = Endpoint::at(path) {
            if method != Method::POST {
                return Err(Problem::method_not_allowed("POST"));
            }
            return inference::create(self, endpoint, request, caller, context).await;
        }
        match path {
            MODELS if method == Method::GET => models::list(self, &caller, context).await,
            path @ (USAGE | USAGE_EXPORT) if method == Method::GET => {
                let query = request.uri().query().unwrap_or_default();
                let token = caller.user_token.ok_or(kinds::INTERNAL)?;
                let limits = usage::count(self, &caller.payer.member, context).await?;
                let mut answer = if path == USAGE {
                    usage::summary(&self.supabase, query, &token, context).await?
                } else {
                    usage_export::export(&self.supabase, query, &token, context).await?
                };
                limits::describe(&limits, answer.headers_mut());
                Ok(answer)
            }
            CACHE if method == Method::DELETE => {
                let token = caller.user_token.ok_or(kinds::INTERNAL)?;
                cache::purge(self, caller.payer.member.tenant(), &token, context).await
            }
            CACHE => Err(Problem::method_not_allowed("DELETE")),
            MODELS | USAGE | USAGE_EXPORT => Err(Problem::method_not_allowed("GET, HEAD")),
            _ => {
                let alias = model_of(path).ok_or(kinds::NOT_FOUND)?;
                if method != Method::GET {
                    return Err(Problem::method_not_allowed("GET, HEAD"));
                }
                models::find(self, &caller, alias, context).await
            }
        }
    }
}
