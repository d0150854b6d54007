//! Heads as lines: how requests' and responses' heads cross the boundary, each as one string.
//!
//! What comes in is `method` and `url`, or `status`, then name and value of each header. What leaves has one line more after
//! the URL or the status, the length of a streamed body if it is known; then all names in one line, separated by commas, and
//! a line for each value. A header value cannot contain a line break, in neither direction.

use std::fmt::Write as _;

use bytes::{Buf, Bytes};
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, request, response};
use memchr::memchr;

/// Headers about one connection, which never pass from one to the next (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [HeaderName; 9] = [
    http::header::CONNECTION,
    http::header::PROXY_AUTHENTICATE,
    http::header::PROXY_AUTHORIZATION,
    http::header::TE,
    http::header::TRAILER,
    http::header::TRANSFER_ENCODING,
    http::header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// The head of an inbound request, or `None` if its method or URL cannot be expressed.
pub fn read_request(head: String) -> Option<request::Parts> {
    let mut lines = Lines(Some(head.into()));
    let method = Method::from_bytes(&lines.next()?).ok()?;
    let uri = Uri::from_maybe_shared(lines.next()?).ok()?;
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = method;
    parts.uri = uri;
    parts.headers = read_headers(lines);
    Some(parts)
}

/// The head of a response to an outbound request.
pub fn read_response(head: String) -> Option<response::Parts> {
    let mut lines = Lines(Some(head.into()));
    let status = StatusCode::from_bytes(&lines.next()?).ok()?;
    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.status = status;
    parts.headers = read_headers(lines);
    for name in HOP_BY_HOP {
        parts.headers.remove(name);
    }
    Some(parts)
}

/// The head of an outbound request; `length` is that of a streamed body.
pub fn write_request(mut parts: request::Parts, length: Option<u64>) -> String {
    let headers = &mut parts.headers;
    headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("identity")); // functions read bodies as they come
    let mut head = start(headers);
    let _ = write!(head, "{}\n{}\n", parts.method, parts.uri);
    write_length(&mut head, length);
    write_headers(&mut head, headers, |name| name != HOST && name != CONTENT_LENGTH);
    head
}

/// The head of a response; `length` is that of a streamed body. With `keep_length` the header of that name stays: the
/// answer to HEAD describes a body that is not sent.
pub fn write_response(parts: &response::Parts, length: Option<u64>, keep_length: bool) -> String {
    let mut head = start(&parts.headers);
    head.push_str(parts.status.as_str());
    head.push('\n');
    write_length(&mut head, length);
    write_headers(&mut head, &parts.headers, |name| keep_length || name != CONTENT_LENGTH);
    head
}

/// The value of `content-length`.
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The lines of a head that are left, sharing its memory.
struct Lines(Option<Bytes>);

impl Iterator for Lines {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let rest = self.0.as_mut()?;
        match memchr(b'\n', rest) {
            Some(end) => {
                let line = rest.split_to(end);
                rest.advance(1);
                Some(line)
            }
            None => self.0.take(),
        }
    }
}

fn read_headers(mut lines: Lines) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(16);
    while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
        // What cannot be a header here is no header: no function could have used it.
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&name), HeaderValue::from_maybe_shared(value)) {
            headers.append(name, value);
        }
    }
    headers
}

fn start(headers: &HeaderMap) -> String {
    String::with_capacity(64 + headers.len() * 64)
}

fn write_length(head: &mut String, length: Option<u64>) {
    if let Some(length) = length {
        let _ = write!(head, "{length}");
    }
}

/// The names in one line, separated by commas, then a line for each value.
fn write_headers(head: &mut String, headers: &HeaderMap, wanted: impl Fn(&HeaderName) -> bool) {
    let wanted = |name: &HeaderName| wanted(name) && !HOP_BY_HOP.contains(name);
    head.push('\n');
    let names = headers.iter().map(|(name, _)| name).filter(|name| wanted(name));
    for (place, name) in names.enumerate() {
        if place > 0 {
            head.push(',');
        }
        head.push_str(name.as_str());
    }
    for (_, value) in headers.iter().filter(|(name, _)| wanted(name)) {
        head.push('\n');
        match str::from_utf8(value.as_bytes()) {
            Ok(text) => head.push_str(text),
            Err(_) => head.extend(value.as_bytes().iter().map(|byte| char::from(*byte))), // Latin-1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_request_with_repeated_headers_and_bytes_above_ascii() {
        let parts = read_request("POST\nhttps://edge.example/a?b=c\nx-a\n1\nx-a\n2\nx-b\nstraße".into()).unwrap();
        assert_eq!((parts.method.as_str(), parts.uri.path(), parts.uri.query()), ("POST", "/a", Some("b=c")));
        assert_eq!(parts.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(parts.headers["x-b"].as_bytes(), "straße".as_bytes());
    }

    #[test]
    fn leaves_out_headers_that_cannot_be_expressed() {
        let parts = read_request("GET\nhttp://a/\nbad name\n1\nx-a\n\u{1}\nx-b\n\nlast".into()).unwrap();
        assert_eq!((parts.headers.len(), parts.headers["x-b"].as_bytes()), (1, &b""[..]));
    }

    #[test]
    fn refuses_a_url_that_cannot_be_expressed() {
        assert!(read_request("GET\nhttp://a b/".into()).is_none());
        assert!(read_request("GET".into()).is_none());
        assert!(read_request(String::new()).is_none());
    }

    #[test]
    fn a_response_crosses_without_hop_by_hop_headers() {
        let parts = read_response("200\nconnection\nclose\nx-a\n1".into()).unwrap();
        assert_eq!((parts.status, parts.headers.len()), (StatusCode::OK, 1));
        assert!(read_response("20".into()).is_none());
    }

    #[test]
    fn writes_a_response_with_every_cookie_and_the_length_of_its_stream() {
        let (mut parts, ()) = http::Response::builder()
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .body(())
            .unwrap()
            .into_parts();
        parts.headers.insert("connection", HeaderValue::from_static("close"));
        parts.headers.insert("content-length", HeaderValue::from_static("7"));
        assert_eq!(write_response(&parts, Some(7), false), "200\n7\nset-cookie,set-cookie\na=1\nb=2");
        assert_eq!(write_response(&parts, None, true), "200\n\nset-cookie,set-cookie,content-length\na=1\nb=2\n7");
    }

    #[test]
    fn a_value_that_is_not_utf_8_leaves_as_latin_1() {
        let (mut parts, ()) = http::Response::new(()).into_parts();
        parts.headers.insert("x-a", HeaderValue::from_bytes(b"caf\xe9").unwrap());
        assert_eq!(write_response(&parts, None, false), "200\n\nx-a\ncafé");
    }

    #[test]
    fn asks_upstreams_for_bytes_as_they_are_unless_told_otherwise() {
        let head = |request: http::request::Builder| write_request(request.body(()).unwrap().into_parts().0, None);
        let request = || http::Request::get("http://a/b").header("host", "c").header("te", "trailers");
        assert_eq!(head(request()), "GET\nhttp://a/b\n\naccept-encoding\nidentity");
        assert_eq!(head(request().header("accept-encoding", "gzip")), "GET\nhttp://a/b\n\naccept-encoding\ngzip");
    }
}
