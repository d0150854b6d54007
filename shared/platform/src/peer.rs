use std::net::IpAddr;

/// The caller's address as the host saw it: a request extension set by the doorway, never read from a header that
/// callers can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);
