//! What JavaScript calls for a new instance, a request, a trigger.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, Method, StatusCode};
use platform::{Body, ClientAddress, Content, Request, Response, Timestamp};
use problem::{Dialect, Problem, kinds};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::executor::{self, InvocationId};
use crate::{context, head, host, inbound, outbound};

/// The caller's address, written by Cloudflare over whatever the caller sent. Without Cloudflare in front, as on a
/// developer's machine, there is none.
const CLIENT_ADDRESS: &str = "cf-connecting-ip";

/// A new WASM instance: its text bindings as a JSON object, and all bindings.
#[wasm_bindgen]
pub fn boot(variables: &str, bindings: &JsValue) {
    std::panic::set_hook(Box::new(|panic| {
        host::log(&serde_json::json!({"level": "ERROR", "message": panic.to_string()}).to_string());
    }));
    context::install(variables, bindings);
}

/// Answers the request with `head`.
#[wasm_bindgen]
pub fn handle(invocation: u32, head: String) {
    executor::enter(invocation, || executor::spawn(respond(invocation, head)));
}

/// Does what is due at `time` (milliseconds since the epoch) by the trigger `cron`.
#[wasm_bindgen]
pub fn scheduled(invocation: u32, cron: String, time: f64) {
    #[allow(clippy::cast_possible_truncation)] // milliseconds since the epoch fit
    let time = Timestamp::from_millisecond(time as i64).unwrap_or_default();
    executor::enter(invocation, || {
        executor::spawn(async move {
            if let Some((edge, context)) = context::loaded().await {
                edge.scheduled(&cron, time, &context).await;
            }
        });
    });
}

/// Another invocation has woken a task of this one.
#[wasm_bindgen]
pub fn resume(invocation: u32) {
    executor::enter(invocation, || {});
}

async fn respond(invocation: InvocationId, head: String) {
    let (method, response) = match head::read_request(head) {
        Some(parts) => (parts.method.clone(), routed(parts).await),
        None => (Method::GET, problem(Problem::new(kinds::INVALID_REQUEST).detail("The URL cannot be read."))),
    };
    send(invocation, &method, response);
}

async fn routed(mut parts: http::request::Parts) -> Response {
    let Some((edge, context)) = context::loaded().await else { return problem(kinds::INTERNAL.into()) };
    let body = inbound::of_request(&parts.method, &parts.headers);
    parts.extensions.insert(client_address(&parts.headers));
    let request = Request::from_parts(parts, body);
    #[cfg(feature = "probe")]
    if request.uri().path().starts_with(crate::probe::PREFIX) {
        return crate::probe::handle(request, &context).await;
    }
    edge.handle(request, &context).await
}

fn client_address(headers: &HeaderMap) -> ClientAddress {
    let address = headers.get(CLIENT_ADDRESS).and_then(|value| value.to_str().ok()?.parse().ok());
    ClientAddress(address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)))
}

fn problem(problem: Problem) -> Response {
    problem.into_response(Dialect::ProblemJson, "").map(Body::from)
}

/// Hands the response over: known bytes in one piece, a stream chunk by chunk.
fn send(invocation: InvocationId, method: &Method, response: Response) {
    let (mut parts, body) = response.into_parts();
    let to_head = *method == Method::HEAD;
    let content = match body.into_content() {
        Content::Bytes(bytes) if to_head && !bytes.is_empty() => {
            parts.headers.insert(http::header::CONTENT_LENGTH, bytes.len().into());
            Content::Bytes(bytes::Bytes::new())
        }
        _ if to_head || has_no_body(parts.status) => Content::Bytes(bytes::Bytes::new()),
        content => content,
    };
    match content {
        Content::Bytes(bytes) => {
            let head = head::write_response(&parts, None, to_head);
            host::answer(invocation, &head, (!bytes.is_empty()).then_some(&*bytes), 0);
        }
        Content::Stream(stream) => {
            let head = head::write_response(&parts, head::content_length(&parts.headers), false);
            host::answer(invocation, &head, None, outbound::produce(stream).map_or(0, |stream| stream.id));
        }
    }
}

fn has_no_body(status: StatusCode) -> bool {
    matches!(status.as_u16(), 101 | 204 | 205 | 304)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_panic_is_the_same_problem_as_any_internal_one() {
        let javascript = include_str!("../js/host.js");
        let kind = kinds::INTERNAL;
        for word in [kind.type_uri(), kind.title.to_owned(), format!("status: {}", kind.status)] {
            assert!(javascript.contains(&word), "{word}");
        }
    }

    #[test]
    fn the_client_address_is_cloudflares_word_or_this_machine() {
        let address = |value: &'static str| {
            client_address(&HeaderMap::from_iter([(CLIENT_ADDRESS.parse().unwrap(), value.parse().unwrap())])).0
        };
        assert_eq!(address("2001:db8::1").to_string(), "2001:db8::1");
        assert_eq!(address("nobody"), IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
}
