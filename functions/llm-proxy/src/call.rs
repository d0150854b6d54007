//! One call to a provider, from its reservation to its usage event.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use limits::{Member, Reservation};
use platform::{Clock, Context, Timestamp};
use problem::{Problem, kinds};
use quota::account::{Amounts, Operation, Reserve, Standing};
use telemetry::RequestId;
use uuid::Uuid;

use crate::LlmProxy;
use crate::answers::{self, Verdict};
use crate::cache::{About, Recording, Use};
use crate::call_log;
use crate::claim::Claim;
use crate::endpoint::Endpoint;
use crate::model_request::{ModelRequest, Prompt};
use crate::observation::Observation;
use crate::price::{AUTO, Price, dollars};
use crate::prompt_log::PromptLog;
use crate::providers::Identity;
use crate::routing::Way;
use crate::tokens::Tokens;
use crate::usage_event::{Status, UsageEvent, UsageSource};
use crate::worst_case;

/// Who pays, and for which request.
#[derive(Debug, Clone)]
pub(crate) struct Payer {
    pub(crate) member: Member,
    pub(crate) request: RequestId,
    /// Whether the organization keeps prompts and answers.
    pub(crate) logs_prompts: bool,
}

/// A call under way, as one of its tries sees it. It is settled once; one that is dropped before, with its last try, was
/// ended by the caller, who hung up.
pub(crate) struct Call {
    plan: Plan,
    clock: Arc<dyn Clock>,
    reservation: Claim<Reservation>,
    /// Where the limits stood when it began.
    pub(crate) standings: Vec<Standing>,
    /// The status that the caller was sent.
    pub(crate) http_status: Option<u16>,
    /// What has been seen of the answer.
    pub(crate) seen: Observation,
    /// How it used the cache, if it has heard of it.
    pub(crate) cache: Option<Use>,
    /// The answer, where it is to be kept.
    pub(crate) recording: Option<Recording>,
    /// The log of prompt and answer, where the organization wants one.
    prompt_log: Option<PromptLog>,
}

/// What is known of a call before it begins.
#[derive(Clone)]
struct Plan {
    id: Uuid,
    payer: Payer,
    endpoint: Endpoint,
    alias: String,
    stream: bool,
    prompt: Prompt,
    started_at: Timestamp,
    /// The route that is tried, or was last.
    provider: &'static str,
    model: String,
    price: Option<Arc<Price>>,
    /// The service tier that the caller wants.
    service_tier: Option<String>,
    /// Of all its tries.
    attempts: Arc<AtomicU32>,
    tried_at: Timestamp,
    cache_hit: bool,
}

impl Call {
    /// Begins a call if the limits admit the most that it could come to on any of `ways`.
    pub(crate) async fn begin(
        proxy: &LlmProxy,
        payer: Payer,
        request: &ModelRequest,
        ways: &[Way<'_>],
        context: &Context,
    ) -> Result<Self, Problem> {
        let now = context.clock.now();
        let Some(dearest) = worst_case::dearest(request, ways) else { return Err(kinds::INTERNAL.into()) };
        let plan = Plan {
            provider: dearest.provider.name,
            model: dearest.route.model.clone(),
            price: dearest.route.price.clone(),
            ..Plan::new(payer, request, now, context)
        };
        let tokens = worst_case::tokens(request, dearest.route);
        let most = plan.price.as_deref().map(|price| price.most(tokens, plan.service_tier.as_deref()));
        let abandoned = plan.event(Status::Abandoned, tokens, UsageSource::Reserved, most);
        let reserve = plan.reserve(proxy, worst_case::on_any(request, ways), &abandoned);
        Self::reserved(proxy, plan, reserve, request, context).await
    }

    /// Begins a call that `provider` has answered before: it is one request, and nothing else.
    pub(crate) async fn begin_hit(
        proxy: &LlmProxy,
        payer: Payer,
        request: &ModelRequest,
        provider: &'static str,
        about: &About,
        context: &Context,
    ) -> Result<Self, Problem> {
        let plan = Plan {
            provider,
            model: about.model.clone(),
            cache_hit: true,
            ..Plan::new(payer, request, context.clock.now(), context)
        };
        let abandoned = plan.event(Status::Abandoned, about.tokens(), UsageSource::Provider, Some(0));
        let reserve = plan.reserve(proxy, Amounts::ONE_REQUEST, &abandoned);
        let mut call = Self::reserved(proxy, plan, reserve, request, context).await?;
        call.cache = Some(Use::Hit);
        call.seen.tokens = Some(about.tokens());
        Ok(call)
    }

    async fn reserved(
        proxy: &LlmProxy,
        plan: Plan,
        reserve: Reserve,
        request: &ModelRequest,
        context: &Context,
    ) -> Result<Self, Problem> {
        let account = plan.payer.member.account();
        let expect = |answered| proxy.settlements.expect(answered, account, reserve, context);
        let mut reservation = limits::reserve(&proxy.limits, &proxy.availability, context, expect).await?;
        let log = plan.payer.logs_prompts.then(|| PromptLog::begin(request, &proxy.supabase, context));
        Ok(Self {
            prompt_log: log,
            plan,
            clock: Arc::clone(&context.clock),
            standings: std::mem::take(&mut reservation.standings),
            reservation: Claim::new(reservation),
            http_status: None,
            seen: Observation::default(),
            cache: None,
            recording: None,
        })
    }

    /// It is tried on another route, or once more: what was seen of an earlier answer is forgotten.
    pub(crate) fn take(&mut self, way: &Way<'_>, context: &Context) {
        let plan = &mut self.plan;
        plan.provider = way.provider.name;
        plan.model.clone_from(&way.route.model);
        plan.price.clone_from(&way.route.price);
        plan.attempts.fetch_add(1, Ordering::Relaxed);
        plan.tried_at = context.clock.now();
        self.seen = Observation::default();
        if let Some(recording) = &mut self.recording {
            recording.restart();
        }
        if let Some(log) = &mut self.prompt_log {
            log.restart();
        }
    }

    /// The same call for a second try, whose answer is another one.
    pub(crate) fn beside(&self) -> Self {
        Self {
            plan: self.plan.clone(),
            clock: Arc::clone(&self.clock),
            reservation: self.reservation.clone(),
            standings: self.standings.clone(),
            http_status: None,
            seen: Observation::default(),
            cache: self.cache,
            recording: self.recording.clone(),
            prompt_log: self.prompt_log.clone(),
        }
    }

    /// Takes note of the whole answer, which arrived at `now`. `false` if it is none.
    pub(crate) fn see_whole(&mut self, json: &[u8], now: Timestamp) -> bool {
        let is_answer = answers::whole(self.plan.endpoint, json, &mut self.seen, now);
        if is_answer {
            self.keep(json);
        }
        is_answer
    }

    /// Takes note of the data of one event of the answer, which arrived at `now`.
    pub(crate) fn see_event(&mut self, data: &[u8], now: Timestamp) -> Verdict {
        let verdict = answers::event(self.plan.endpoint, data, &mut self.seen, now);
        if matches!(verdict, Verdict::Pass | Verdict::Usage) {
            self.keep(data);
        }
        verdict
    }

    fn keep(&mut self, json: &[u8]) {
        if let Some(recording) = &mut self.recording {
            recording.take(json);
        }
        if let Some(log) = &mut self.prompt_log {
            log.take(json);
        }
    }

    /// When it was sent last.
    pub(crate) fn tried_at(&self) -> Timestamp {
        self.plan.tried_at
    }

    /// How often it was sent.
    pub(crate) fn attempts(&self) -> u32 {
        self.plan.attempts()
    }

    /// Where it was asked.
    pub(crate) fn endpoint(&self) -> Endpoint {
        self.plan.endpoint
    }

    /// For which request.
    pub(crate) fn request_id(&self) -> &RequestId {
        &self.plan.payer.request
    }

    /// Who answers, as far as it is known.
    pub(crate) fn model(&self) -> &str {
        self.seen.model.as_deref().unwrap_or(&self.plan.model)
    }

    /// What an answer is called that has no name of its own.
    pub(crate) fn identity(&self) -> Identity {
        Identity { id: self.plan.id, model: self.plan.model.clone(), created: self.plan.tried_at }
    }

    /// Which provider answers.
    pub(crate) fn provider(&self) -> &'static str {
        self.plan.provider
    }

    /// What the answer costs, in dollars, if the price is known.
    pub(crate) fn dollars(&self) -> Option<String> {
        let (tokens, _) = self.tokens(Status::Success);
        self.plan.cost(tokens, self.service_tier()).map(dollars)
    }

    /// In which service tier it was answered: as the provider says, else as the caller wanted.
    fn service_tier(&self) -> Option<&str> {
        self.seen.service_tier.as_deref().or(self.plan.service_tier.as_deref().filter(|tier| *tier != AUTO))
    }

    /// Ends the call with `status`. What comes later changes nothing.
    pub(crate) fn settle(&mut self, status: Status) {
        let Some(reservation) = self.reservation.take() else { return };
        let event = self.event(status);
        call_log::write(&event);
        if let Some(recording) = self.recording.take().filter(|_| status == Status::Success) {
            let (tokens, _) = self.tokens(status);
            recording.end(&self.seen, self.plan.provider, self.model(), tokens);
        }
        let actual = self.plan.actual(&event);
        if let Some(prompt_log) = self.prompt_log.take() {
            prompt_log.end(event.clone());
        }
        reservation.end(Operation::Settle { id: event.id.to_string(), actual, record: event.to_json() });
    }

    /// The provider's count; else an estimate, if the caller had anything of the answer or ended the call itself.
    fn tokens(&self, status: Status) -> (Tokens, UsageSource) {
        let charged = matches!(status, Status::Success | Status::ClientClosed) || self.seen.content_bytes > 0;
        match self.seen.tokens {
            Some(tokens) => (tokens, UsageSource::Provider),
            None if charged => (self.estimate(), UsageSource::Estimated),
            None => (Tokens::default(), UsageSource::None),
        }
    }

    fn estimate(&self) -> Tokens {
        let prompt = self.plan.prompt.estimated_tokens();
        let prompt = self.seen.prompt.unwrap_or(Tokens { input: prompt, ..Tokens::default() });
        Tokens { output: Tokens::estimated(self.seen.content_bytes), ..prompt }
    }

    fn event(&self, status: Status) -> UsageEvent {
        let (tokens, source) = self.tokens(status);
        let cost = self.plan.cost(tokens, self.service_tier());
        UsageEvent {
            model: self.model().to_owned(),
            http_status: self.http_status,
            finish_reason: self.seen.finish_reason.clone(),
            latency_ms: self.since_start(self.clock.now()),
            time_to_first_token_ms: self
                .seen
                .first_token_at
                .filter(|_| self.plan.stream)
                .map(|at| self.since_start(at)),
            service_tier: self.service_tier().map(str::to_owned),
            ..self.plan.event(status, tokens, source, cost)
        }
    }

    fn since_start(&self, at: Timestamp) -> u64 {
        u64::try_from(at.duration_since(self.plan.started_at).as_millis()).unwrap_or(0)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.reservation.is_last() {
            self.settle(Status::ClientClosed);
        }
    }
}

impl Plan {
    /// A call that nobody answers yet.
    fn new(payer: Payer, request: &ModelRequest, now: Timestamp, context: &Context) -> Self {
        Self {
            id: context.new_id(),
            payer,
            endpoint: request.endpoint,
            alias: request.model.clone(),
            stream: request.stream,
            prompt: request.prompt,
            started_at: now,
            provider: "",
            model: String::new(),
            price: None,
            service_tier: request.service_tier.clone(),
            attempts: Arc::default(),
            tried_at: now,
            cache_hit: false,
        }
    }

    /// The reservation of `amounts`, with the row for the case that nothing more is heard.
    fn reserve(&self, proxy: &LlmProxy, amounts: Amounts, abandoned: &UsageEvent) -> Reserve {
        Reserve {
            id: self.id.to_string(),
            subjects: self.payer.member.subjects(&proxy.limits),
            amounts,
            expires_after: worst_case::expires_after(&proxy.config.timeouts),
            record: abandoned.to_json(),
        }
    }

    fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// In nano-dollars, if the price is known. An answer from the cache is free.
    fn cost(&self, tokens: Tokens, tier: Option<&str>) -> Option<i64> {
        if self.cache_hit { Some(0) } else { self.price.as_deref().map(|price| price.cost(tokens, tier)) }
    }

    /// What the call has used of the limits.
    fn actual(&self, event: &UsageEvent) -> Amounts {
        if self.cache_hit {
            return Amounts::ONE_REQUEST;
        }
        Amounts {
            requests: 1,
            tokens: event.input_tokens.saturating_add(event.output_tokens),
            nano_usd: event.cost_nano_usd.map_or(0, i64::unsigned_abs),
        }
    }

    /// The event of a call of whose answer nothing but its usage and cost is known.
    fn event(&self, status: Status, tokens: Tokens, usage_source: UsageSource, cost: Option<i64>) -> UsageEvent {
        UsageEvent {
            id: self.id,
            request_id: self.payer.request.to_string(),
            user_id: self.payer.member.user,
            org_id: self.payer.member.org,
            api_key_id: self.payer.member.key,
            operation: self.endpoint.operation(),
            alias: self.alias.clone(),
            provider: self.provider,
            model: self.model.clone(),
            service_tier: self.service_tier.clone(),
            stream: self.stream,
            status,
            http_status: None,
            finish_reason: None,
            input_tokens: tokens.input,
            output_tokens: tokens.output,
            cached_input_tokens: tokens.cached_input,
            cache_write_tokens: tokens.cache_write,
            cache_write_1h_tokens: tokens.cache_write_1h,
            usage_source,
            cost_nano_usd: cost,
            price_version: self.price.as_deref().map(|price| price.version().to_owned()),
            cache_hit: self.cache_hit,
            latency_ms: 0,
            time_to_first_token_ms: None,
            attempts: self.attempts(),
            started_at: self.started_at,
        }
    }
}
