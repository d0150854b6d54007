//! `GET /v1/usage?from&to&group_by`

use limits::{Member, OnAbsence};
use platform::{Context, Timestamp};
use problem::{Problem, kinds};
use quota::account::{Per, Rule, Standing, Unit};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::value::RawValue;
use supabase::{Identity, Supabase, USAGE_SUMMARY};
use url::form_urlencoded;

use crate::LlmProxy;
use crate::models::json_response;

#[derive(Serialize)]
struct UsageQuery {
    from: Option<String>,
    to: Option<String>,
    group_by: &'static str,
}

const GROUPS: [&str; 4] = ["day", "model", "user", "key"];

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
    let query = parse(query)?;
    let summary: Box<RawValue> = supabase.rpc(context, USAGE_SUMMARY, &query, Identity::User(user_token)).await?;
    Ok(json_response(String::from(Box::<str>::from(summary)).into()))
}

fn parse(query: &str) -> Result<UsageQuery, Problem> {
    let (mut from, mut to, mut group_by) = (None, None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let repeated = match &*name {
            "from" => from.replace(time("from", &value)?).is_some(),
            "to" => to.replace(time("to", &value)?).is_some(),
            "group_by" => group_by.replace(group(&value)?).is_some(),
            _ => {
                let name: String = name.chars().take(100).collect();
                return Err(invalid(&name, "There is no such parameter: use `from`, `to` and `group_by`."));
            }
        };
        if repeated {
            return Err(invalid(&name, "The parameter is there twice: send it once."));
        }
    }
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        return Err(invalid("from", "`from` must be before `to`."));
    }
    let text = |time: Timestamp| time.to_string();
    Ok(UsageQuery { from: from.map(text), to: to.map(text), group_by: group_by.unwrap_or("day") })
}

/// RFC 3339, or a date, which stands for its beginning in UTC.
fn time(name: &str, value: &str) -> Result<Timestamp, Problem> {
    // In a query an unencoded `+` of an offset has become a space.
    let value = value.replace(' ', "+");
    let is_date = value.len() == "2026-11-21".len();
    let time = if is_date { format!("{value}T00:00:00Z").parse() } else { value.parse() };
    time.map_err(|_| invalid(name, &format!("`{name}` must be like 2026-11-21 or 2026-11-21T00:00:00Z.")))
}

fn group(value: &str) -> Result<&'static str, Problem> {
    let known = GROUPS.into_iter().find(|group| *group == value);
    known.ok_or_else(|| invalid("group_by", "`group_by` must be day, model, user or key."))
}

fn invalid(parameter: &str, detail: &str) -> Problem {
    Problem::new(kinds::INVALID_REQUEST).at(parameter, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(query: &str) -> (Option<String>, Option<String>, &'static str) {
        let query = parse(query).unwrap();
        (query.from, query.to, query.group_by)
    }

    #[test]
    fn reads_dates_and_times() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parsed(""), (None, None, "day"));
        assert_eq!(
            parsed("from=2026-11-01&to=2026-11-21T10:00:00%2B01:00&group_by=model"),
            (some("2026-11-01T00:00:00Z"), some("2026-11-21T09:00:00Z"), "model")
        );
        assert_eq!(parsed("to=2026-11-21T10:00:00+01:00").1, some("2026-11-21T09:00:00Z"));
    }

    #[test]
    fn each_wrong_parameter_is_named() {
        for (query, parameter) in [
            ("from=yesterday", "from"),
            ("to=2026-13-01", "to"),
            ("to=2026-11-21T10:00:00", "to"),
            ("from=", "from"),
            ("group_by=hour", "group_by"),
            ("group_by=day&group_by=day", "group_by"),
            ("from=2026-11-02&to=2026-11-02", "from"),
            ("form=2026-11-02", "form"),
        ] {
            let problem = parse(query).err().unwrap();
            assert_eq!(problem.kind(), kinds::INVALID_REQUEST, "{query}");
            assert!(problem.openai_body().contains(&format!(r#""param":"{parameter}""#)), "{query}");
        }
    }
}
