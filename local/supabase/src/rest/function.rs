//! `/rest/v1/rpc/<function>`: arguments by name from a JSON object, or a whole body as the only argument.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Method, header};
use serde_json::value::RawValue;

use super::failure::Failure;
use super::schema::{Argument, Function};
use super::transaction::{Identity, Page, Statement};
use super::{MAX_ROWS, quoted, wants_exact_count, wants_single_object};
use crate::answer::{self, Request};
use crate::surface::Surface;

/// Calls the function `name`.
pub(super) async fn call(
    request: &Request,
    name: &str,
    identity: &Identity,
    surface: &Arc<Surface>,
) -> Result<Page, Failure> {
    let (function, arguments) = match *request.method() {
        Method::POST => from_body(request, name, identity, surface).await?,
        Method::GET | Method::HEAD => from_query(request, name, identity, surface).await?,
        ref other => {
            let message = format!("Cannot use the {other} method on RPC");
            return Err(Failure::method("PGRST101", message));
        }
    };
    let reads_only = !function.is_volatile || request.method() != Method::POST;
    let (invocation, parameters) = invocation(&function, arguments);
    let sql = result(&function, &invocation, wants_single_object(request), wants_exact_count(request));
    let statement = Statement { sql, parameters, reads_only, timeout: function.timeout };
    identity.run(statement, surface).await
}

/// The value of an argument, and how it was written.
enum Given {
    Json(Box<RawValue>),
    Text(String),
}

type Call = (Function, Vec<(Argument, Given)>);

async fn from_body(
    request: &Request,
    name: &str,
    identity: &Identity,
    surface: &Arc<Surface>,
) -> Result<Call, Failure> {
    if let Some(other) = answer::header(request, header::CONTENT_TYPE.as_str()).filter(|found| !is_json(found)) {
        return Err(Failure::body(format!("Content-Type not acceptable: {other}")));
    }
    if request.uri().query().is_some_and(|query| !query.is_empty()) {
        return Err(Failure::query("a filter on the result of a function"));
    }
    let invalid = |_| Failure::body("Empty or invalid json");
    let body: &[u8] = if request.body().is_empty() { b"{}" } else { request.body() };
    let body: Box<RawValue> = serde_json::from_slice(body).map_err(invalid)?;
    let object: Option<BTreeMap<String, Box<RawValue>>> = serde_json::from_str(body.get()).ok();
    let names: Option<Vec<&str>> = object.as_ref().map(|object| object.keys().map(String::as_str).collect());
    match (find(name, names.as_deref(), identity, surface).await?, object) {
        (Found::ByName(function), Some(object)) => {
            let given = object.into_iter().filter_map(|(name, value)| {
                let argument = function.argument(&name)?.clone();
                Some((argument, Given::Json(value)))
            });
            let given = given.collect();
            Ok((function, given))
        }
        (Found::ByName(function), None) => Ok((function, Vec::new())),
        (Found::OfBody(function), _) => {
            let given =
                function.arguments.iter().cloned().map(|argument| (argument, Given::Json(body.clone()))).collect();
            Ok((function, given))
        }
    }
}

async fn from_query(
    request: &Request,
    name: &str,
    identity: &Identity,
    surface: &Arc<Surface>,
) -> Result<Call, Failure> {
    let given = answer::query(request);
    let names: Vec<&str> = given.iter().map(|(name, _)| name.as_str()).collect();
    match find(name, Some(&names), identity, surface).await? {
        Found::ByName(function) => {
            let given = given
                .iter()
                .filter_map(|(name, value)| Some((function.argument(name)?.clone(), Given::Text(value.clone()))))
                .collect();
            Ok((function, given))
        }
        Found::OfBody(_) => Err(Failure::unknown_function(identity.schema, name, &names)),
    }
}

enum Found {
    ByName(Function),
    OfBody(Function),
}

/// The function that takes arguments of these names; `None` stands for a body that is no object.
async fn find(
    name: &str,
    arguments: Option<&[&str]>,
    identity: &Identity,
    surface: &Arc<Surface>,
) -> Result<Found, Failure> {
    let schema = identity.schema;
    let found = surface.schema.find(&surface.rest, |known| {
        let mut by_name = arguments.map(|names| known.functions(schema, name, names)).unwrap_or_default();
        match (by_name.len(), by_name.pop()) {
            (1, Some(function)) => Some(Ok(Found::ByName(function))),
            (0, _) => known.function_of_body(schema, name).map(|function| Ok(Found::OfBody(function))),
            _ => Some(Err(Failure::ambiguous_function(name))),
        }
    });
    found.await.unwrap_or_else(|| Err(Failure::unknown_function(schema, name, arguments.unwrap_or_default())))
}

/// `"schema"."function"(…)` with its parameters.
fn invocation(function: &Function, given: Vec<(Argument, Given)>) -> (String, Vec<Option<String>>) {
    let mut parameters = Vec::with_capacity(given.len());
    let arguments: Vec<String> = given
        .into_iter()
        .map(|(argument, given)| {
            let (value, text) = expression(&argument, given, parameters.len() + 1);
            parameters.push(text);
            if argument.name.is_empty() { value } else { format!("{} := {value}", quoted(&argument.name)) }
        })
        .collect();
    (format!("{}.{}({})", quoted(&function.schema), quoted(&function.name), arguments.join(", ")), parameters)
}

/// The SQL for parameter `$n`, and the parameter's text.
fn expression(argument: &Argument, given: Given, n: usize) -> (String, Option<String>) {
    let kind = &argument.kind;
    let json = match given {
        Given::Text(text) => return (format!("${n}::text::{kind}"), Some(text)),
        Given::Json(json) => json,
    };
    if argument.is_json() {
        return (format!("${n}::text::{kind}"), Some(json.get().into()));
    }
    match json.get().as_bytes().first() {
        Some(b'n') => (format!("${n}::text::{kind}"), None),
        Some(b'"') => {
            let text = serde_json::from_str(json.get()).unwrap_or_default();
            (format!("${n}::text::{kind}"), Some(text))
        }
        // Arrays and composite values: PostgreSQL knows how JSON becomes one.
        Some(b'[' | b'{') => {
            let record =
                format!("json_to_record(json_build_object('value', ${n}::text::json)) as given (value {kind})");
            (format!("(select value from {record})"), Some(json.get().into()))
        }
        _ => (format!("${n}::text::{kind}"), Some(json.get().into())),
    }
}

/// The statement that calls and turns the result into JSON.
fn result(function: &Function, invocation: &str, single: bool, count: bool) -> String {
    const NO_ROWS: &str = "null::bigint, null::bigint";
    if !function.returns_set && !function.returns_rows {
        return match function.returns.as_str() {
            // A statement that calls it and gives no body.
            "void" => format!("select null::text, {NO_ROWS} from (select {invocation}) as called"),
            "json" | "jsonb" => format!("select coalesce({invocation}::text, 'null'), {NO_ROWS}"),
            _ => format!("select coalesce(to_json({invocation})::text, 'null'), {NO_ROWS}"),
        };
    }
    if !function.returns_set {
        return format!("select row_to_json(called)::text, {NO_ROWS} from {invocation} as called");
    }
    let (columns, value) =
        if function.returns_rows { ("called", "called.*") } else { ("called (value)", "called.value") };
    let list = if function.returns_rows { "json_agg(page)" } else { "json_agg(page.value)" };
    let list = if single { format!("({list} -> 0)::text") } else { format!("coalesce({list}, '[]')::text") };
    let total = if count { "max(page_total.total)" } else { "null::bigint" };
    let counted =
        if count { format!(", (select count(*) as total from {invocation}) page_total") } else { String::new() };
    format!(
        "select {list}, count(*), {total} from (select {value} from {invocation} as {columns} limit {MAX_ROWS}) page{counted}"
    )
}

fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}
