//! One call to a provider, from its reservation to its usage event.

use std::sync::Arc;

use limits::{Member, Reservation};
use platform::{Clock, Context, Timestamp};
use problem::Problem;
use quota::account::{Amounts, Operation, Reserve, Standing};
use telemetry::RequestId;
use uuid::Uuid;

use crate::LlmProxy;
use crate::catalog::Route;
use crate::completion_request::CompletionRequest;
use crate::observation::Observation;
use crate::tokens::{Price, Tokens, dollars};
use crate::usage_event::{Status, UsageEvent, UsageSource};
use crate::worst_case;

/// Who pays, and for which request.
#[derive(Debug, Clone)]
pub(crate) struct Payer {
    pub(crate) member: Member,
    pub(crate) request: RequestId,
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
}

/// What is known of a call before it begins.
struct Plan {
    id: Uuid,
    payer: Payer,
    alias: String,
    stream: bool,
    request_bytes: u64,
    provider: &'static str,
    model: String,
    price: Option<Price>,
    started_at: Timestamp,
}

impl Call {
    /// Begins a call if the limits admit the most that it could come to.
    pub(crate) async fn begin(
        proxy: &LlmProxy,
        payer: Payer,
        request: &CompletionRequest,
        provider: &'static str,
        route: &Route,
        context: &Context,
    ) -> Result<Self, Problem> {
        let plan = Plan {
            id: context.new_id(),
            payer,
            alias: request.model.clone(),
            stream: request.stream,
            request_bytes: request.text_bytes,
            provider,
            model: route.model.clone(),
            price: route.price(),
            started_at: context.clock.now(),
        };
        let (account, reserve) = (plan.payer.member.account(), plan.reserve(proxy, request, route));
        let expect = |answered| proxy.settlements.expect(answered, account, reserve, context);
        let mut reservation = limits::reserve(&proxy.limits, &proxy.availability, context, expect).await?;
        Ok(Self {
            plan,
            clock: Arc::clone(&context.clock),
            standings: std::mem::take(&mut reservation.standings),
            reservation: Some(reservation),
            http_status: None,
            seen: Observation::default(),
        })
    }

    /// When it began.
    pub(crate) fn started_at(&self) -> Timestamp {
        self.plan.started_at
    }

    /// For which request.
    pub(crate) fn request_id(&self) -> &RequestId {
        &self.plan.payer.request
    }

    /// Who answers, as far as it is known.
    pub(crate) fn model(&self) -> &str {
        self.seen.model.as_deref().unwrap_or(&self.plan.model)
    }

    /// Which provider answers.
    pub(crate) fn provider(&self) -> &'static str {
        self.plan.provider
    }

    /// What the answer costs, in dollars, if the price is known.
    pub(crate) fn dollars(&self) -> Option<String> {
        let (tokens, _) = self.tokens(Status::Success);
        self.plan.price.map(|price| dollars(price.cost(tokens)))
    }

    /// Ends the call with `status`. What comes later changes nothing.
    pub(crate) fn settle(&mut self, status: Status) {
        let Some(reservation) = self.reservation.take() else { return };
        let event = self.event(status);
        log(&event);
        let actual = Amounts {
            requests: 1,
            tokens: event.input_tokens.saturating_add(event.output_tokens),
            nano_usd: event.cost_nano_usd.map_or(0, i64::unsigned_abs),
        };
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
    /// The reservation of the most that the call could come to, with the row for the case that nothing more is heard.
    fn reserve(&self, proxy: &LlmProxy, request: &CompletionRequest, route: &Route) -> Reserve {
        let tokens = worst_case::tokens(request, route);
        Reserve {
            id: self.id.to_string(),
            subjects: self.payer.member.subjects(&proxy.limits),
            amounts: worst_case::amounts(tokens, self.price),
            expires_after: worst_case::expires_after(&proxy.config.timeouts),
            record: self.event(Status::Abandoned, tokens, UsageSource::Reserved).to_json(),
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
            cost_nano_usd: self.price.map(|price| price.cost(tokens)),
            latency_ms: 0,
            time_to_first_token_ms: None,
            attempts: 1,
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
        status = event.status.as_str(),
        "llm call"
    );
}
