//! What comes in: requests, and the answers to outbound requests.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::Stream;
use http::header::{CONTENT_LENGTH, HeaderMap};
use http::{Method, StatusCode};
use platform::{Body, BodyError, ClientAddress, Request, Response};
use spin_sdk::wasip3::http_compat::{IncomingBody, IncomingMessage};

use crate::head;

/// The caller's address and port. Spin adds it behind whatever the caller has sent under this name.
const CLIENT_ADDRESS: &str = "spin-client-addr";

/// The body of a request or response of the host. Nothing is asked of the host before somebody reads.
struct Arriving<T>(IncomingBody<T>);

/// A request as functions expect it, with the caller's address beside it.
pub(crate) fn request(request: spin_sdk::http::Request) -> Request {
    let (mut parts, body) = request.into_parts();
    let none = match length(&parts.headers) {
        Some(length) => length == 0,
        None => matches!(parts.method, Method::GET | Method::HEAD),
    };
    if let Some(address) = client_address(&parts.headers) {
        parts.extensions.insert(ClientAddress(address));
    }
    Request::from_parts(parts, if none { Body::empty() } else { arriving(body) })
}

/// The answer to a request with `method`.
pub(crate) fn response(response: spin_sdk::http::Response, method: &Method) -> Response {
    let (mut parts, body) = response.into_parts();
    let bodiless = matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) || *method == Method::HEAD;
    let none = bodiless || length(&parts.headers) == Some(0);
    head::strip(&mut parts.headers);
    Response::from_parts(parts, if none { Body::empty() } else { arriving(body) })
}

fn arriving<T: IncomingMessage + Send + 'static>(body: IncomingBody<T>) -> Body {
    Body::from_stream(Arriving(body))
}

impl<T: IncomingMessage> Stream for Arriving<T> {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(http_body::Body::poll_frame(Pin::new(&mut self.0), context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(BodyError::Interrupted(error.to_string())))),
                Some(Ok(frame)) => {
                    if let Ok(chunk) = frame.into_data() {
                        return Poll::Ready(Some(Ok(chunk)));
                    } // trailers: no function reads them
                }
            }
        }
    }
}

/// The value of `content-length`.
pub(crate) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn client_address(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all(CLIENT_ADDRESS).iter().next_back()?.to_str().ok()?;
    last.parse::<SocketAddr>().ok().map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_address_is_the_hosts_word_and_not_the_callers() {
        let mut headers = HeaderMap::new();
        assert_eq!(client_address(&headers), None);
        headers.append(CLIENT_ADDRESS, "192.0.2.1:1".parse().unwrap());
        headers.append(CLIENT_ADDRESS, "[2001:db8::1]:8777".parse().unwrap());
        assert_eq!(client_address(&headers), Some("2001:db8::1".parse().unwrap()));
        headers.append(CLIENT_ADDRESS, "nobody".parse().unwrap());
        assert_eq!(client_address(&headers), None);
    }
}
