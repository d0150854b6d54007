//! `GET /v1/usage?from&to&group_by`

use limits::{Member, OnAbsence};
use platform::Context;
use problem::Problem;
use quota::account::{Per, Rule, Standing, Unit};
use secrecy::SecretString;
use serde_json::json;
use serde_json::value::RawValue;
use supabase::{Identity, Supabase, USAGE_SUMMARY};

use crate::LlmProxy;
use crate::models::json_response;
use crate::usage_query::Query;

/// How often a user may ask in a minute: a summary reads many rows.
const PER_MINUTE: u64 = 120;

/// Counts one question of `member`; 429 for one too many. Where it cannot be counted it is answered all the same.
pub(crate) async fn count(proxy: &LlmProxy, member: &Member, context: &Context) -> Result<Vec<Standing>, Problem> {
    let rule = Rule { name: "usage".into(), unit: Unit::Requests, per: Per::Seconds(60), limit: PER_MINUTE };
    limits::take(&proxy.limits, &proxy.availability, context, member, rule, OnAbsence::Open).await
}

/// What was used from `from` to before `to` (the last 30 days unless told otherwise), as far as the caller may see it.
pub(crate) async fn summary(
    supabase: &Supabase,
    query: &str,
    user_token: &SecretString,
    context: &Context,
) -> Result<platform::Response, Problem> {
    let query = Query::parse(query, &["from", "to", "group_by"])?;
    let payload = json!({"from": query.from, "to": query.to, "group_by": query.group_by});
    let summary: Box<RawValue> = supabase.rpc(context, USAGE_SUMMARY, &payload, Identity::User(user_token)).await?;
    Ok(json_response(String::from(Box::<str>::from(summary)).into()))
}
