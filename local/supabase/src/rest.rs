//! `/rest/v1`, as PostgREST answers it: functions, and reads of tables.

mod failure;
mod filter;
mod function;
mod schema;
mod table;
mod transaction;

use std::sync::Arc;

use http::{HeaderName, Method, header};

use crate::answer::{self, Request, Response};
use crate::gateway::{Caller, Refusal};
use crate::surface::Surface;

pub(crate) use schema::SchemaCache;

use failure::Failure;
use transaction::Identity;

/// The schemas that can be asked for, the default first; as in `supabase/config.toml`.
const EXPOSED: [&str; 2] = ["public", "api"];
/// A list is silently cut here; as in `supabase/config.toml`.
const MAX_ROWS: u64 = 1_000;
const CONTENT_PROFILE: HeaderName = HeaderName::from_static("content-profile");
/// The media type that asks for one object instead of a list.
const SINGLE_OBJECT: &str = "application/vnd.pgrst.object+json";

/// Answers `/rest/v1/<path>`.
pub(crate) async fn handle(request: &Request, path: &[&str], surface: &Arc<Surface>) -> Response {
    match answer(request, path, surface).await {
        Ok(response) => response,
        Err(Rejection::Gateway(response)) => *response,
        Err(Rejection::Failure(failure)) => failure.into_response(),
    }
}

enum Rejection {
    Gateway(Box<Response>),
    Failure(Box<Failure>),
}

impl From<Failure> for Rejection {
    fn from(failure: Failure) -> Self {
        Self::Failure(Box::new(failure))
    }
}

async fn answer(request: &Request, path: &[&str], surface: &Arc<Surface>) -> Result<Response, Rejection> {
    let caller = Caller::of(request, surface).map_err(|refusal| match refusal {
        Refusal::Key(response) => Rejection::Gateway(response),
        Refusal::Token(flaw) => Failure::token(flaw).into(),
    })?;
    let schema = exposed_schema(request)?;
    let identity = Identity::new(&caller, schema);
    let page = match path {
        ["rpc", name] => function::call(request, name, &identity, surface).await?,
        [table] if !table.is_empty() => table::read(request, table, &identity, surface).await?,
        _ => return Err(Failure::invalid_path().into()),
    };
    let mut response = page.into_response(wants_single_object(request))?;
    answer::set(&mut response, CONTENT_PROFILE, schema);
    Ok(response)
}

/// The schema that a request names: in `Accept-Profile` when it reads, in `Content-Profile` when it sends something.
fn exposed_schema(request: &Request) -> Result<&'static str, Failure> {
    let name =
        if matches!(*request.method(), Method::GET | Method::HEAD) { "accept-profile" } else { "content-profile" };
    let [default, ..] = EXPOSED;
    let Some(wanted) = answer::header(request, name) else { return Ok(default) };
    EXPOSED.into_iter().find(|schema| *schema == wanted).ok_or_else(|| Failure::unknown_schema(wanted, &EXPOSED))
}

fn wants_single_object(request: &Request) -> bool {
    answer::header(request, header::ACCEPT.as_str()).is_some_and(|accept| accept.contains(SINGLE_OBJECT))
}

fn wants_exact_count(request: &Request) -> bool {
    answer::header(request, "prefer").is_some_and(|prefer| prefer.contains("count=exact"))
}

/// A name in double quotes, as SQL wants it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposes_what_the_supabase_cli_is_told_to_expose() {
        let config = include_str!("../../../supabase/config.toml");
        assert!(config.contains(&format!("schemas = {EXPOSED:?}")));
        assert!(config.contains(&format!("max_rows = {MAX_ROWS}")));
    }

    #[test]
    fn a_quoted_name_stays_one_name() {
        assert_eq!(quoted(r#"a"; drop table b; --"#), r#""a""; drop table b; --""#);
    }
}
