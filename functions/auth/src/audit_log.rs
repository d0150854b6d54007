use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use platform::{Body, BodyError, Request, Response, Timestamp};
use problem::{Problem, kinds};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use supabase::{EXPORT_AUDIT, LIST_AUDIT};
use url::form_urlencoded;
use uuid::Uuid;

use crate::answer;
use crate::user::{Places, User};

/// The most entries of a page: as many as are read of Supabase at a time when all of them are large.
const MAX_PAGE: u64 = 100;
/// Database functions speak of `seq` as at most this.
const MAX_SEQ: u64 = 999_999_999_999_999;
const PLACES: Places = &[("org_id", "org")];

/// A page of the log; the entries pass as they are.
#[derive(Deserialize, Serialize)]
struct Page {
    #[serde(rename(deserialize = "events"))]
    data: Box<RawValue>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct ExportedPage {
    entries: Vec<Box<RawValue>>,
    next_after: Option<u64>,
}

/// What an export has still to send.
enum Rest {
    Page(ExportedPage),
    After(u64),
    Nothing,
}

/// Answers a request to `/auth/audit/<path…>`.
pub async fn handle(user: &User, path: &[&str], request: Request) -> Result<Response, Problem> {
    let query = request.uri().query().unwrap_or_default();
    match (path, request.method()) {
        ([], &Method::GET) => page(user, query).await,
        (["export"], &Method::GET) => export(user, query).await,
        _ => Err(kinds::NOT_FOUND.into()),
    }
}

async fn page(user: &User, query: &str) -> Result<Response, Problem> {
    let payload = parse(query, &["org", "action", "actor", "from", "to", "cursor", "limit"])?;
    let page: Page = user.call(LIST_AUDIT, &payload.into(), PLACES).await?;
    answer(StatusCode::OK, &page)
}

/// The log as JSON Lines, the oldest entry first: each line has the text that was hashed, byte for byte, with both hashes.
/// One page of the database is in memory at a time. The first is there before the answer begins, so that a refusal is one.
async fn export(user: &User, query: &str) -> Result<Response, Problem> {
    let payload = parse(query, &["org", "after"])?;
    let first = next_page(user, &payload).await?;
    let rest = if first.entries.is_empty() { Rest::Nothing } else { Rest::Page(first) };
    let pages = stream::try_unfold((user.clone(), payload, rest), |(user, mut payload, rest)| async move {
        let page = match rest {
            Rest::Page(page) => page,
            Rest::After(seq) => {
                payload.insert("after_seq".into(), seq.into());
                let page = next_page(&user, &payload).await;
                page.map_err(|problem| BodyError::Interrupted(problem.message()))?
            }
            Rest::Nothing => return Ok(None),
        };
        let rest = page.next_after.map_or(Rest::Nothing, Rest::After);
        Ok(Some((lines(&page.entries), (user, payload, rest))))
    });
    let mut response = Response::new(Body::from_stream(pages));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn next_page(user: &User, payload: &Map<String, Value>) -> Result<ExportedPage, Problem> {
    user.call(EXPORT_AUDIT, &Value::Object(payload.clone()), PLACES).await
}

fn lines(entries: &[Box<RawValue>]) -> Bytes {
    let mut text = String::new();
    for entry in entries {
        text.push_str(entry.get());
        text.push('\n');
    }
    text.into()
}

/// The arguments of the database function that a query names, of which each is known and there once.
fn parse(query: &str, known: &[&str]) -> Result<Map<String, Value>, Problem> {
    let mut arguments = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if !known.contains(&&*name) {
            let name: String = name.chars().take(100).collect();
            let known = known.iter().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ");
            return Err(invalid(&name, &format!("There is no such parameter: use {known}.")));
        }
        let (argument, value) = argument(&name, &value)?;
        if arguments.insert(argument.into(), value).is_some() {
            return Err(invalid(&name, "The parameter is there twice: send it once."));
        }
    }
    Ok(arguments)
}

/// The argument that a parameter stands for.
fn argument(name: &str, value: &str) -> Result<(&'static str, Value), Problem> {
    Ok(match name {
        "org" => ("org_id", uuid(name, value)?),
        "actor" => ("actor_id", uuid(name, value)?),
        "from" => ("from", time(name, value)?),
        "to" => ("to", time(name, value)?),
        "cursor" => ("cursor", whole(name, value, 1, MAX_SEQ)?),
        "after" => ("after_seq", whole(name, value, 0, MAX_SEQ)?),
        "limit" => ("limit", whole(name, value, 1, MAX_PAGE)?),
        _ => ("action", action(name, value)?),
    })
}

fn uuid(name: &str, value: &str) -> Result<Value, Problem> {
    let parsed: Result<Uuid, _> = value.parse();
    parsed.map(|id| json!(id)).map_err(|_| invalid(name, &format!("`{name}` must be a UUID.")))
}

/// RFC 3339, or a date, which stands for its beginning in UTC.
fn time(name: &str, value: &str) -> Result<Value, Problem> {
    // In a query an unencoded `+` of an offset has become a space.
    let value = value.replace(' ', "+");
    let is_date = value.len() == "2026-11-21".len();
    let time: Result<Timestamp, _> = if is_date { format!("{value}T00:00:00Z").parse() } else { value.parse() };
    let rule = || invalid(name, &format!("`{name}` must be like 2026-11-21 or 2026-11-21T00:00:00Z."));
    time.map(|time| json!(time)).map_err(|_| rule())
}

fn whole(name: &str, value: &str, lowest: u64, highest: u64) -> Result<Value, Problem> {
    let parsed = value.parse().ok().filter(|number| (lowest..=highest).contains(number));
    let rule = || invalid(name, &format!("`{name}` must be a number from {lowest} to {highest}."));
    parsed.map(|number: u64| json!(number)).ok_or_else(rule)
}

/// Words as the log has them, such as `session.failed`.
fn action(name: &str, value: &str) -> Result<Value, Problem> {
    let is_word = !value.is_empty()
        && value.len() <= 100
        && value.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'.' || byte == b'_');
    if is_word { Ok(json!(value)) } else { Err(invalid(name, "`action` must be like `session.failed`.")) }
}

fn invalid(parameter: &str, detail: &str) -> Problem {
    Problem::new(kinds::INVALID_REQUEST).at(parameter, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: [&str; 7] = ["org", "action", "actor", "from", "to", "cursor", "limit"];

    #[test]
    fn each_parameter_becomes_an_argument() {
        let query = "org=00000000-0000-4000-8000-00000000000A&actor=00000000-0000-4000-8000-000000000001\
                     &action=session.failed&from=2026-11-01&to=2026-11-02T01:00:00+01:00&cursor=7&limit=100";
        assert_eq!(
            Value::Object(parse(query, &LIST).unwrap()),
            json!({
                "org_id": "00000000-0000-4000-8000-00000000000a",
                "actor_id": "00000000-0000-4000-8000-000000000001",
                "action": "session.failed",
                "from": "2026-11-01T00:00:00Z",
                "to": "2026-11-02T00:00:00Z",
                "cursor": 7,
                "limit": 100,
            })
        );
        assert_eq!(parse("", &LIST).unwrap(), Map::new());
    }

    #[test]
    fn what_is_wrong_is_told_by_its_name() {
        for (query, name) in [
            ("org=mine", "org"),
            ("actor=", "actor"),
            ("from=yesterday", "from"),
            ("to=2026-13-01", "to"),
            ("cursor=0", "cursor"),
            ("cursor=-1", "cursor"),
            ("limit=101", "limit"),
            ("action=DROP", "action"),
            ("limit=1&limit=2", "limit"),
            ("after=1", "after"),
            ("page=1", "page"),
        ] {
            let body = parse(query, &LIST).unwrap_err().openai_body();
            assert!(body.contains(&format!(r#""param":"{name}""#)), "{query}: {body}");
        }
    }

    #[test]
    fn the_exact_text_of_an_entry_passes_through() {
        let page = r#"{"entries": [{"seq": 1, "entry": "{\"a\": \"\\u00e9 é\"}", "hash": "00"}], "next_after": null}"#;
        let page: ExportedPage = serde_json::from_str(page).unwrap();
        assert_eq!(
            lines(&page.entries),
            "{\"seq\": 1, \"entry\": \"{\\\"a\\\": \\\"\\\\u00e9 é\\\"}\", \"hash\": \"00\"}\n"
        );
    }
}
