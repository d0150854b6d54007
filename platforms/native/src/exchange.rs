use std::net::IpAddr;

use hyper::body::Incoming;
use platform::{ClientAddress, Request};

use crate::http_client::inbound;

/// The request as functions expect it: its body in the port's type, the caller's address beside it.
pub(crate) fn request(request: http::Request<Incoming>, caller: IpAddr) -> Request {
    let mut request = request.map(inbound);
    request.extensions_mut().insert(ClientAddress(caller));
    request
}
