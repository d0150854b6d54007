//! A server that is measured.

use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Uri, header};

/// A server, and how it is called.
#[derive(Debug, Clone)]
pub struct Target {
    pub name: String,
    pub kind: Kind,
    pub authority: Authority,
    pub headers: HeaderMap,
    pub pid: Option<u32>,
}

/// What part a target plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The provider, called without an edge.
    Direct,
    /// A yardstick.
    Reference,
    /// What is measured.
    Edge,
}

impl Target {
    /// A server at `url`, called with `token`.
    pub fn new(name: &str, kind: Kind, url: &str, token: &str, pid: Option<u32>) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
        let authority = uri.authority().cloned().ok_or_else(|| format!("{url} is not an absolute URL"))?;
        let value =
            |text: &str| HeaderValue::try_from(text).map_err(|_| format!("{name}: the token is not a header value"));
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, value(authority.as_str())?);
        headers.insert(header::AUTHORIZATION, value(&format!("Bearer {token}"))?);
        Ok(Self { name: name.to_owned(), kind, authority, headers, pid })
    }

    /// Whether this is what is measured, not what it is compared with.
    pub fn is_edge(&self) -> bool {
        self.kind == Kind::Edge
    }

    /// Host and port, to connect to.
    pub fn address(&self) -> String {
        format!("{}:{}", self.authority.host(), self.authority.port_u16().unwrap_or(80))
    }
}
