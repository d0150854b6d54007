use std::time::Duration;

use http::HeaderValue;

use super::id::SessionId;

/// The prefix makes browsers take it over TLS (or from this machine) only, from this host only, and for all its paths
/// (RFC 6265bis section 4.1.3.2).
pub(crate) const NAME: &str = "__Host-qlp_session";

/// Sent with requests of pages of the same site, and when a link leads here; hidden from scripts.
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";

/// `Set-Cookie` with the session's id.
pub(super) fn of(id: &SessionId, lasts: Duration) -> HeaderValue {
    value(&id.encode(), lasts.as_secs())
}

/// `Set-Cookie` that takes it away.
pub(super) fn removal() -> HeaderValue {
    value("", 0)
}

fn value(content: &str, seconds: u64) -> HeaderValue {
    let text = format!("{NAME}={content}; {ATTRIBUTES}; Max-Age={seconds}");
    // Nothing in it is beyond ASCII.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}
