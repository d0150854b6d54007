//! Reads a request's JSON body and says exactly what is wrong with it: media type, size, time, encoding, place. Forms, as
//! OAuth has them, are read by the same rules.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use platform::{Body, BodyError, Clock, Content, timeout};
use problem::{Problem, kinds};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

/// What a route accepts.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most bytes.
    pub bytes: usize,
    /// The most time until the last byte.
    pub time: Duration,
}

/// How much of a body that is too large is read and thrown away. A caller that is still sending when the connection
/// closes sees a broken connection instead of the answer.
const DISCARDED: usize = 16 << 20;

/// The body of a request that must be JSON in UTF-8: 415, 413, 408 or 400 otherwise.
pub async fn read(headers: &HeaderMap, body: Body, limits: Limits, clock: &dyn Clock) -> Result<Bytes, Problem> {
    require(JSON, headers)?;
    read_text(body, limits, clock).await
}

/// The body of a request that must be a form (`application/x-www-form-urlencoded`), by the same rules.
pub async fn read_form(headers: &HeaderMap, body: Body, limits: Limits, clock: &dyn Clock) -> Result<Bytes, Problem> {
    require(FORM, headers)?;
    read_text(body, limits, clock).await
}

async fn read_text(body: Body, limits: Limits, clock: &dyn Clock) -> Result<Bytes, Problem> {
    let bytes = match timeout(clock, limits.time, collect(body, limits.bytes)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(BodyError::TooLarge { limit })) => {
            let detail = format!("The body may have at most {limit} bytes.");
            return Err(Problem::new(kinds::BODY_TOO_LARGE).detail(detail));
        }
        Ok(Err(BodyError::Interrupted(_))) => {
            return Err(Problem::new(kinds::MALFORMED_BODY).detail("The body ended before its announced length."));
        }
        Err(_) => {
            let detail = format!("The body did not arrive within {} s.", limits.time.as_secs());
            return Err(Problem::new(kinds::REQUEST_TIMEOUT).detail(detail));
        }
    };
    match std::str::from_utf8(&bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => {
            let detail = format!("The body is not UTF-8 at byte {}.", error.valid_up_to());
            Err(Problem::new(kinds::MALFORMED_BODY).detail(detail))
        }
    }
}

/// The whole body, if it has at most `limit` bytes; otherwise it is read on for a while and thrown away.
async fn collect(body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let mut stream = match body.into_content() {
        Content::Bytes(bytes) if bytes.len() > limit => return Err(BodyError::TooLarge { limit }),
        Content::Bytes(bytes) => return Ok(bytes),
        Content::Stream(stream) => stream,
    };
    let (mut collected, mut length) = (BytesMut::new(), 0);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        length += chunk.len();
        if length <= limit {
            collected.extend_from_slice(&chunk);
        } else if length > limit + DISCARDED {
            break;
        } else {
            collected = BytesMut::new();
        }
    }
    if length > limit { Err(BodyError::TooLarge { limit }) } else { Ok(collected.freeze()) }
}

/// The JSON document in `bytes` as a `T`: 400 with the place, as line and column or as a JSON pointer.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer(error.path());
        fault(error.inner(), pointer)
    })?;
    reader.end().map_err(|error| fault(&error, String::new()))?;
    Ok(value)
}

/// What serde found wrong, without its echo of the caller's data.
fn fault(error: &serde_json::Error, pointer: String) -> Problem {
    let place = format!("line {}, column {}", error.line(), error.column());
    if error.is_data() {
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        Problem::new(kinds::INVALID_REQUEST).at(pointer, format!("{message} ({place})"))
    } else if error.is_eof() {
        Problem::new(kinds::MALFORMED_BODY).detail(format!("The JSON document ends too early ({place})."))
    } else {
        Problem::new(kinds::MALFORMED_BODY).detail(format!("The body is not JSON: reading stopped at {place}."))
    }
}

/// The place as a JSON pointer (RFC 6901).
fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        let name = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        };
        pointer.extend(["/", &name]);
    }
    pointer
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

fn require(expected: &str, headers: &HeaderMap) -> Result<(), Problem> {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(Problem::new(kinds::UNSUPPORTED_MEDIA_TYPE).detail(format!("Send `Content-Type: {expected}`.")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Credentials {
        email: String,
        #[serde(default)]
        tags: Vec<u8>,
    }

    fn refused(text: &str) -> Problem {
        parse::<Credentials>(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn points_at_the_member_of_the_wrong_type() {
        let problem = refused(r#"{"email": "a", "tags": [1, "x"]}"#);
        assert_eq!(problem.kind(), kinds::INVALID_REQUEST);
        assert!(problem.openai_body().contains(r#""param":"tags[1]""#), "{}", problem.openai_body());
    }

    #[test]
    fn names_unknown_and_missing_members() {
        assert!(refused(r#"{"email": "a", "mail": 1}"#).message().contains("unknown field `mail`"));
        assert!(refused("{}").message().contains("missing field `email`"));
    }

    #[test]
    fn says_where_reading_stopped() {
        assert_eq!(refused("{\"email\": }").message(), "The body is not JSON: reading stopped at line 1, column 11.");
        assert_eq!(refused("{\"email\"").message(), "The JSON document ends too early (line 1, column 8).");
        assert!(refused("{\"email\": \"a\"} x").message().contains("reading stopped"));
    }

    #[test]
    fn reads_on_past_the_limit_but_not_for_ever() {
        let read = |chunks: usize| {
            let seen = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let counter = std::sync::Arc::clone(&seen);
            let stream = futures_util::stream::iter(0..chunks).map(move |_| {
                counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Ok(Bytes::from(vec![b' '; 1 << 20]))
            });
            let outcome = collect(Body::from_stream(stream), 2 << 20).now_or_never().unwrap();
            (outcome.map(|bytes| bytes.len()), seen.load(std::sync::atomic::Ordering::Relaxed))
        };
        let too_large = Err(BodyError::TooLarge { limit: 2 << 20 });
        assert_eq!(read(2), (Ok(2 << 20), 2));
        assert_eq!(read(5), (too_large.clone(), 5));
        assert_eq!(read(1000), (too_large, 19));
    }

    #[test]
    fn accepts_json_with_a_charset_and_nothing_else() {
        let with = |value: &'static str| HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]);
        assert!(require(JSON, &with("Application/JSON; charset=utf-8")).is_ok());
        assert!(require(JSON, &with("text/plain")).is_err());
        assert!(require(JSON, &HeaderMap::new()).is_err());
        assert!(require(FORM, &with("application/x-www-form-urlencoded")).is_ok());
        assert!(require(FORM, &with("application/json")).is_err());
    }
}
