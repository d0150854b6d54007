use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};
use platform::Response;
use serde_json::json;
use token::SigningKeys;

/// `GET /.well-known/jwks.json`: the public halves of the edge's own keys, standby and previous ones included. They are
/// the same on every host and for everybody; an edge without keys publishes none.
pub fn publish(keys: Option<&SigningKeys>) -> Response {
    let set = keys.map_or_else(|| json!({"keys": []}), SigningKeys::jwks);
    let mut response = front_door::json(StatusCode::OK, &set);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}
