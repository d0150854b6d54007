//! One call to a provider, from its start to its usage event.

use std::sync::Arc;

use futures_channel::oneshot;
use platform::{Clock, Context, Timestamp};
use telemetry::RequestId;
use uuid::Uuid;

use crate::catalog::Route;
use crate::completion_request::CompletionRequest;
use crate::observation::Observation;
use crate::recorder::Recorder;
use crate::tokens::{Price, Tokens, dollars};
use crate::usage_event::{Status, UsageEvent, UsageSource};

/// Who pays, and for which request.
#[derive(Debug, Clone)]
pub(crate) struct Payer {
    pub(crate) user: Uuid,
    pub(crate) org: Option<Uuid>,
    pub(crate) key: Option<Uuid>,
    pub(crate) request: RequestId,
}

/// A call under way. It is settled once; one that is dropped before was ended by the caller, who hung up.
pub(crate) struct Call {
    id: Uuid,
    payer: Payer,
    alias: String,
    stream: bool,
    request_bytes: u64,
    provider: &'static str,
    route_model: String,
    price: Option<Price>,
    started_at: Timestamp,
    clock: Arc<dyn Clock>,
    event: Option<oneshot::Sender<UsageEvent>>,
    /// The status that the caller was sent.
    pub(crate) http_status: Option<u16>,
    /// What has been seen of the answer.
    pub(crate) seen: Observation,
}

impl Call {
    /// Starts the clock and promises the event.
    pub(crate) fn start(
        payer: Payer,
        request: &CompletionRequest,
        provider: &'static str,
        route: &Route,
        recorder: &Arc<Recorder>,
        context: &Context,
    ) -> Self {
        Self {
            id: context.new_id(),
            payer,
            alias: request.model.clone(),
            stream: request.stream,
            request_bytes: request.text_bytes,
            provider,
            route_model: route.model.clone(),
            price: route.price(),
            started_at: context.clock.now(),
            clock: Arc::clone(&context.clock),
            event: Some(recorder.expect(context)),
            http_status: None,
            seen: Observation::default(),
        }
    }

    /// When it began.
    pub(crate) fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// Who answers, as far as it is known.
    pub(crate) fn model(&self) -> &str {
        self.seen.model.as_deref().unwrap_or(&self.route_model)
    }

    /// Which provider answers.
    pub(crate) fn provider(&self) -> &'static str {
        self.provider
    }

    /// What the answer costs, in dollars, if the price is known.
    pub(crate) fn dollars(&self) -> Option<String> {
        let (tokens, _) = self.tokens(Status::Success);
        self.price.map(|price| dollars(price.cost(tokens)))
    }

    /// Ends the call with `status`. What comes later changes nothing.
    pub(crate) fn settle(&mut self, status: Status) {
        let Some(promised) = self.event.take() else { return };
        let event = self.event(status);
        log(&event);
        // Nobody receives it only when the host has ended this request's background work, which it logs itself.
        let _ = promised.send(event);
    }

    /// The provider's count; else an estimate, if the caller had anything of the answer or ended the call itself.
    fn tokens(&self, status: Status) -> (Tokens, UsageSource) {
        let charged = matches!(status, Status::Success | Status::ClientClosed) || self.seen.content_bytes > 0;
        match self.seen.tokens {
            Some(tokens) => (tokens, UsageSource::Provider),
            None if charged => (Tokens::estimated(self.request_bytes, self.seen.content_bytes), UsageSource::Estimated),
            None => (Tokens::default(), UsageSource::None),
        }
    }

    fn event(&self, status: Status) -> UsageEvent {
        let (tokens, usage_source) = self.tokens(status);
        UsageEvent {
            id: self.id,
            request_id: self.payer.request.to_string(),
            user_id: self.payer.user,
            org_id: self.payer.org,
            api_key_id: self.payer.key,
            alias: self.alias.clone(),
            provider: self.provider,
            model: self.model().to_owned(),
            stream: self.stream,
            status,
            http_status: self.http_status,
            finish_reason: self.seen.finish_reason.clone(),
            input_tokens: tokens.input,
            output_tokens: tokens.output,
            cached_input_tokens: tokens.cached_input,
            usage_source,
            cost_nano_usd: self.price.map(|price| price.cost(tokens)),
            latency_ms: self.since_start(self.clock.now()),
            time_to_first_token_ms: self.seen.first_token_at.filter(|_| self.stream).map(|at| self.since_start(at)),
            attempts: 1,
            started_at: self.started_at,
        }
    }

    fn since_start(&self, at: Timestamp) -> u64 {
        u64::try_from(at.duration_since(self.started_at).as_millis()).unwrap_or(0)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.settle(Status::ClientClosed);
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
