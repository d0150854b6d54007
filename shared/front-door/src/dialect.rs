use problem::Dialect;

/// The shape in which errors on `path` are told. It is the same whichever component the path has been routed to.
pub(crate) fn of(path: &str) -> Dialect {
    match path {
        "/v1/chat/completions" | "/v1/embeddings" | "/v1/models" | "/v1/responses" => Dialect::OpenAi,
        "/v1/messages" => Dialect::Anthropic,
        "/auth/token" => Dialect::OAuth,
        _ if path.starts_with("/v1/models/") => Dialect::OpenAi,
        _ => Dialect::ProblemJson,
    }
}
