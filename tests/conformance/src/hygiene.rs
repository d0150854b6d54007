use crate::Answer;

/// The only headers an answer may carry; a name ending in `*` is a prefix.
const ALLOWED: &[&str] = &[
    "access-control-*",
    "allow",
    "cache-control",
    "connection",
    "content-disposition",
    "content-length",
    "content-type",
    "date",
    "keep-alive",
    "openai-processing-ms",
    "ratelimit*",
    "retry-after",
    "retry-after-ms",
    "server-timing",
    "set-cookie",
    "strict-transport-security",
    "transfer-encoding",
    "vary",
    "www-authenticate",
    "x-content-type-options",
    "x-qlp-*",
    "x-ratelimit-*",
    "x-request-id",
    "x-should-retry",
    "x-upstream-request-id",
];

/// Paths whose errors have the OpenAI shape; those of `/v1/messages` have Anthropic's, of `/auth/token` OAuth's, and all others are problem documents.
const OPENAI_PATHS: &[&str] = &["/v1/chat/completions", "/v1/embeddings", "/v1/models", "/v1/responses"];

fn is_openais(path: &str) -> bool {
    OPENAI_PATHS.contains(&path) || path.starts_with("/v1/models/")
}

/// Words that only internals use: no answer may contain them.
const INTERNALS: &[&str] =
    &["panicked", "src/", ".rs:", "RuntimeError", "sb_secret_", "supabase_auth_admin", "stack backtrace"];

/// What must hold for every answer of the edge.
pub fn check(method: &str, path: &str, answer: &Answer) {
    let place = format!("{method} {path} ({})", answer.status);
    for name in answer.headers.keys() {
        assert!(allowed(name.as_str()), "{place}: unexpected header {name}");
    }
    let request_id = answer.header("x-request-id");
    assert!(!request_id.is_empty(), "{place}: no x-request-id");
    assert!(answer.header("vary").to_ascii_lowercase().contains("origin"), "{place}: no Vary: Origin");
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{place}");
    for word in INTERNALS {
        assert!(!answer.text().contains(word), "{place}: the answer contains {word:?}: {}", answer.text());
    }
    let is_report = path == "/readyz"; // its 503 has the same body as its 200
    if answer.status >= 400 && method != "HEAD" && !is_report {
        check_error(&place, path, answer, request_id);
    }
}

fn check_error(place: &str, path: &str, answer: &Answer, request_id: &str) {
    assert!(answer.header("cache-control").contains("no-store"), "{place}: an error may be stored");
    let body = answer.json();
    let path = path.split('?').next().unwrap_or_default();
    if is_openais(path) {
        assert_eq!(answer.header("content-type"), "application/json", "{place}");
        for member in ["message", "type", "param", "code"] {
            assert!(body["error"].get(member).is_some(), "{place}: no error.{member} in {body}");
        }
    } else if path == "/v1/messages" {
        assert_eq!(answer.header("content-type"), "application/json", "{place}");
        assert_eq!((&body["type"], &body["request_id"]), (&"error".into(), &request_id.into()), "{place}: {body}");
        assert!(body["error"]["type"].is_string() && body["error"]["message"].is_string(), "{place}: {body}");
    } else if path == "/auth/token" {
        assert_eq!(answer.header("content-type"), "application/json", "{place}");
        assert!(body["error"].is_string() && body["error_description"].is_string(), "{place}: {body}");
    } else {
        assert_eq!(answer.header("content-type"), "application/problem+json", "{place}");
        assert_eq!(body["status"], answer.status, "{place}");
        assert_eq!(body["request_id"], request_id, "{place}");
        assert!(body["title"].is_string() && body["type"].is_string(), "{place}: {body}");
    }
}

fn allowed(name: &str) -> bool {
    ALLOWED.iter().any(|allowed| match allowed.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *allowed,
    })
}
