//! Amazon's errors in OpenAI's words: <https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html>.

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error_words::ErrorWords;
use crate::providers::Refusal;

#[derive(Deserialize, Default)]
struct Wire {
    #[serde(alias = "Message")]
    message: Option<String>,
    /// Where the header is missing.
    #[serde(rename = "__type")]
    kind: Option<String>,
}

const TYPE: &str = "x-amzn-errortype";
const TOO_LONG: &str = "The messages and the longest answer allowed exceed the model's context.";
/// In what models say of a prompt that exceeds their context.
const SAYS_TOO_LONG: [&str; 5] =
    ["too long", "too many input tokens", "maximum context length", "context window", "exceeds the maximum number of"];
/// In what Bedrock says of a model that cannot be called by its name.
const SAYS_NO_MODEL: [&str; 3] = ["model identifier is invalid", "on-demand throughput", "access to the model"];

/// An answer with an error status.
pub(super) fn of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refusal {
    let wire: Wire = serde_json::from_slice(body).unwrap_or_default();
    let header = headers.get(TYPE).and_then(|value| value.to_str().ok());
    let kind = header.or(wire.kind.as_deref()).map(short).unwrap_or_default();
    let message = wire.message.unwrap_or_default();
    let status = match kind {
        "ValidationException" | "AccessDeniedException" if says(&message, &SAYS_NO_MODEL) => StatusCode::NOT_FOUND,
        "ValidationException" => StatusCode::BAD_REQUEST,
        "ThrottlingException" | "ServiceQuotaExceededException" => StatusCode::TOO_MANY_REQUESTS,
        "ModelNotReadyException" | "ServiceUnavailableException" => StatusCode::SERVICE_UNAVAILABLE,
        "ModelTimeoutException" => StatusCode::GATEWAY_TIMEOUT,
        "ModelErrorException" | "ModelStreamErrorException" | "InternalServerException" => StatusCode::BAD_GATEWAY,
        "ResourceNotFoundException" => StatusCode::NOT_FOUND,
        "AccessDeniedException"
        | "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "ExpiredTokenException"
        | "IncompleteSignatureException"
        | "MissingAuthenticationTokenException" => StatusCode::FORBIDDEN,
        _ => status,
    };
    Refusal { status, words: words(status, &message) }
}

fn words(status: StatusCode, message: &str) -> ErrorWords {
    let invalid = ErrorWords::default().with_kind("invalid_request_error");
    match status {
        StatusCode::BAD_REQUEST if says(message, &SAYS_TOO_LONG) => {
            invalid.with_code("context_length_exceeded").with_message(TOO_LONG)
        }
        // Names of resources have our account in them.
        StatusCode::BAD_REQUEST if !message.is_empty() && !message.contains("arn:") => invalid.with_message(message),
        StatusCode::BAD_REQUEST => invalid,
        StatusCode::NOT_FOUND => invalid.with_code("model_not_found"),
        StatusCode::TOO_MANY_REQUESTS => ErrorWords::default().with_kind("requests").with_code("rate_limit_exceeded"),
        _ => ErrorWords::default(),
    }
}

/// The error body for an exception in the middle of a stream.
pub(super) fn of_exception(kind: &str, payload: &[u8]) -> Value {
    let wire: Wire = serde_json::from_slice(payload).unwrap_or_default();
    let too_long = says(&wire.message.unwrap_or_default(), &SAYS_TOO_LONG);
    let failed = "The provider failed before the answer's end.";
    let (kind, code, message) = match kind {
        "throttlingException" => ("requests", "rate_limit_exceeded", failed),
        "modelStreamErrorException" => ("server_error", "model_error", failed),
        "serviceUnavailableException" => ("server_error", "service_unavailable", failed),
        "validationException" if too_long => ("invalid_request_error", "context_length_exceeded", TOO_LONG),
        "validationException" => ("invalid_request_error", "invalid_request", "The provider refused the request."),
        _ => ("server_error", "server_error", failed), // internalServerException, and what is not known yet
    };
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

/// `ValidationException` of `com.amazon.coral.validate#ValidationException:http://…`.
fn short(kind: &str) -> &str {
    let name = kind.split_once(':').map_or(kind, |(name, _)| name);
    name.rsplit_once('#').map_or(name, |(_, name)| name)
}

fn says(message: &str, phrases: &[&str]) -> bool {
    let message = message.to_ascii_lowercase();
    phrases.iter().any(|phrase| message.contains(phrase))
}
