//! `GET /v1/limits`

use limits::Member;
use platform::{Context, Response};
use problem::Problem;
use serde_json::json;
use token::{Caller, Refusal};

use crate::{RateLimit, answer, in_force, shown};

/// What applies to the caller, the most specific first, with what is left of it. Whatever the credential may do, it may
/// know its limits; those of an organization only with the second factor that it requires.
pub async fn show(function: &RateLimit, caller: &Caller, context: &Context) -> Result<Response, Problem> {
    if caller.principal.lacks_second_factor() {
        return Err(Refusal::NoSecondFactor.into());
    }
    let member = Member::from(&*caller.principal);
    let subjects = member.subjects(&function.limits);
    let in_force = in_force::look(function, &member.account(), subjects, context).await?;
    let mut response = answer(&json!({"data": shown::show(&in_force)}))?;
    limits::describe(&in_force.standings, response.headers_mut());
    Ok(response)
}
