//! Headers on their way to the host.

use std::fmt::Display;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use spin_sdk::wasip3::http::types::{ErrorCode, Fields};

/// Headers about one connection, which never pass from one to the next (RFC 9110 section 7.6.1). The host refuses a whole
/// message for any of them.
const HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Removes what is about one connection only; `Host` too, which the host takes from the URI.
pub(crate) fn strip(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    headers.remove(header::HOST);
}

/// The headers as the host takes them.
pub(crate) fn fields(headers: &HeaderMap) -> Result<Fields, ErrorCode> {
    let pairs: Vec<_> =
        headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    Fields::from_list(&pairs).map_err(|error| invalid(&error))
}

/// The headers as functions expect them, as far as their names `are_wanted`.
pub(crate) fn map(fields: &Fields, are_wanted: impl Fn(&str) -> bool) -> Result<HeaderMap, ErrorCode> {
    let pairs = fields.copy_all();
    let mut headers = HeaderMap::with_capacity(pairs.len());
    for (name, value) in pairs.into_iter().filter(|(name, _)| are_wanted(name)) {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| invalid(&error))?;
        // The bytes are the header's own; nothing is copied.
        let value = HeaderValue::from_maybe_shared(Bytes::from(value)).map_err(|error| invalid(&error))?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn invalid(error: &impl Display) -> ErrorCode {
    ErrorCode::InternalError(Some(format!("a header: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_one_connection_is_stripped_and_the_rest_stays() {
        let mut headers = HeaderMap::new();
        for name in ["connection", "Keep-Alive", "transfer-encoding", "host", "upgrade", "te", "x-request-id", "date"] {
            headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), "x".parse().unwrap());
        }
        strip(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["date", "x-request-id"]);
    }
}
