use platform::Context;
use problem::{Problem, kinds};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;
use supabase::{Error, Identity, Rpc, Supabase};
use token::Caller;
use uuid::Uuid;

use crate::own_token;

/// Where in the request an argument of a database function came from: the argument's name, and a JSON pointer or the
/// name of a query parameter.
pub type Places = &'static [(&'static str, &'static str)];

/// A signed-in user, who calls database functions as nobody but themselves: row level security decides.
#[derive(Clone)]
pub struct User {
    supabase: Supabase,
    token: SecretString,
    context: Context,
}

impl User {
    /// The user behind `caller`; an API key and an anonymous user are refused with 403.
    pub fn of(caller: &Caller, supabase: &Supabase, context: &Context) -> Result<Self, Problem> {
        caller.require_identity()?;
        Ok(Self { supabase: supabase.clone(), token: own_token(caller)?, context: context.clone() })
    }

    /// What the request was given of its host.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Calls a database function. What it refuses is told with the place in the request that is wrong, where there is
    /// one; of a missing permission its name is told.
    pub async fn call<T: DeserializeOwned>(
        &self,
        function: Rpc,
        payload: &Value,
        places: Places,
    ) -> Result<T, Problem> {
        let answer = self.supabase.rpc(&self.context, function, payload, Identity::User(&self.token)).await;
        answer.map_err(|error| refused(error, places))
    }
}

/// An id in a path. What is no id names nothing.
pub fn id(segment: &str) -> Result<Uuid, Problem> {
    segment.parse().map_err(|_| Problem::new(kinds::NOT_FOUND))
}

fn refused(error: Error, places: Places) -> Problem {
    if let Error::Domain { status, message, field: Some(field) } = &error
        && let Some((_, place)) = places.iter().find(|(argument, _)| *argument == field)
    {
        return Error::Domain { status: *status, message: message.clone(), field: Some((*place).into()) }.into();
    }
    error.without_place().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16, message: &str, field: Option<&str>, places: Places) -> (u16, Value) {
        let error = Error::Domain { status, message: message.into(), field: field.map(Into::into) };
        let response = refused(error, places).into_response(problem::Dialect::ProblemJson, "r-1");
        (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
    }

    #[test]
    fn an_argument_is_told_by_its_place_in_the_request() {
        let (status, body) = problem(422, "name is odd", Some("name"), &[("name", "/name")]);
        assert_eq!((status, &body["errors"][0]["pointer"]), (422, &"/name".into()));
        let (_, body) = problem(404, "no such member", Some("user_id"), &[]);
        assert_eq!((&body["detail"], body.get("errors")), (&"No such member.".into(), None));
    }

    #[test]
    fn a_missing_permission_is_named_and_points_nowhere() {
        let (status, body) =
            problem(403, "this needs the permission members:write", Some("members:write"), &[("role", "/role")]);
        assert_eq!(status, 403);
        assert_eq!((&body["detail"], body.get("errors")), (&"This needs the permission members:write.".into(), None));
    }

    #[test]
    fn an_id_is_a_uuid_or_names_nothing() {
        assert!(id("00000000-0000-4000-8000-000000000001").is_ok());
        for segment in ["", "1", "00000000-0000-4000-8000-00000000000", "../keys", "%00"] {
            assert_eq!(id(segment).unwrap_err().kind(), kinds::NOT_FOUND, "{segment}");
        }
    }
}
