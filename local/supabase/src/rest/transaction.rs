//! One transaction per request, as the caller's role, in one round trip.

use std::sync::Arc;

use deadpool_postgres::Pool;
use futures_util::future::join4;
use http::{StatusCode, header};
use serde_json::json;
use tokio_postgres::types::{ToSql, Type};

use super::failure::Failure;
use crate::answer::{self, Response};
use crate::gateway::Caller;
use crate::surface::Surface;

const SET_UP: &str = "select set_config('search_path', $1, true), set_config('role', $2, true), \
                      set_config('request.jwt.claims', $3, true), \
                      set_config('statement_timeout', coalesce($4, current_setting('statement_timeout')), true)";

/// As whom, and in which schema.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    role: String,
    claims: String,
    pub(super) schema: &'static str,
    /// Whether the caller has said who it is.
    authenticated: bool,
}

/// A statement whose first column is the body, then the number of rows in it and the number there are in all.
#[derive(Debug, Default)]
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) parameters: Vec<Option<String>>,
    pub(super) reads_only: bool,
    /// Overrides the role's.
    pub(super) timeout: Option<String>,
}

/// What a statement gave.
#[derive(Debug)]
pub(super) struct Page {
    body: Option<String>,
    /// The rows in the body, if it is a list.
    rows: Option<i64>,
    total: Option<i64>,
    offset: u64,
}

impl Identity {
    pub(super) fn new(caller: &Caller, schema: &'static str) -> Self {
        let of_key = |role: &str, authenticated| Self {
            role: role.into(),
            claims: json!({ "role": role }).to_string(),
            schema,
            authenticated,
        };
        match caller {
            Caller::Anonymous => of_key("anon", false),
            Caller::Service => of_key("service_role", true),
            Caller::User(token) => Self {
                role: token.role.clone().unwrap_or_else(|| "anon".into()),
                claims: token.claims.clone(),
                schema,
                authenticated: true,
            },
        }
    }

    /// Runs `statement` as this caller.
    pub(super) async fn run(&self, statement: Statement, surface: &Arc<Surface>) -> Result<Page, Failure> {
        let (identity, pool) = (self.clone(), surface.rest.clone());
        let timeout =
            statement.timeout.clone().or_else(|| surface.schema.current().timeout(&self.role).map(Into::into));
        // A task of its own: a caller that hangs up must not leave a connection in the middle of a transaction.
        let run = tokio::spawn(async move { identity.run_on(&pool, &statement, timeout).await });
        run.await.unwrap_or_else(|error| {
            crate::log::error("transaction", &error.to_string());
            Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "PGRSTX00", "Internal server error"))
        })
    }

    async fn run_on(&self, pool: &Pool, statement: &Statement, timeout: Option<String>) -> Result<Page, Failure> {
        let client = pool.get().await.map_err(|error| Failure::pool(&error))?;
        let failure = |error: &tokio_postgres::Error| Failure::database(error, self.authenticated);
        let set_up = client.prepare_typed_cached(SET_UP, &[Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT]).await;
        let set_up = set_up.map_err(|error| failure(&error))?;
        let search_path = format!("{}, public, extensions", self.schema);
        let settings: [&(dyn ToSql + Sync); 4] = [&search_path, &self.role, &self.claims, &timeout];
        let parameters: Vec<_> =
            statement.parameters.iter().map(|value| (value as &(dyn ToSql + Sync), Type::TEXT)).collect();
        let opening = if statement.reads_only { "begin read only" } else { "begin" };

        // All four are sent before the first answer is awaited; after an error the rest fails and `commit` rolls back.
        let (begun, settled, rows, committed) = join4(
            client.batch_execute(opening),
            client.query(&set_up, &settings),
            client.query_typed(&statement.sql, &parameters),
            client.batch_execute("commit"),
        )
        .await;
        begun.map_err(|error| failure(&error))?;
        settled.map_err(|error| failure(&error))?;
        let rows = rows.map_err(|error| failure(&error))?;
        committed.map_err(|error| failure(&error))?;
        let column = |index| rows.first().and_then(|row| row.try_get(index).ok()).flatten();
        let body = rows.first().and_then(|row| row.try_get(0).ok()).flatten();
        Ok(Page { body, rows: column(1), total: column(2), offset: 0 })
    }
}

impl Page {
    /// The same page, of a list whose first rows were skipped.
    pub(super) fn starting_at(self, offset: u64) -> Self {
        Self { offset, ..self }
    }

    pub(super) fn into_response(self, single: bool) -> Result<Response, Failure> {
        if let Some(rows) = self.rows.filter(|rows| single && *rows != 1) {
            return Err(Failure::not_one_row(rows));
        }
        let Some(body) = self.body else { return Ok(answer::empty(StatusCode::NO_CONTENT)) };
        let is_part = self.total.zip(self.rows).is_some_and(|(total, rows)| rows < total);
        let status = if is_part { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        let media_type = if single { super::SINGLE_OBJECT } else { "application/json; charset=utf-8" };
        let mut response = answer::with_body(status, media_type, body);
        if let Some(rows) = self.rows {
            answer::set(&mut response, header::CONTENT_RANGE, &content_range(self.offset, rows, self.total));
        }
        Ok(response)
    }
}

fn content_range(offset: u64, rows: i64, total: Option<i64>) -> String {
    let total = total.map_or_else(|| "*".into(), |total| total.to_string());
    match u64::try_from(rows) {
        Ok(rows @ 1..) => format!("{offset}-{}/{total}", offset + rows - 1),
        _ => format!("*/{total}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_counts_from_zero() {
        assert_eq!(content_range(0, 3, None), "0-2/*");
        assert_eq!(content_range(10, 1, Some(11)), "10-10/11");
        assert_eq!(content_range(0, 0, Some(0)), "*/0");
    }
}
