//! For those who run the edge: `/healthz`, `/readyz`, `/problems/<slug>`, and 404 for every path that is nobody's.

mod problems;
mod ready;

use front_door::{Function, json, segments};
use http::{Method, StatusCode};
use platform::{Configuration, Context, Request, Response};
use problem::{Problem, kinds};
use serde_json::json;
use supabase::Supabase;

/// The function behind the routes above.
pub struct Ops {
    supabase: Supabase,
}

impl Ops {
    /// Ready when `supabase` is.
    pub fn new(supabase: Supabase) -> Self {
        Self { supabase }
    }
}

impl Function for Ops {
    /// The database is asked as nobody in particular: no secret is read.
    async fn read(read: &mut Configuration<'_>) -> Option<Self> {
        supabase::Config::read_public(read).await.map(|config| Self::new(Supabase::new(config)))
    }

    async fn answer(&self, request: Request, context: &Context) -> Result<Response, Problem> {
        match (segments(request.uri().path()).as_slice(), request.method()) {
            (["readyz"], &Method::GET) => Ok(ready::ready(&self.supabase, context).await),
            (["readyz"], _) => Err(Problem::method_not_allowed("GET, HEAD")),
            _ => Err(kinds::NOT_FOUND.into()),
        }
    }

    /// `/healthz` answers as long as the process does, and a problem can be looked up that the lack of configuration has
    /// caused.
    fn answer_unconfigured(request: &Request) -> Option<Result<Response, Problem>> {
        let answer = match segments(request.uri().path()).as_slice() {
            ["healthz"] => Ok(json!({"status": "ok"})),
            ["problems", slug] => problems::describe(slug),
            _ => return None,
        };
        Some(answer.and_then(|body| match *request.method() {
            Method::GET => Ok(json(StatusCode::OK, &body)),
            _ => Err(Problem::method_not_allowed("GET, HEAD")),
        }))
    }
}

#[cfg(test)]
mod tests {
    use front_door::FrontDoor;
    use platform::Body;
    use platform::fakes::Host;

    use super::*;

    fn answer(host: &Host, method: &str, path: &str) -> (u16, String) {
        let request = http::Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = host.block_on(async {
            let context = host.context();
            FrontDoor::<Ops>::load(&context).await.handle(request, &context).await
        });
        let status = response.status().as_u16();
        let body = host.block_on(response.into_body().read(10_000)).unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Without a secret key.
    fn configured() -> Host {
        Host::new()
            .variable("SUPABASE_URL", "https://project.test")
            .variable("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_x")
    }

    #[test]
    fn health_and_problems_are_told_without_a_configuration_and_the_rest_is_a_503() {
        assert_eq!(answer(&Host::new(), "GET", "/healthz"), (200, r#"{"status":"ok"}"#.into()));
        assert_eq!(answer(&Host::new(), "GET", "/problems/misconfigured").0, 200);
        assert_eq!(answer(&Host::new(), "POST", "/healthz").0, 405);
        assert_eq!(answer(&Host::new(), "GET", "/problems/unheard-of").0, 404);
        assert_eq!(answer(&Host::new(), "GET", "/readyz").0, 503);
        assert_eq!(answer(&Host::new(), "GET", "/nowhere").0, 503);
    }

    #[test]
    fn readiness_is_what_the_database_says() {
        let host = configured();
        host.http.reply_json(200, r#"{"ok":true}"#);
        assert_eq!(answer(&host, "GET", "/readyz").0, 200);
        let asked = &host.http.requests()[0];
        assert_eq!(asked.uri, "https://project.test/rest/v1/rpc/ready");
        assert_eq!(asked.headers["apikey"], "sb_publishable_x");
        host.http.reply_json(500, "{}");
        let (status, body) = answer(&host, "GET", "/readyz");
        assert_eq!(status, 503);
        assert!(body.contains(r#""status":"unreachable""#), "{body}");
    }

    #[test]
    fn what_is_nobodys_is_not_found() {
        assert_eq!(answer(&configured(), "GET", "/nowhere").0, 404);
        assert_eq!(answer(&configured(), "POST", "/readyz").0, 405);
    }
}
