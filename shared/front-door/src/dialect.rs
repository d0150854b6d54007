use problem::Dialect;

/// The shape in which errors on `path` are told. It is the same whichever component the path has been routed to.
pub(crate) fn of(path: &str) -> Dialect {
    match path {
        "/v1/chat/completions" | "/v1/embeddings" | "/v1/models" | "/v1/responses" => Dialect::OpenAi,
        "/auth/token" => Dialect::OAuth,
        _ => Dialect::ProblemJson,
    }
}
