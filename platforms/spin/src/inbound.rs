//! What comes in: requests, and the answers to outbound requests.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use futures_util::stream::unfold;
use http::header::{CONTENT_LENGTH, HeaderMap};
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri};
use platform::{Body, BodyError, ClientAddress, Request, Response};
use spin_sdk::wasip3::http::types::{self, ErrorCode, Trailers};
use spin_sdk::wasip3::http_compat::IncomingMessage;
use spin_sdk::wasip3::wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult};
use spin_sdk::wasip3::wit_future;

use crate::head;

/// The caller's address and port. Spin adds it behind whatever the caller has sent under this name.
const CLIENT_ADDRESS: &str = "spin-client-addr";
/// What Spin tells of the route in the same way concerns no function.
const SPIN: &str = "spin-";

/// How much of a body is read at a time, in bytes.
const CHUNK: usize = 16 * 1024;

/// The body of a request or response of the host. Nothing is asked of the host before somebody reads.
enum Arriving<T> {
    Unread { message: T, length: Option<u64> },
    Reading(Reading),
    Read,
}

struct Reading {
    contents: StreamReader<u8>,
    /// Tells whether the contents were complete.
    end: FutureReader<Result<Option<Trailers>, ErrorCode>>,
    /// How much is still to come, if the length is known.
    left: Option<u64>,
    /// Would tell how the reading went, which nobody asks. To drop it is to say that it went well.
    _outcome: FutureWriter<Result<(), ErrorCode>>,
}

/// A request as functions expect it, with the caller's address beside it. Its URI is path and query; what else the host
/// knows, no function asks, and each question costs.
pub(crate) fn request(request: types::Request) -> Result<Request, ErrorCode> {
    let method = Method::try_from(request.get_method()).map_err(|_| ErrorCode::HttpRequestMethodInvalid)?;
    let target = request.get_path_with_query().unwrap_or_else(|| "/".to_owned());
    let target = PathAndQuery::from_maybe_shared(target).map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
    let headers = head::map(&request.get_headers(), |name| name == CLIENT_ADDRESS || !name.starts_with(SPIN))?;
    let length = length(&headers);
    let none = match length {
        Some(length) => length == 0,
        None => matches!(method, Method::GET | Method::HEAD),
    };
    let address = client_address(&headers);
    let mut made = Request::new(if none { Body::empty() } else { arriving(request, length) });
    *made.method_mut() = method;
    *made.uri_mut() = Uri::from(target);
    *made.headers_mut() = headers;
    if let Some(address) = address {
        made.extensions_mut().insert(ClientAddress(address));
    }
    Ok(made)
}

/// The answer to a request with `method`.
pub(crate) fn response(response: types::Response, method: &Method) -> Result<Response, ErrorCode> {
    let status = StatusCode::from_u16(response.get_status_code()).map_err(|_| ErrorCode::HttpProtocolError)?;
    let mut headers = head::map(&response.get_headers(), |_| true)?;
    let length = length(&headers);
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) || *method == Method::HEAD;
    head::strip(&mut headers);
    let mut made =
        Response::new(if bodiless || length == Some(0) { Body::empty() } else { arriving(response, length) });
    *made.status_mut() = status;
    *made.headers_mut() = headers;
    Ok(made)
}

fn arriving<T: IncomingMessage + Send + 'static>(message: T, length: Option<u64>) -> Body {
    Body::from_stream(unfold(Arriving::Unread { message, length }, Arriving::next))
}

impl<T: IncomingMessage> Arriving<T> {
    async fn next(self) -> Option<(Result<Bytes, BodyError>, Self)> {
        let mut reading = match self {
            Self::Unread { message, length } => Reading::of(message, length),
            Self::Reading(reading) => reading,
            Self::Read => return None,
        };
        match reading.chunk().await {
            Some(chunk) if reading.left == Some(0) => Some((Ok(chunk), Self::Read)),
            Some(chunk) => Some((Ok(chunk), Self::Reading(reading))),
            None => match reading.end.await {
                Ok(_) => None, // trailers: no function reads them
                Err(error) => Some((Err(BodyError::Interrupted(error.to_string())), Self::Read)),
            },
        }
    }
}

impl Reading {
    fn of(message: impl IncomingMessage, left: Option<u64>) -> Self {
        let (outcome, told) = wit_future::new(|| Ok(()));
        let (contents, end) = message.consume_body(told);
        Self { contents, end, left, _outcome: outcome }
    }

    /// The next chunk. After the last byte of a known length nothing is read: to hear of its end would take the host
    /// another turn.
    async fn chunk(&mut self) -> Option<Bytes> {
        let room = self.left.and_then(|left| usize::try_from(left).ok()).map_or(CHUNK, |left| left.min(CHUNK));
        let (result, chunk) = self.contents.read(Vec::with_capacity(room)).await;
        if !matches!(result, StreamResult::Complete(_)) {
            return None;
        }
        self.left = self.left.map(|left| left.saturating_sub(chunk.len() as u64));
        Some(chunk.into())
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
