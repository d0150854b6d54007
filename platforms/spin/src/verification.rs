use http::StatusCode;
use platform::{Body, Request, Response, SignatureVerifier as _};
use signature::PureRust;
use spin_sdk::wasip3::http::types::{self, ErrorCode};

use crate::signature_question::{self, INVALID, MAX_BYTES, VALID};
use crate::{inbound, outbound, task};

/// Answers a request of another component, which asks whether a signature is right: 200 with `valid` or `invalid`, 422
/// for a key that cannot be one, 400 for anything else.
///
/// It needs no door, no variable and no host: it knows nothing and calls nobody.
pub async fn verify(request: types::Request) -> Result<types::Response, ErrorCode> {
    task::run(async { outbound::response(answer(inbound::request(request)?).await) }).await
}

pub(crate) async fn answer(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.read(MAX_BYTES).await.ok();
    let (status, text) = match body.and_then(|body| signature_question::read(parts.uri.path(), body)) {
        None => (StatusCode::BAD_REQUEST, &b""[..]),
        Some(question) => match PureRust.verify(&question.key, &question.message, &question.signature).await {
            Ok(true) => (StatusCode::OK, VALID),
            Ok(false) => (StatusCode::OK, INVALID),
            Err(_) => (StatusCode::UNPROCESSABLE_ENTITY, &b""[..]),
        },
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}
