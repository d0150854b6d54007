use async_trait::async_trait;
use thiserror::Error;

use crate::Body;

/// A request, inbound or outbound.
pub type Request = http::Request<Body>;
/// A response, inbound or outbound.
pub type Response = http::Response<Body>;

/// Outbound HTTP. Redirects are never followed: a 3xx is an answer like any other.
///
/// It sets no deadline of its own: every call goes through [`crate::timeout`]. Dropping the future, or the body of the
/// response, cancels the exchange.
#[async_trait]
pub trait HttpClient: Send + Sync {
    /// Sends `request` (absolute URI) and returns once the response's head has arrived.
    async fn send(&self, request: Request) -> Result<Response, SendError>;
}

/// Why no response came. The text is for the log, not for callers.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SendError {
    /// No connection, or it broke before a response's head had arrived.
    #[error("no response: {0}")]
    Unreachable(String),
    /// The host refuses this destination, or the request cannot be expressed.
    #[error("the request cannot be sent: {0}")]
    Refused(String),
}

impl SendError {
    /// Whether the same request may succeed later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}
