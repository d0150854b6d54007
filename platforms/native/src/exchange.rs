use std::net::IpAddr;

use hyper::body::Incoming;
use platform::{ClientAddress, Request, Response};
use problem::{Dialect, Problem, kinds};
use telemetry::{RequestId, X_REQUEST_ID};

use crate::request_body::arriving;

/// Bytes of path and query; what browsers and proxies commonly allow.
const MAX_TARGET: usize = 8 * 1024;

/// The request as functions expect it: its body in the port's type, the caller's address beside it.
pub(crate) fn request(request: http::Request<Incoming>, caller: IpAddr) -> Request {
    let mut request = request.map(arriving);
    request.extensions_mut().insert(ClientAddress(caller));
    request
}

/// Whether the request line is within its limit.
pub(crate) fn target_fits<B>(request: &http::Request<B>) -> bool {
    request.uri().path_and_query().is_none_or(|target| target.as_str().len() <= MAX_TARGET)
}

/// The answer to a request line beyond the limit.
pub(crate) fn target_too_long(id: &RequestId) -> Response {
    let problem = Problem::new(kinds::TARGET_TOO_LONG).detail(format!("Path and query may have {MAX_TARGET} bytes."));
    let mut response = problem.into_response(Dialect::ProblemJson, id.as_str()).map(Into::into);
    response.headers_mut().insert(X_REQUEST_ID, id.header_value());
    response
}
