//! The usage event: one row of the accounts per call.

use platform::Timestamp;
use serde::Serialize;
use uuid::Uuid;

/// One call that was sent to a provider, however it ended. What is nothing is left out of its row: the ledger keeps a row for
/// each open call, and the smaller it is the less is written.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct UsageEvent {
    /// Ours: an event that is sent twice is stored once.
    pub(crate) id: Uuid,
    pub(crate) request_id: String,
    pub(crate) user_id: Uuid,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) org_id: Option<Uuid>,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) api_key_id: Option<Uuid>,
    /// OpenTelemetry's `gen_ai.operation.name`.
    pub(crate) operation: &'static str,
    pub(crate) alias: String,
    pub(crate) provider: &'static str,
    /// Who answered; the route's model if the provider did not say.
    pub(crate) model: String,
    /// In which service tier the provider says it answered, or was asked to.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) service_tier: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) stream: bool,
    pub(crate) status: Status,
    /// What the caller was told; nothing if it had hung up before.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) http_status: Option<u16>,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) finish_reason: Option<String>,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) cached_input_tokens: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) cache_write_tokens: u64,
    /// Of these, the ones that are kept for an hour: without them the cost could not be worked out again.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) cache_write_1h_tokens: u64,
    pub(crate) usage_source: UsageSource,
    /// Nothing if the price is not known.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) cost_nano_usd: Option<i64>,
    /// By which price it was charged; nothing if none is known.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) price_version: Option<String>,
    /// Whether the edge's own cache answered.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) cache_hit: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) latency_ms: u64,
    /// Of a stream that had any text.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) time_to_first_token_ms: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) attempts: u32,
    pub(crate) started_at: Timestamp,
}

impl UsageEvent {
    /// The row for the accounts.
    pub(crate) fn to_json(&self) -> Option<String> {
        serde_json::to_string(self).ok() // numbers and texts: it cannot fail
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// The caller has a complete answer.
    Success,
    /// The caller hung up before its end.
    ClientClosed,
    /// The provider refused, failed or answered what cannot be passed on.
    UpstreamError,
    /// The answer broke off after its beginning.
    Truncated,
    /// One of the time limits passed.
    Timeout,
    /// Nothing more was heard of it: the instance that handled it is gone.
    Abandoned,
}

/// Where the token counts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UsageSource {
    /// The provider reported them.
    Provider,
    /// Counted from bytes of text.
    Estimated,
    /// The most it could have come to.
    Reserved,
    /// Nothing reached the caller and the failure was not its own: nothing is charged.
    None,
}

impl UsageSource {
    /// As it is written in the event.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Estimated => "estimated",
            Self::Reserved => "reserved",
            Self::None => "none",
        }
    }
}

impl Status {
    /// As it is written in the event.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::ClientClosed => "client_closed",
            Self::UpstreamError => "upstream_error",
            Self::Truncated => "truncated",
            Self::Timeout => "timeout",
            Self::Abandoned => "abandoned",
        }
    }
}
