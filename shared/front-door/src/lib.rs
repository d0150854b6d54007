//! What every request passes on its way in and out, whatever stands behind: it is named, a preflight is answered, and
//! whatever goes wrong becomes a problem document, once.
//!
//! A [`Function`] stands behind a [`FrontDoor`]: all of them together where one module serves everything, a single one
//! in a component of its own.

mod answer;
mod cors;
mod dialect;
mod function;

pub use answer::{json, uncached_json};
pub use function::{Function, segments};

use http::Method;
use http::header::{HeaderMap, HeaderValue, ORIGIN, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS};
use http::uri::Scheme;
use platform::{Body, Configuration, ConfigurationError, Context, Request, Response, Variables};
use problem::{Problem, kinds};
use telemetry::{RequestId, TraceContext, X_REQUEST_ID};
use tracing::Instrument as _;

use crate::cors::Cors;

/// A year, for this host (RFC 6797 section 6.1). Sent only over TLS, as its section 7.2 asks for.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// The door in front of `F`, loaded once per instance.
pub struct FrontDoor<F> {
    /// `None` while the configuration has faults, which the log names.
    behind: Option<F>,
    cors: Cors,
}

impl<F: Function> FrontDoor<F> {
    /// Reads the configuration. Its faults are logged together; until they are mended, all that needs it is answered
    /// with 503.
    pub async fn load(context: &Context) -> Self {
        match read(&*context.variables).await {
            Ok((function, cors)) => Self { behind: Some(function), cors },
            Err(error) => {
                tracing::error!(%error, "the edge is not configured");
                Self { behind: None, cors: Cors::none() }
            }
        }
    }

    /// What stands behind, unless the configuration has faults.
    pub fn behind(&self) -> Option<&F> {
        self.behind.as_ref()
    }

    /// Answers `request`; whatever goes wrong becomes a problem document here.
    pub async fn handle(&self, mut request: Request, context: &Context) -> Response {
        let id = RequestId::accept(request.headers(), context);
        let trace = TraceContext::accept(request.headers(), &*context.entropy);
        let span = tracing::error_span!("request", request_id = %id, trace_id = %trace.trace_id());
        request.extensions_mut().insert(id.clone());
        request.extensions_mut().insert(trace);
        self.answer(request, &id, context).instrument(span).await
    }

    async fn answer(&self, mut request: Request, id: &RequestId, context: &Context) -> Response {
        let origin = request.headers().get(ORIGIN).cloned();
        let secure = request.uri().scheme() == Some(&Scheme::HTTPS);
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        if method == Method::HEAD {
            *request.method_mut() = Method::GET; // the host sends the head of the answer and not its body
        }
        let mut response = match self.cors.preflight(&method, request.headers()) {
            Some(preflight) => preflight,
            None => self.dispatch(request, context).await.unwrap_or_else(|problem| render(problem, &path, id)),
        };
        tracing::debug!(http.request.method = %method, url.path = path, http.response.status_code = response.status().as_u16());
        self.finish(response.headers_mut(), id, origin.as_ref());
        if secure {
            response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, HSTS);
        }
        response
    }

    async fn dispatch(&self, request: Request, context: &Context) -> Result<Response, Problem> {
        if let Some(answer) = F::answer_unconfigured(&request) {
            return answer;
        }
        let function = self.behind.as_ref().ok_or(kinds::MISCONFIGURED)?;
        function.answer(request, context).await
    }

    /// The headers that every answer carries. No answer is a page, so that those about framing and scripts would say
    /// nothing: what is no page must not be taken for one.
    fn finish(&self, headers: &mut HeaderMap, id: &RequestId, origin: Option<&HeaderValue>) {
        headers.insert(X_REQUEST_ID, id.header_value());
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        self.cors.apply(origin, headers);
    }
}

/// Reads everything before it reports, so that an operator mends all faults at once.
async fn read<F: Function>(variables: &dyn Variables) -> Result<(F, Cors), ConfigurationError> {
    let mut read = Configuration::of(variables);
    let function = F::read(&mut read).await;
    let cors = Cors::read(&mut read).await;
    read.finish(|| Some((function?, cors?)))
}

/// The one place where a problem becomes an answer. What failed on our side has been logged where it was understood.
fn render(problem: Problem, path: &str, id: &RequestId) -> Response {
    if problem.kind().status >= 500 {
        tracing::warn!(problem = problem.kind().slug, url.path = path, "answered with a server error");
    }
    problem.into_response(dialect::of(path), id.as_str()).map(Body::from)
}

#[cfg(test)]
mod tests {
    use platform::fakes::Host;

    use super::*;

    /// Answers with the value of `GREETING`, and `/always` without it.
    struct Greeter(String);

    impl Function for Greeter {
        async fn read(read: &mut Configuration<'_>) -> Option<Self> {
            read.required("GREETING").await.map(Self)
        }

        async fn answer(&self, request: Request, _: &Context) -> Result<Response, Problem> {
            match segments(request.uri().path()).as_slice() {
                ["greeting"] => Ok(Response::new(self.0.clone().into())),
                _ => Err(kinds::NOT_FOUND.into()),
            }
        }

        fn answer_unconfigured(request: &Request) -> Option<Result<Response, Problem>> {
            (request.uri().path() == "/always").then(|| Ok(Response::new("here".into())))
        }
    }

    fn answer(host: &Host, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, String) {
        let mut request = http::Request::builder().method(method).uri(format!("https://edge.test{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = host.block_on(async {
            let context = host.context();
            FrontDoor::<Greeter>::load(&context).await.handle(request, &context).await
        });
        let (parts, body) = response.into_parts();
        let body = host.block_on(body.read(10_000)).unwrap();
        (parts.status.as_u16(), parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    fn greeter() -> Host {
        Host::new().variable("GREETING", "hello").variable("ALLOWED_ORIGINS", "https://app.test")
    }

    #[test]
    fn an_answer_carries_the_callers_request_id_and_what_browsers_need() {
        let sent = [("x-request-id", "r-1"), ("origin", "https://app.test")];
        let (status, headers, body) = answer(&greeter(), "GET", "/greeting", &sent);
        assert_eq!((status, body.as_str()), (200, "hello"));
        assert_eq!(
            (&headers["x-request-id"], &headers["x-content-type-options"]),
            (&"r-1".parse().unwrap(), &"nosniff".parse().unwrap())
        );
        assert_eq!(headers["access-control-allow-origin"], "https://app.test");
        assert_eq!(headers["strict-transport-security"], "max-age=31536000");
    }

    #[test]
    fn an_answer_without_tls_does_not_ask_for_it() {
        let host = greeter();
        let request = http::Request::get("http://127.0.0.1:8787/greeting").body(Body::empty()).unwrap();
        let response = host.block_on(async {
            let context = host.context();
            FrontDoor::<Greeter>::load(&context).await.handle(request, &context).await
        });
        assert!(!response.headers().contains_key("strict-transport-security"));
    }

    #[test]
    fn a_problem_is_rendered_in_the_dialect_of_its_path() {
        let (status, headers, body) = answer(&greeter(), "GET", "/nothing", &[("x-request-id", "r-1")]);
        assert_eq!((status, &headers["content-type"]), (404, &"application/problem+json".parse().unwrap()));
        assert!(body.contains(r#""request_id":"r-1""#), "{body}");
        let (status, _, body) = answer(&greeter(), "GET", "/v1/models", &[]);
        assert_eq!(status, 404);
        assert!(body.starts_with(r#"{"error":"#), "{body}");
    }

    #[test]
    fn a_preflight_never_reaches_the_function() {
        let sent = [("origin", "https://app.test"), ("access-control-request-method", "POST")];
        let (status, headers, _) = answer(&greeter(), "OPTIONS", "/nothing", &sent);
        assert_eq!((status, headers.contains_key("access-control-allow-methods")), (204, true));
    }

    #[test]
    fn head_is_answered_like_get() {
        assert_eq!(answer(&greeter(), "HEAD", "/greeting", &[]).2, "hello");
    }

    #[test]
    fn until_the_configuration_is_mended_everything_that_needs_it_is_a_503() {
        for host in [Host::new(), greeter().variable("ALLOWED_ORIGINS", "*")] {
            assert_eq!(answer(&host, "GET", "/greeting", &[]).0, 503);
            assert_eq!(answer(&host, "GET", "/nothing", &[]).0, 503);
            assert_eq!(answer(&host, "GET", "/always", &[]).0, 200);
        }
    }

    #[test]
    fn handling_a_request_can_move_between_threads() {
        fn assert_send<T: Send>(_: &T) {}
        fn handling<'a>(door: &'a FrontDoor<Greeter>, context: &'a Context) {
            assert_send(&door.handle(Request::default(), context));
        }
        let _ = handling;
    }
}
