use problem::{Dialect, Problem};

use super::*;

const TYPE: &str = "x-amzn-errortype";

fn refused(status: u16, kind: &str, message: &str) -> (u16, Value) {
    let headers = HeaderMap::from_iter([(TYPE.parse().unwrap(), kind.parse().unwrap())]);
    told(&refusal::of(
        StatusCode::from_u16(status).unwrap(),
        &headers,
        json!({"message": message}).to_string().as_bytes(),
    ))
}

fn told(refusal: &Refusal) -> (u16, Value) {
    let message = refusal.words.message().unwrap_or("-");
    let body = refusal.words.body(&Problem::new(kinds::UPSTREAM_FAILED), message, Dialect::OpenAi, "r-1");
    (refusal.status.as_u16(), json!([body["error"]["type"], body["error"]["code"], message]))
}

#[test]
fn each_exception_has_its_status_and_its_words() {
    let ours = json!(["server_error", "upstream_failed", "-"]);
    for (status, kind, expected, words) in [
        (429, "ThrottlingException", 429, json!(["requests", "rate_limit_exceeded", "-"])),
        (400, "ServiceQuotaExceededException", 429, json!(["requests", "rate_limit_exceeded", "-"])),
        (403, "AccessDeniedException", 403, ours.clone()),
        (403, "UnrecognizedClientException", 403, ours.clone()),
        (400, "ExpiredTokenException", 403, ours.clone()),
        (404, "ResourceNotFoundException", 404, json!(["invalid_request_error", "model_not_found", "-"])),
        (408, "ModelTimeoutException", 504, ours.clone()),
        (424, "ModelErrorException", 502, ours.clone()),
        (429, "ModelNotReadyException", 503, ours.clone()),
        (500, "InternalServerException", 502, ours.clone()),
        (503, "ServiceUnavailableException", 503, ours.clone()),
        (503, "ANewException", 503, ours.clone()),
        (400, "ValidationException", 400, json!(["invalid_request_error", "upstream_failed", "What they say."])),
        (
            400,
            "ValidationException:http://internal.amazon.com/coral/com.amazon.coral.validate/",
            400,
            json!(["invalid_request_error", "upstream_failed", "What they say."]),
        ),
    ] {
        assert_eq!(refused(status, kind, "What they say."), (expected, words), "{kind}");
    }
}

#[test]
fn a_context_that_is_too_long_has_openais_code() {
    for message in [
        "Input is too long for requested model.",
        "The model returned the following errors: prompt is too long: 227255 tokens > 200000 maximum",
        "This model's maximum context length is 8192 tokens.",
    ] {
        let (status, words) = refused(400, "ValidationException", message);
        assert_eq!((status, &words[1]), (400, &json!("context_length_exceeded")), "{message}");
    }
}

#[test]
fn a_model_that_cannot_be_called_is_not_the_callers_fault() {
    for message in [
        "The provided model identifier is invalid.",
        "Invocation of model ID x with on-demand throughput isn't supported. Retry with an inference profile.",
    ] {
        assert_eq!(refused(400, "ValidationException", message).0, 404, "{message}");
    }
    let message = "You don't have access to the model with the specified model ID.";
    assert_eq!(refused(403, "AccessDeniedException", message).0, 404, "the credential is good for other models");
}

#[test]
fn names_of_our_account_are_not_repeated() {
    let (_, words) = refused(400, "ValidationException", "arn:aws:bedrock:us-east-1:123456789012:x cannot do this");
    assert_eq!(words[2], "-");
}

#[test]
fn without_the_header_the_body_tells_the_kind() {
    let body = br#"{"__type":"com.amazon.coral.availability#ThrottlingException","Message":"slow"}"#;
    assert_eq!(told(&refusal::of(StatusCode::BAD_REQUEST, &HeaderMap::new(), body)).0, 429);
    for body in [&b""[..], b"<html>", b"[]", b"{}"] {
        assert_eq!(told(&refusal::of(StatusCode::BAD_GATEWAY, &HeaderMap::new(), body)).0, 502);
    }
}
