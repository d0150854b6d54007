//! Requests, answers and streams as Amazon's API reference describes them, constructed by hand: AWS itself has not been
//! called.

mod answers;
mod calls;
mod refusals;
mod requests;
mod streams;

use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use platform::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;

const MODEL: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";

fn identity() -> Identity {
    Identity {
        id: Uuid::from_u128(0xab),
        model: MODEL.to_owned(),
        created: Timestamp::from_second(1_700_000_000).unwrap(),
    }
}

/// A message of an event stream, as Amazon's own code writes it.
fn message(headers: &[(&'static str, &str)], payload: &Value) -> Vec<u8> {
    let headers =
        headers.iter().map(|(name, value)| Header::new(*name, HeaderValue::String((*value).to_owned().into())));
    let mut bytes = Vec::new();
    let message = Message::new_from_parts(headers.collect(), payload.to_string());
    aws_smithy_eventstream::frame::write_message_to(&message, &mut bytes).unwrap();
    bytes
}

fn event(kind: &str, payload: &Value) -> Vec<u8> {
    let headers = [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")];
    message(&headers, payload)
}

fn exception(kind: &str, text: &str) -> Vec<u8> {
    let headers = [(":exception-type", kind), (":content-type", "application/json"), (":message-type", "exception")];
    message(&headers, &json!({"message": text}))
}
