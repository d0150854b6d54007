//! One call to a provider, from its reservation to its usage event.

use std::sync::Arc;

use limits::{Member, Reservation};
use platform::{Clock, Context, Timestamp};
use problem::{Problem, kinds};
use quota::account::{Amounts, Operation, Reserve, Standing};
use telemetry::RequestId;
use uuid::Uuid;

use crate::LlmProxy;
use crate::cache::{About, Recording, Use};
use crate::chunk::Chunk;
use crate::completion_request::CompletionRequest;
use crate::observation::Observation;
use crate::prompt_log::PromptLog;
use crate::providers::Identity;
use crate::routing::Way;
use crate::tokens::{Price, Tokens, dollars};
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

/// A call under way. It is settled once; one that is dropped before was ended by the caller, who hung up.
pub(crate) struct Call {
    plan: Plan,
    clock: Arc<dyn Clock>,
    reservation: Option<Reservation>,
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
struct Plan {
    id: Uuid,
    payer: Payer,
    alias: String,
    stream: bool,
    request_bytes: u64,
    started_at: Timestamp,
    /// The route that is tried, or was last.
    provider: &'static str,
    model: String,
    price: Option<Price>,
    attempts: u32,
    tried_at: Timestamp,
    cache_hit: bool,
}

impl Call {
    /// Begins a call if the limits admit the most that it could come to on any of `ways`.
    pub(crate) async fn begin(
        proxy: &LlmProxy,
        payer: Payer,
        request: &CompletionRequest,
        ways: &[Way<'_>],
        context: &Context,
    ) -> Result<Self, Problem> {
        let now = context.clock.now();
        let Some(dearest) = worst_case::dearest(request, ways) else { return Err(kinds::INTERNAL.into()) };
        let plan = Plan {
            provider: dearest.provider.name,
            model: dearest.route.model.clone(),
            price: dearest.route.price(),
            ..Plan::new(payer, request, now, context)
        };
        let most = worst_case::on_any(request, ways);
        let reserve = plan.reserve(proxy, most, worst_case::tokens(request, dearest.route), UsageSource::Reserved);
        Self::reserved(proxy, plan, reserve, request, context).await
    }

    /// Begins a call that `provider` has answered before: it is one request, and nothing else.
    pub(crate) async fn begin_hit(
        proxy: &LlmProxy,
        payer: Payer,
        request: &CompletionRequest,
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
        let reserve = plan.reserve(proxy, Amounts::ONE_REQUEST, about.tokens(), UsageSource::Provider);
        let mut call = Self::reserved(proxy, plan, reserve, request, context).await?;
        call.cache = Some(Use::Hit);
        call.seen.tokens = Some(about.tokens());
        call.seen.finish_reason = Some(about.finish_reason.clone());
        Ok(call)
    }

    async fn reserved(
        proxy: &LlmProxy,
        plan: Plan,
        reserve: Reserve,
        request: &CompletionRequest,
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
            reservation: Some(reservation),
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
        plan.price = way.route.price();
        plan.attempts += 1;
        plan.tried_at = context.clock.now();
        self.seen = Observation::default();
        if let Some(recording) = &mut self.recording {
            recording.restart();
        }
        if let Some(log) = &mut self.prompt_log {
            log.restart();
        }
    }

    /// Takes note of the answer, or of one chunk of it: `json`, which reads as `chunk`, arrived at `now`.
    pub(crate) fn see(&mut self, chunk: &Chunk<'_>, json: &[u8], now: Timestamp) {
        self.seen.see(chunk, now);
        if let Some(recording) = &mut self.recording {
            recording.take(json);
        }
        if let Some(log) = &mut self.prompt_log {
            log.take(chunk);
        }
    }

    /// When it was sent last.
    pub(crate) fn tried_at(&self) -> Timestamp {
        self.plan.tried_at
    }

    /// How often it was sent.
    pub(crate) fn attempts(&self) -> u32 {
        self.plan.attempts
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
        self.plan.cost(tokens).map(dollars)
    }

    /// Ends the call with `status`. What comes later changes nothing.
    pub(crate) fn settle(&mut self, status: Status) {
        let Some(reservation) = self.reservation.take() else { return };
        let event = self.event(status);
        log(&event);
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
            None if charged => {
                (Tokens::estimated(self.plan.request_bytes, self.seen.content_bytes), UsageSource::Estimated)
            }
            None => (Tokens::default(), UsageSource::None),
        }
    }

    fn event(&self, status: Status) -> UsageEvent {
        let (tokens, source) = self.tokens(status);
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
            ..self.plan.event(status, tokens, source)
        }
    }

    fn since_start(&self, at: Timestamp) -> u64 {
        u64::try_from(at.duration_since(self.plan.started_at).as_millis()).unwrap_or(0)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.settle(Status::ClientClosed);
    }
}

impl Plan {
    /// A call that nobody answers yet.
    fn new(payer: Payer, request: &CompletionRequest, now: Timestamp, context: &Context) -> Self {
        Self {
            id: context.new_id(),
            payer,
            alias: request.model.clone(),
            stream: request.stream,
            request_bytes: request.text_bytes,
            started_at: now,
            provider: "",
            model: String::new(),
            price: None,
            attempts: 0,
            tried_at: now,
            cache_hit: false,
        }
    }

    /// The reservation of the most that the call could come to, with the row for the case that nothing more is heard.
    fn reserve(&self, proxy: &LlmProxy, amounts: Amounts, tokens: Tokens, source: UsageSource) -> Reserve {
        Reserve {
            id: self.id.to_string(),
            subjects: self.payer.member.subjects(&proxy.limits),
            amounts,
            expires_after: worst_case::expires_after(&proxy.config.timeouts),
            record: self.event(Status::Abandoned, tokens, source).to_json(),
        }
    }

    /// In nano-dollars, if the price is known. An answer from the cache is free.
    fn cost(&self, tokens: Tokens) -> Option<i64> {
        if self.cache_hit { Some(0) } else { self.price.map(|price| price.cost(tokens)) }
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

    /// The event of a call of whose answer nothing is known.
    fn event(&self, status: Status, tokens: Tokens, usage_source: UsageSource) -> UsageEvent {
        UsageEvent {
            id: self.id,
            request_id: self.payer.request.to_string(),
            user_id: self.payer.member.user,
            org_id: self.payer.member.org,
            api_key_id: self.payer.member.key,
            alias: self.alias.clone(),
            provider: self.provider,
            model: self.model.clone(),
            stream: self.stream,
            status,
            http_status: None,
            finish_reason: None,
            input_tokens: tokens.input,
            output_tokens: tokens.output,
            cached_input_tokens: tokens.cached_input,
            usage_source,
            cost_nano_usd: self.cost(tokens),
            latency_ms: 0,
            time_to_first_token_ms: None,
            attempts: self.attempts,
            cache_hit: self.cache_hit,
            started_at: self.started_at,
        }
    }
}

/// One line per call, in OpenTelemetry's names for generative AI. Never a word of prompt or answer.
fn log(event: &UsageEvent) {
    tracing::info!(
        event = %event.id,
        request_id = event.request_id,
        gen_ai.operation.name = "chat",
        gen_ai.provider.name = event.provider,
        gen_ai.request.model = event.alias,
        gen_ai.response.model = event.model,
        gen_ai.response.finish_reasons = event.finish_reason,
        gen_ai.usage.input_tokens = event.input_tokens,
        gen_ai.usage.output_tokens = event.output_tokens,
        gen_ai.client.operation.duration_ms = event.latency_ms,
        gen_ai.client.operation.time_to_first_chunk_ms = event.time_to_first_token_ms,
        stream = event.stream,
        cache_hit = event.cache_hit,
        status = event.status.as_str(),
        "llm call"
    );
}
