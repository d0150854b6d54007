//! PostgREST's errors: `{"code", "details", "hint", "message"}` and the statuses that go with them.

use std::collections::BTreeMap;

use deadpool_postgres::PoolError;
use http::{HeaderName, StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use tokio_postgres::error::DbError;

use crate::answer::{self, Response};
use crate::signing::Flaw;

/// One error.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    code: String,
    message: String,
    details: Option<Box<str>>,
    hint: Option<Box<str>>,
    headers: Vec<(String, String)>,
}

impl Failure {
    pub(super) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), details: None, hint: None, headers: Vec::new() }
    }

    pub(super) fn details(self, details: impl Into<String>) -> Self {
        Self { details: Some(details.into().into()), ..self }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into().into()), ..self }
    }

    fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// A part of the query string that PostgREST would not take, or that this server does not know.
    pub(super) fn query(what: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "PGRST100", format!("failed to parse {what}"))
            .details("this server knows select, order, limit, offset, and the operators eq, neq, gt, gte, lt, lte, like, ilike, in, is and not")
    }

    pub(super) fn body(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "PGRST102", message)
    }

    pub(super) fn method(code: &str, message: String) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, code, message)
    }

    pub(super) fn invalid_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "PGRST125", "Invalid path specified in request URL")
    }

    pub(super) fn unknown_schema(wanted: &str, exposed: &[&str]) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "PGRST106", format!("Invalid schema: {wanted}"))
            .hint(format!("Only the following schemas are exposed: {}", exposed.join(", ")))
    }

    pub(super) fn unknown_table(schema: &str, table: &str) -> Self {
        let message = format!("Could not find the table '{schema}.{table}' in the schema cache");
        Self::new(StatusCode::NOT_FOUND, "PGRST205", message)
    }

    pub(super) fn unknown_column(table: &str, column: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "42703", format!("column {table}.{column} does not exist"))
    }

    /// No function of that name takes these arguments.
    pub(super) fn unknown_function(schema: &str, name: &str, arguments: &[&str]) -> Self {
        let (call, with) = match arguments {
            [] => (format!("{schema}.{name} without parameters"), "without parameters".to_owned()),
            [one] => (format!("{schema}.{name}({one})"), format!("with parameter {one}")),
            several => {
                let list = several.join(", ");
                (format!("{schema}.{name}({list})"), format!("with parameters {list}"))
            }
        };
        Self::new(StatusCode::NOT_FOUND, "PGRST202", format!("Could not find the function {call} in the schema cache"))
            .details(format!(
                "Searched for the function {schema}.{name} {with} or with a single unnamed json/jsonb parameter, but no \
                 matches were found in the schema cache."
            ))
    }

    pub(super) fn ambiguous_function(name: &str) -> Self {
        let message = format!("Could not choose the best candidate function between several of the name {name}");
        Self::new(StatusCode::MULTIPLE_CHOICES, "PGRST203", message).hint(
            "Try renaming the parameters or the function itself in the database so function overloading can be resolved",
        )
    }

    pub(super) fn not_one_row(rows: i64) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "PGRST116", "Cannot coerce the result to a single JSON object")
            .details(format!("The result contains {rows} rows"))
    }

    pub(super) fn token(flaw: Flaw) -> Self {
        let (code, message) = match flaw {
            Flaw::Malformed => ("PGRST301", "JWT could not be decoded"),
            Flaw::UnknownKey => ("PGRST301", "No suitable key or wrong key type"),
            Flaw::Signature => ("PGRST301", "JWT cryptographic operation failed"),
            Flaw::Expired => ("PGRST303", "JWT expired"),
        };
        let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{message}\"");
        Self::new(StatusCode::UNAUTHORIZED, code, message).header(header::WWW_AUTHENTICATE.as_str(), challenge)
    }

    pub(super) fn pool(error: &PoolError) -> Self {
        match error {
            PoolError::Timeout(_) => {
                let message = "Timed out acquiring connection from connection pool.";
                Self::new(StatusCode::GATEWAY_TIMEOUT, "PGRST003", message)
            }
            other => Self::connection(&other.to_string()),
        }
    }

    fn connection(details: &str) -> Self {
        let message = "Database client error. Retrying the connection.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "PGRST001", message).details(details)
    }

    /// What PostgreSQL said, to a caller that has (or has not) said who it is.
    pub(super) fn database(error: &tokio_postgres::Error, authenticated: bool) -> Self {
        let Some(db) = error.as_db_error() else { return Self::connection(&error.to_string()) };
        if db.code().code() == "PGRST" {
            return Self::raised(db);
        }
        let status = status_of(db.code().code(), authenticated);
        let failure = Self {
            details: db.detail().map(Into::into),
            hint: db.hint().map(Into::into),
            ..Self::new(status, db.code().code(), db.message())
        };
        if status == StatusCode::UNAUTHORIZED {
            return failure.header(header::WWW_AUTHENTICATE.as_str(), "Bearer");
        }
        failure
    }

    /// `raise sqlstate 'PGRST'` carries the whole answer as JSON: the body in MESSAGE, status and headers in DETAIL.
    fn raised(error: &DbError) -> Self {
        #[derive(Deserialize)]
        struct Body {
            code: String,
            message: String,
            details: Option<Box<str>>,
            hint: Option<Box<str>>,
        }
        #[derive(Deserialize)]
        struct Detail {
            status: u16,
            #[serde(default)]
            headers: BTreeMap<String, String>,
        }
        let body = serde_json::from_str::<Body>(error.message());
        let detail = serde_json::from_str::<Detail>(error.detail().unwrap_or_default());
        let (Ok(body), Ok(detail)) = (body, detail) else {
            let message = "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error";
            return Self::new(StatusCode::INTERNAL_SERVER_ERROR, "PGRST121", message)
                .hint("MESSAGE must be a JSON object with code and message, DETAIL one with status");
        };
        Self {
            status: StatusCode::from_u16(detail.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code: body.code,
            message: body.message,
            details: body.details,
            hint: body.hint,
            headers: detail.headers.into_iter().collect(),
        }
    }

    pub(super) fn into_response(self) -> Response {
        let body = json!({ "code": self.code, "details": self.details, "hint": self.hint, "message": self.message });
        let mut response = answer::with_body(self.status, "application/json; charset=utf-8", body.to_string());
        for (name, value) in self.headers {
            if let Ok(name) = HeaderName::try_from(name) {
                answer::set(&mut response, name, &value);
            }
        }
        response
    }
}

fn status_of(code: &str, authenticated: bool) -> StatusCode {
    match code {
        "23503" | "23505" => StatusCode::CONFLICT,
        "25006" => StatusCode::METHOD_NOT_ALLOWED,
        "42501" if authenticated => StatusCode::FORBIDDEN,
        "42501" => StatusCode::UNAUTHORIZED,
        "42883" | "42P01" => StatusCode::NOT_FOUND,
        "42P17" | "53400" => StatusCode::INTERNAL_SERVER_ERROR,
        "P0001" => StatusCode::BAD_REQUEST,
        _ => match code.split_at_checked(2) {
            Some(("PT", status)) => {
                let status = status.parse().ok().and_then(|status| StatusCode::from_u16(status).ok());
                status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Some(("08" | "53", _)) => StatusCode::SERVICE_UNAVAILABLE,
            Some(("0L" | "0P" | "28", _)) => StatusCode::FORBIDDEN,
            Some((
                "09" | "25" | "2D" | "38" | "39" | "3B" | "40" | "54" | "55" | "57" | "58" | "F0" | "HV" | "P0" | "XX",
                _,
            )) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_code_has_its_status() {
        let cases = [
            ("23505", 409),
            ("23503", 409),
            ("P0001", 400),
            ("P0002", 500),
            ("42883", 404),
            ("42P01", 404),
            ("25006", 405),
            ("08006", 503),
            ("53300", 503),
            ("53400", 500),
            ("40001", 500),
            ("57014", 500),
            ("55P03", 500),
            ("23502", 400),
            ("23514", 400),
            ("22P02", 400),
            ("PT402", 402),
            ("PT404", 404),
            ("PTxyz", 500),
            ("42703", 400),
        ];
        for (code, status) in cases {
            assert_eq!(status_of(code, true).as_u16(), status, "{code}");
        }
    }

    #[test]
    fn a_refusal_asks_for_a_token_only_where_there_was_none() {
        assert_eq!(status_of("42501", false), StatusCode::UNAUTHORIZED);
        assert_eq!(status_of("42501", true), StatusCode::FORBIDDEN);
    }
}
