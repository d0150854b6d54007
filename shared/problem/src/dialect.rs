use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::{Kind, Parts, Problem, kinds};

/// The shape of an error's body, which the route decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// RFC 9457, `application/problem+json`.
    ProblemJson,
    /// `{"error": {"message", "type", "param", "code"}}`, as OpenAI's clients parse it.
    OpenAi,
    /// `{"type": "error", "error": {"type", "message"}, "request_id"}`, as Anthropic's clients parse it.
    Anthropic,
    /// `{"error", "error_description"}`, RFC 6749 section 5.2.
    OAuth,
}

impl Dialect {
    /// The problem as a response.
    pub(crate) fn render(self, problem: Problem, request_id: &str) -> Response<Bytes> {
        let problem = *problem.0;
        let body = self.body(&problem, request_id);
        let media_type = if self == Self::ProblemJson { "application/problem+json" } else { "application/json" };
        let mut response = Response::new(Bytes::from(body.to_string()));
        *response.status_mut() = StatusCode::from_u16(problem.kind.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        *response.headers_mut() = problem.headers;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    pub(crate) fn body(self, problem: &Parts, request_id: &str) -> Value {
        match self {
            Self::ProblemJson => problem_json(problem, request_id),
            Self::OpenAi => openai_error(problem),
            Self::Anthropic => anthropic_error(problem, request_id),
            Self::OAuth => oauth_error(problem),
        }
    }
}

fn problem_json(problem: &Parts, request_id: &str) -> Value {
    let mut body = Map::new();
    body.insert("type".into(), problem.kind.type_uri().into());
    body.insert("title".into(), problem.kind.title.into());
    body.insert("status".into(), problem.kind.status.into());
    if let Some(detail) = &problem.detail {
        body.insert("detail".into(), detail.as_str().into());
    }
    if !problem.violations.is_empty() {
        let errors = problem.violations.iter();
        body.insert("errors".into(), errors.map(|v| json!({"pointer": v.pointer, "detail": v.detail})).collect());
    }
    body.insert("request_id".into(), request_id.into());
    Value::Object(body)
}

fn openai_error(problem: &Parts) -> Value {
    json!({"error": {
        "message": problem.message(),
        "type": openai_type(problem.kind),
        "param": problem.violations.first().map(|violation| openai_param(&violation.pointer)),
        "code": problem.kind.code(),
    }})
}

/// `/messages/0/role` as OpenAI writes it: `messages[0].role`.
fn openai_param(pointer: &str) -> String {
    let mut param = String::new();
    for segment in pointer.trim_start_matches('/').split('/') {
        match segment.parse::<usize>() {
            Ok(index) => param.extend(["[", &index.to_string(), "]"]),
            Err(_) if param.is_empty() => param.push_str(segment),
            Err(_) => param.extend([".", segment]),
        }
    }
    param
}

fn openai_type(kind: &Kind) -> &'static str {
    match kind.status {
        401 => "authentication_error",
        403 => "permission_error",
        429 if kind == kinds::BUDGET_EXCEEDED => "insufficient_quota",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}

fn anthropic_error(problem: &Parts, request_id: &str) -> Value {
    let error = json!({"type": anthropic_type(problem.kind), "message": problem.message()});
    json!({"type": "error", "error": error, "request_id": request_id})
}

/// The words of <https://docs.claude.com/en/api/errors>.
fn anthropic_type(kind: &Kind) -> &'static str {
    match kind.status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 if kind == kinds::BUDGET_EXCEEDED => "billing_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        503 => "overloaded_error",
        504 => "timeout_error",
        _ => "api_error",
    }
}

/// Kinds that have an error word of their own in RFC 6749 section 5.2 or RFC 8693 section 2.2.2.
const OAUTH_WORDS: [&str; 3] = ["unsupported_grant_type", "invalid_scope", "invalid_target"];

fn oauth_error(problem: &Parts) -> Value {
    let word = problem.kind.code();
    let error = match problem.kind.status {
        400 if OAUTH_WORDS.contains(&word.as_str()) => &word,
        401 => "invalid_client",
        503 => "temporarily_unavailable",
        500..=599 => "server_error",
        _ => "invalid_request",
    };
    json!({"error": error, "error_description": problem.message()})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds;

    fn body(problem: Problem, dialect: Dialect) -> Value {
        serde_json::from_slice(problem.into_response(dialect, "r-1").body()).unwrap()
    }

    #[test]
    fn problem_json_names_type_status_detail_places_and_request() {
        let problem = Problem::new(kinds::INVALID_REQUEST).detail("One value is wrong.").at("/model", "a string");
        assert_eq!(
            body(problem, Dialect::ProblemJson),
            json!({"type": "/problems/invalid-request", "title": "A value in the request is not allowed", "status": 400,
                   "detail": "One value is wrong.", "errors": [{"pointer": "/model", "detail": "a string"}], "request_id": "r-1"})
        );
    }

    #[test]
    fn the_openai_dialect_has_message_type_param_and_code() {
        let problem = Problem::new(kinds::INVALID_REQUEST).at("/messages/0/role", "must be a string");
        assert_eq!(
            body(problem, Dialect::OpenAi),
            json!({"error": {"message": "must be a string", "type": "invalid_request_error", "param": "messages[0].role", "code": "invalid_request"}})
        );
    }

    #[test]
    fn the_anthropic_dialect_has_type_message_and_request() {
        for (kind, word) in [
            (kinds::INVALID_REQUEST, "invalid_request_error"),
            (kinds::MODEL_NOT_FOUND, "not_found_error"),
            (kinds::BUDGET_EXCEEDED, "billing_error"),
            (kinds::RATE_LIMITED, "rate_limit_error"),
            (kinds::UPSTREAM_FAILED, "api_error"),
            (kinds::UPSTREAM_UNAVAILABLE, "overloaded_error"),
        ] {
            let body = body(Problem::new(kind).detail("Why."), Dialect::Anthropic);
            let expected = json!({"type": "error", "error": {"type": word, "message": "Why."}, "request_id": "r-1"});
            assert_eq!(body, expected);
        }
    }

    #[test]
    fn the_oauth_dialect_has_the_words_of_its_rfcs() {
        for (kind, word) in [
            (kinds::UNSUPPORTED_GRANT_TYPE, "unsupported_grant_type"),
            (kinds::INVALID_SCOPE, "invalid_scope"),
            (kinds::INVALID_TARGET, "invalid_target"),
            (kinds::INVALID_REQUEST, "invalid_request"),
            (kinds::MALFORMED_BODY, "invalid_request"),
            (kinds::UNSUPPORTED_MEDIA_TYPE, "invalid_request"),
            (kinds::CREDENTIAL_INVALID, "invalid_client"),
            (kinds::UPSTREAM_UNAVAILABLE, "temporarily_unavailable"),
            (kinds::MISCONFIGURED, "temporarily_unavailable"),
            (kinds::INTERNAL, "server_error"),
        ] {
            let body = body(Problem::new(kind).detail("Why."), Dialect::OAuth);
            assert_eq!(body, json!({"error": word, "error_description": "Why."}));
        }
    }

    #[test]
    fn refusing_a_method_says_what_is_allowed() {
        let response = Problem::method_not_allowed("POST").into_response(Dialect::ProblemJson, "r-1");
        assert_eq!(
            (response.status().as_u16(), &response.headers()["allow"]),
            (405, &HeaderValue::from_static("POST"))
        );
    }

    #[test]
    fn every_answer_forbids_storing() {
        for dialect in [Dialect::ProblemJson, Dialect::OpenAi, Dialect::Anthropic, Dialect::OAuth] {
            let response = Problem::new(kinds::INTERNAL).into_response(dialect, "r-1");
            assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        }
    }
}
