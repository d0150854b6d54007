use std::ops::Range;

use http::Uri;

/// Where a component may send requests: `allowed_outbound_hosts`, by Spin's rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<Pattern>);

/// `scheme://host[:port]`, each of which may be `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    /// `None` is any.
    scheme: Option<String>,
    host: Host,
    ports: Range<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Any,
    /// A suffix, with the dot it starts with.
    Below(String),
    Exactly(String),
}

const ANY_PORT: Range<u32> = 0..65_536;

impl AllowedHosts {
    /// Parses every pattern; the error says what is wrong with the first that is no pattern.
    pub fn parse<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        patterns.into_iter().map(Pattern::parse).collect::<Result<_, _>>().map(Self)
    }

    /// The components of the same application that are named among them.
    pub fn neighbours(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|pattern| match &pattern.host {
            Host::Exactly(host) => neighbour(host),
            Host::Any | Host::Below(_) => None,
        })
    }

    /// Whether a request to `uri` may leave.
    pub fn allow(&self, uri: &Uri) -> bool {
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return false };
        let Some(port) = uri.port_u16().or_else(|| default_port(scheme)) else { return false };
        let host = host.to_ascii_lowercase();
        self.0.iter().any(|pattern| pattern.allows(scheme, &host, port))
    }
}

/// The component that `host` stands for within the application (service chaining): `one` for `one.spin.internal`.
pub(crate) fn neighbour(host: &str) -> Option<&str> {
    host.strip_suffix(".spin.internal").filter(|component| !component.contains('.'))
}

impl Pattern {
    fn parse(pattern: &str) -> Result<Self, String> {
        let fault = |what: &str| format!("{pattern:?} {what}");
        let (scheme, rest) =
            pattern.trim().split_once("://").ok_or_else(|| fault("has no scheme: it must be scheme://host[:port]"))?;
        if scheme.is_empty() || (scheme != "*" && !scheme.bytes().all(|byte| byte.is_ascii_alphabetic())) {
            return Err(fault("has a scheme that is neither `*` nor letters"));
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains('/') {
            return Err(fault("has a path, which no allowed host may have"));
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let ports = match port {
            Some("*") => ANY_PORT,
            Some(port) => ports(port).ok_or_else(|| fault("has a port that is neither a number, a range nor `*`"))?,
            None => match default_port(scheme) {
                Some(port) => u32::from(port)..u32::from(port) + 1,
                None => return Err(fault("needs a port: its scheme has no default")),
            },
        };
        let scheme = (scheme != "*").then(|| scheme.to_owned());
        Ok(Self { scheme, host: Host::parse(host).map_err(fault)?, ports })
    }

    fn allows(&self, scheme: &str, host: &str, port: u16) -> bool {
        self.scheme.as_deref().is_none_or(|allowed| allowed == scheme)
            && self.ports.contains(&u32::from(port))
            && match &self.host {
                Host::Any => true,
                Host::Below(suffix) => host.ends_with(suffix),
                Host::Exactly(allowed) => allowed == host,
            }
    }
}

impl Host {
    fn parse(host: &str) -> Result<Self, &'static str> {
        match host {
            "" => Err("has no host"),
            "*" => Ok(Self::Any),
            "self" | "self.alt" => Err("allows requests to the application itself, which this test host cannot send"),
            _ => match host.strip_prefix('*') {
                Some(suffix) if suffix.starts_with('.') && !suffix.contains('*') => Ok(Self::Below(suffix.to_owned())),
                _ if host.contains('*') => Err("has `*` elsewhere than as the whole host or its first label"),
                _ => Ok(Self::Exactly(host.to_owned())),
            },
        }
    }
}

/// One port, or `first..end`, where `end` is no longer part of it.
fn ports(text: &str) -> Option<Range<u32>> {
    let port = |text: &str| text.parse::<u16>().ok().map(u32::from);
    match text.split_once("..") {
        Some((first, end)) => Some(port(first)?..port(end)?),
        None => port(text).map(|port| port..port + 1),
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        "postgres" => Some(5432),
        "mysql" => Some(3306),
        "redis" => Some(6379),
        "mqtt" => Some(1883),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_by_scheme_host_and_port() {
        for (pattern, allowed, denied) in [
            (
                "https://example.com",
                "https://example.com/a https://example.com:443/ https://EXAMPLE.com/",
                "http://example.com/ https://example.com:444/ https://a.example.com/ https://example.com.evil.org/",
            ),
            ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/x", "http://127.0.0.1/ http://localhost:8000/"),
            ("http://[::1]:8000", "http://[::1]:8000/", "http://[::1]/ http://[::2]:8000/"),
            ("http://[::1]", "http://[::1]/", "http://[::1]:81/"),
            ("https://*.example.com", "https://a.example.com/ https://a.b.example.com/", "https://example.com/"),
            ("https://*", "https://example.com/", "http://example.com/ https://example.com:444/"),
            ("*://example.com:*", "http://example.com:1/ https://example.com/", "https://example.org/"),
            ("http://a:80..82", "http://a/ http://a:81/", "http://a:82/ http://a:79/"),
            ("http://a.spin.internal", "http://a.spin.internal/x", "http://b.spin.internal/ https://a.spin.internal/"),
            ("*://*:*", "http://a/ https://b:9/", "/relative"),
        ] {
            let hosts = AllowedHosts::parse([pattern]).unwrap();
            let allows = |uri: &str| hosts.allow(&uri.parse().unwrap());
            allowed.split(' ').for_each(|uri| assert!(allows(uri), "{pattern} must allow {uri}"));
            denied.split(' ').for_each(|uri| assert!(!allows(uri), "{pattern} must deny {uri}"));
        }
    }

    #[test]
    fn allows_nothing_when_nothing_is_listed() {
        assert!(!AllowedHosts::default().allow(&"http://localhost/".parse().unwrap()));
    }

    #[test]
    fn knows_which_components_it_names() {
        let hosts = ["http://a.spin.internal", "http://*.spin.internal", "http://a.b.spin.internal", "http://c"];
        assert!(AllowedHosts::parse(hosts).unwrap().neighbours().eq(["a"]));
    }

    #[test]
    fn says_what_is_wrong_with_a_pattern() {
        for (pattern, fault) in [
            ("example.com", "has no scheme: it must be scheme://host[:port]"),
            ("", "has no scheme: it must be scheme://host[:port]"),
            ("ht-tp://example.com", "has a scheme that is neither `*` nor letters"),
            ("https://example.com/v1", "has a path, which no allowed host may have"),
            ("https://", "has no host"),
            ("*://example.com", "needs a port: its scheme has no default"),
            ("https://a:b", "has a port that is neither a number, a range nor `*`"),
            ("https://a.*.com", "has `*` elsewhere than as the whole host or its first label"),
            ("http://self", "allows requests to the application itself, which this test host cannot send"),
        ] {
            assert_eq!(AllowedHosts::parse([pattern]), Err(format!("{pattern:?} {fault}")));
        }
    }
}
