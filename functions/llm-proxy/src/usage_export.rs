//! `GET /v1/usage/export?from&to&after`

use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use platform::{Body, BodyError, Context};
use problem::Problem;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use supabase::{EXPORT_USAGE, Identity, Supabase};
use uuid::Uuid;

use crate::csv;
use crate::usage_query::Query;

/// Asks for one page after the other, as the user.
struct Pages {
    supabase: Supabase,
    user_token: SecretString,
    context: Context,
    query: Query,
}

#[derive(Deserialize)]
struct Page {
    columns: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
    next_after: Option<Uuid>,
}

/// What an export has still to send.
enum Rest {
    Head(Page),
    After(Uuid),
    Nothing,
}

/// The calls that the caller may see, the oldest first, as CSV with a line of names. One page of the database is in memory
/// at a time. The first is there before the answer begins, so that a refusal is one; an export that fails later is cut off,
/// and can be resumed after the last call that came.
pub(crate) async fn export(
    supabase: &Supabase,
    query: &str,
    user_token: &SecretString,
    context: &Context,
) -> Result<platform::Response, Problem> {
    let mut query = Query::parse(query, &["from", "to", "after"])?;
    // Every page is of the same time.
    query.to.get_or_insert_with(|| context.clock.now().to_string());
    let pages = Pages { supabase: supabase.clone(), user_token: user_token.clone(), context: context.clone(), query };
    let first = pages.page(pages.query.after).await?;
    let lines = stream::try_unfold((pages, Rest::Head(first)), |(pages, rest)| async move {
        let (page, is_head) = match rest {
            Rest::Head(page) => (page, true),
            Rest::After(id) => {
                let page = pages.page(Some(id)).await;
                (page.map_err(|problem| BodyError::Interrupted(problem.message()))?, false)
            }
            Rest::Nothing => return Ok(None),
        };
        let rest = page.next_after.map_or(Rest::Nothing, Rest::After);
        Ok(Some((page.lines(is_head), (pages, rest))))
    });
    let mut response = http::Response::new(Body::from_stream(lines));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"usage.csv\""));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

impl Pages {
    async fn page(&self, after: Option<Uuid>) -> Result<Page, Problem> {
        let payload = json!({"from": self.query.from, "to": self.query.to, "after": after});
        let user = Identity::User(&self.user_token);
        Ok(self.supabase.rpc(&self.context, EXPORT_USAGE, &payload, user).await?)
    }
}

impl Page {
    fn lines(&self, with_names: bool) -> Bytes {
        let mut text = String::new();
        if with_names {
            csv::push(&mut text, self.columns.iter().map(|name| Some(name.as_str())));
        }
        for row in &self.rows {
            csv::push(&mut text, row.iter().map(Option::as_deref));
        }
        text.into()
    }
}
