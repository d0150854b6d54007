use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use platform::{Body, Response};

/// A JSON answer.
pub fn json(status: StatusCode, body: &serde_json::Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
