//! One line in the log per call.

use crate::usage_event::{Status, UsageEvent};

/// In OpenTelemetry's names for generative AI where it has some (<https://github.com/open-telemetry/semantic-conventions-genai>),
/// durations in seconds; else in those of the accounts. What is not known is not there: without a price there is no
/// cost. Never a word of prompt or answer.
pub(crate) fn write(event: &UsageEvent) {
    tracing::info!(
        event = %event.id,
        request_id = event.request_id,
        user.id = %event.user_id,
        org_id = event.org_id.map(tracing::field::display),
        api_key_id = event.api_key_id.map(tracing::field::display),
        gen_ai.operation.name = event.operation,
        gen_ai.provider.name = provider(event.provider),
        gen_ai.request.model = event.alias,
        gen_ai.request.stream = event.stream,
        gen_ai.response.model = event.model,
        gen_ai.response.finish_reasons = event.finish_reason,
        gen_ai.response.time_to_first_chunk = event.time_to_first_token_ms.map(seconds),
        gen_ai.usage.input_tokens = event.input_tokens,
        gen_ai.usage.output_tokens = event.output_tokens,
        gen_ai.usage.cache_read.input_tokens = event.cached_input_tokens,
        gen_ai.usage.cache_creation.input_tokens = event.cache_write_tokens,
        gen_ai.client.operation.duration = seconds(event.latency_ms),
        cache_write_1h_tokens = Some(event.cache_write_1h_tokens).filter(|written| *written > 0),
        openai.response.service_tier = event.service_tier,
        "error.type" = error(event.status),
        http.response.status_code = event.http_status,
        usage_source = event.usage_source.as_str(),
        cost_nano_usd = event.cost_nano_usd,
        price_version = event.price_version,
        cache_hit = event.cache_hit,
        attempts = event.attempts,
        status = event.status.as_str(),
        "llm call"
    );
}

/// As OpenTelemetry calls those that it knows.
fn provider(name: &str) -> &str {
    match name {
        "azure" => "azure.ai.openai",
        "bedrock" => "aws.bedrock",
        other => other,
    }
}

/// That the caller hung up is no error.
fn error(status: Status) -> Option<&'static str> {
    (!matches!(status, Status::Success | Status::ClientClosed)).then(|| status.as_str())
}

#[allow(clippy::cast_precision_loss)] // after 285,000 years
fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_that_opentelemetry_knows_have_its_names() {
        let named = ["openai", "azure", "bedrock", "anthropic", "together"].map(provider);
        assert_eq!(named, ["openai", "azure.ai.openai", "aws.bedrock", "anthropic", "together"]);
    }

    #[test]
    fn what_went_wrong_has_a_type_and_nothing_else_has() {
        assert_eq!([Status::Success, Status::ClientClosed].map(error), [None, None]);
        let wrong = [Status::UpstreamError, Status::Truncated, Status::Timeout, Status::Abandoned].map(error);
        assert_eq!(wrong, ["upstream_error", "truncated", "timeout", "abandoned"].map(Some));
        assert_eq!([seconds(1_234), seconds(0)].map(|seconds| seconds.to_string()), ["1.234", "0"]);
    }
}
