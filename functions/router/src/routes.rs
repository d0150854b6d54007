use http::Method;
use platform::{Context, Request, Response};
use problem::{Dialect, Problem, kinds};

use crate::functions::Functions;
use crate::{health, json, problems};

/// The most segments that any route has; a longer path is not found without being looked at.
const MAX_SEGMENTS: usize = 8;

/// Finds the function for `request`. `functions` is `None` while the edge is not configured.
pub async fn dispatch(functions: Option<&Functions>, request: Request, context: &Context) -> Result<Response, Problem> {
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.split('/').skip(1).take(MAX_SEGMENTS + 1).collect();
    match segments.as_slice() {
        ["healthz"] => return get(request.method(), || json(200, &serde_json::json!({"status": "ok"}))),
        ["problems", slug] => {
            return problems::describe(slug).and_then(|body| get(request.method(), || json(200, &body)));
        }
        _ => {}
    }
    let functions = functions.ok_or(kinds::MISCONFIGURED)?;
    match segments.as_slice() {
        ["readyz"] if request.method() == Method::GET => Ok(health::ready(functions, context).await),
        ["readyz"] => Err(Problem::method_not_allowed("GET, HEAD")),
        ["auth", rest @ ..] => functions.auth.handle(rest, request, &functions.authenticator, context).await,
        ["v1", "chat", "completions"] | ["v1", "models" | "usage"] => {
            let caller = functions.authenticator.authenticate(request.headers(), context).await?;
            functions.llm.handle(request, &caller, context).await
        }
        _ => Err(Problem::new(kinds::NOT_FOUND)),
    }
}

/// The shape in which errors on `path` are told.
pub fn dialect(path: &str) -> Dialect {
    match path {
        "/v1/chat/completions" | "/v1/embeddings" | "/v1/models" | "/v1/responses" => Dialect::OpenAi,
        "/auth/token" => Dialect::OAuth,
        _ => Dialect::ProblemJson,
    }
}

fn get(method: &Method, answer: impl FnOnce() -> Response) -> Result<Response, Problem> {
    if method == Method::GET { Ok(answer()) } else { Err(Problem::method_not_allowed("GET, HEAD")) }
}
