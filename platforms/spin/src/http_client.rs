use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use http::header::CONTENT_LENGTH;
use http::{Method, Uri};
use platform::{Content, Request, Response, SendError};
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{self, ErrorCode, RequestOptions, Scheme};

use crate::outbound::{Offered, offer};
use crate::{head, inbound};

/// Outbound HTTP, as far as the manifest allows the destination.
pub(crate) struct HttpClient;

/// Until there is a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Until the response's head, and between two chunks. Every call has a deadline of its own; this is longer than the
/// longest that can be configured, where the host would otherwise give up after ten minutes.
const LONGEST: Duration = Duration::from_hours(2);

#[async_trait]
impl platform::HttpClient for HttpClient {
    async fn send(&self, request: Request) -> Result<Response, SendError> {
        let method = request.method().clone();
        let request = outgoing(request)?;
        let response = client::send(request).await.map_err(failed)?;
        inbound::response(response, &method).map_err(failed)
    }
}

fn outgoing(request: Request) -> Result<types::Request, SendError> {
    let (mut parts, body) = request.into_parts();
    let scheme = scheme(&parts.uri)?;
    let content = body.into_content();
    head::strip(&mut parts.headers);
    if let Content::Bytes(bytes) = &content {
        let silent = bytes.is_empty() && matches!(parts.method, Method::GET | Method::HEAD);
        if silent {
            parts.headers.remove(CONTENT_LENGTH)
        } else {
            parts.headers.insert(CONTENT_LENGTH, bytes.len().into())
        };
    }
    let fields = head::fields(&parts.headers).map_err(failed)?;
    let Offered { contents, end } = offer(content);
    // The second value would tell how the response's body was read, which we know.
    let (request, _) = types::Request::new(fields, contents, end, Some(options()));
    let refused = |what: &str| SendError::Refused(format!("the {what} cannot be expressed"));
    request.set_method(&parts.method.into()).map_err(|()| refused("method"))?;
    request.set_scheme(Some(&scheme)).map_err(|()| refused("scheme"))?;
    request
        .set_authority(parts.uri.authority().map(http::uri::Authority::as_str))
        .map_err(|()| refused("authority"))?;
    let target = parts.uri.path_and_query().map(http::uri::PathAndQuery::as_str);
    request.set_path_with_query(target).map_err(|()| refused("path"))?;
    Ok(request)
}

fn scheme(uri: &Uri) -> Result<Scheme, SendError> {
    match uri.scheme_str() {
        Some("http") => Ok(Scheme::Http),
        Some("https") => Ok(Scheme::Https),
        _ => Err(SendError::Refused("the URI must be absolute, http or https".into())),
    }
}

/// The timeouts of every request: made once, since setting them takes more calls of the host than a copy.
fn options() -> RequestOptions {
    static OPTIONS: OnceLock<RequestOptions> = OnceLock::new();
    OPTIONS.get_or_init(timeouts).clone()
}

fn timeouts() -> RequestOptions {
    let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).ok();
    let options = RequestOptions::new();
    // They fail where a host knows no timeouts; then the callers' own deadlines remain.
    let _ = options.set_connect_timeout(nanoseconds(CONNECT));
    let _ = options.set_first_byte_timeout(nanoseconds(LONGEST));
    let _ = options.set_between_bytes_timeout(nanoseconds(LONGEST));
    options
}

#[allow(clippy::needless_pass_by_value)] // as `map_err` passes it
fn failed(error: ErrorCode) -> SendError {
    let reason = error.to_string();
    match error {
        ErrorCode::HttpRequestDenied
        | ErrorCode::DestinationIpProhibited
        | ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestUriTooLong
        | ErrorCode::HttpRequestHeaderSectionSize(_)
        | ErrorCode::HttpRequestHeaderSize(_)
        | ErrorCode::HttpRequestBodySize(_)
        | ErrorCode::ConfigurationError => SendError::Refused(reason),
        _ => SendError::Unreachable(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_manifest_forbids_is_refused_for_good_and_what_is_away_may_come_back() {
        assert!(!failed(ErrorCode::HttpRequestDenied).is_temporary());
        assert!(failed(ErrorCode::ConnectionRefused).is_temporary());
        assert!(failed(ErrorCode::InternalError(None)).is_temporary());
    }

    #[test]
    fn only_absolute_http_uris_are_sent() {
        for uri in ["/relative", "ftp://host/x", "redis://host"] {
            assert!(scheme(&uri.parse().unwrap()).is_err_and(|error| !error.is_temporary()), "{uri}");
        }
        assert!(scheme(&"https://host/x".parse().unwrap()).is_ok());
    }
}
