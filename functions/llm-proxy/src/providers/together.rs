//! Together.ai: OpenAI's protocol with one status of its own.

use http::{HeaderMap, StatusCode};
use platform::{Context, Request};
use problem::Problem;
use secrecy::SecretString;

use super::{OpenAi, Protocol, Refusal};
use crate::catalog::Route;
use crate::endpoint::Endpoint;
use crate::error_words::ErrorWords;
use crate::model_request::ModelRequest;

pub(crate) struct Together(pub(crate) OpenAi);

const TOO_LONG: &str = "The messages and the longest answer allowed exceed the model's context.";

impl Protocol for Together {
    /// It has no responses: <https://docs.together.ai/docs/openai-api-compatibility>.
    fn serves(&self, endpoint: Endpoint) -> bool {
        matches!(endpoint, Endpoint::ChatCompletions | Endpoint::Embeddings)
    }

    fn request(&self, request: &ModelRequest, route: &Route, context: &Context) -> Result<Request, Problem> {
        self.0.request(request, route, context)
    }

    /// 403 says that input and answer exceed the context: <https://docs.together.ai/docs/error-codes>.
    fn refusal(&self, status: StatusCode, _: &HeaderMap, body: &[u8]) -> Refusal {
        let words = ErrorWords::of_body(body);
        match status {
            StatusCode::FORBIDDEN => {
                let words = words.with_code("context_length_exceeded").with_message(TOO_LONG);
                Refusal { status: StatusCode::BAD_REQUEST, words }
            }
            _ => Refusal { status, words },
        }
    }

    fn secrets(&self) -> Vec<&SecretString> {
        self.0.secrets()
    }
}
