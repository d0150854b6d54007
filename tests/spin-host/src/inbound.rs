use std::net::SocketAddr;

use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{HeaderName, HeaderValue, Request, Uri};

use crate::application::Destination;
use crate::routes::Match;

/// Makes a request what Spin hands to a component: its URI is absolute, and it has Spin's headers. The error says why it
/// cannot be.
pub(crate) fn prepare<B>(
    request: &mut Request<B>,
    route: &Match<'_, '_, Destination>,
    caller: SocketAddr,
) -> Result<(), &'static str> {
    let Destination { route: pattern, prefix, .. } = route.to;
    describe(request, pattern, prefix, route.path_info, caller)
}

/// The same for a request of another component, which takes no route: its path stands for one.
pub(crate) fn prepare_chained<B>(request: &mut Request<B>, caller: SocketAddr) -> Result<(), &'static str> {
    let path = request.uri().path().to_owned();
    describe(request, &path, &path, "", caller)
}

fn describe<B>(
    request: &mut Request<B>,
    route: &str,
    prefix: &str,
    path_info: &str,
    caller: SocketAddr,
) -> Result<(), &'static str> {
    let uri = absolute(request)?;
    let headers = [
        ("spin-path-info", text(path_info)),
        ("spin-full-url", text(&uri.to_string())),
        ("spin-matched-route", text(route)),
        ("spin-base-path", text("/")),
        ("spin-raw-component-route", text(route)),
        ("spin-component-route", text(prefix)),
        ("spin-client-addr", text(&caller.to_string())),
    ];
    for (name, value) in headers {
        // Behind whatever the caller has sent under this name.
        request.headers_mut().append(HeaderName::from_static(name), value?);
    }
    *request.uri_mut() = uri;
    Ok(())
}

/// The URI with the authority that the request line or `host` names; both must name the same.
fn absolute<B>(request: &Request<B>) -> Result<Uri, &'static str> {
    let host = request.headers().get(HOST).map(|host| Authority::try_from(host.as_bytes()));
    let host = host.transpose().map_err(|_| "`host` is no authority")?;
    let mut parts = request.uri().clone().into_parts();
    let authority = match (parts.authority, host) {
        (Some(authority), Some(host)) if authority != host => return Err("`host` is not the request's authority"),
        (Some(authority), _) | (None, Some(authority)) => authority,
        (None, None) => return Err("there is no `host`"),
    };
    (parts.scheme, parts.authority) = (Some(Scheme::HTTP), Some(authority));
    Uri::from_parts(parts).map_err(|_| "the request's target is no path")
}

fn text(value: &str) -> Result<HeaderValue, &'static str> {
    HeaderValue::try_from(value).map_err(|_| "the request's target is no header value")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::{Route, Routes};

    fn prepared(request: Request<()>) -> Result<Request<()>, &'static str> {
        let (mut request, mut routes) = (request, Routes::default());
        let (route, prefix) = ("/v1/...".to_owned(), "/v1".to_owned());
        let answer = crate::application::Answer::Component("one".to_owned());
        routes.add(Route::parse(&route).unwrap(), Destination { route, prefix, answer }).unwrap();
        let path = request.uri().path().to_owned();
        prepare(&mut request, &routes.find(&path).unwrap(), "10.0.0.1:80".parse().unwrap())?;
        Ok(request)
    }

    #[test]
    fn has_an_absolute_uri_and_spins_headers_behind_what_the_caller_sent() {
        let sent = Request::get("/v1/a/b/?c=d").header("host", "a:1").header("spin-client-addr", "forged");
        let mut request = prepared(sent.body(()).unwrap()).unwrap();
        let addresses: Vec<_> = request.headers().get_all("spin-client-addr").iter().collect();
        assert_eq!(addresses, ["forged", "10.0.0.1:80"]);
        request.headers_mut().remove("spin-client-addr");
        assert_eq!(request.uri(), "http://a:1/v1/a/b/?c=d");
        for (name, value) in [
            ("host", "a:1"),
            ("spin-path-info", "/a/b/"),
            ("spin-full-url", "http://a:1/v1/a/b/?c=d"),
            ("spin-matched-route", "/v1/..."),
            ("spin-base-path", "/"),
            ("spin-raw-component-route", "/v1/..."),
            ("spin-component-route", "/v1"),
        ] {
            assert_eq!(request.headers()[name], value, "{name}");
        }
    }

    #[test]
    fn refuses_a_request_whose_host_is_missing_or_ambiguous() {
        for (uri, host, fault) in
            [("/v1", "", "`host` is no authority"), ("http://a/v1", "b", "`host` is not the request's authority")]
        {
            let request = Request::get(uri).header("host", host).body(()).unwrap();
            assert_eq!(prepared(request).unwrap_err(), fault);
        }
        assert_eq!(prepared(Request::get("/v1").body(()).unwrap()).unwrap_err(), "there is no `host`");
    }
}
