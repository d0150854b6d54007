//! The query of what was used.

use platform::Timestamp;
use problem::{Problem, kinds};
use url::form_urlencoded;
use uuid::Uuid;

/// Which calls, and how they are shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Query {
    /// Those that began then or later.
    pub(crate) from: Option<String>,
    /// Those that began earlier.
    pub(crate) to: Option<String>,
    pub(crate) group_by: &'static str,
    /// Those that come after this one.
    pub(crate) after: Option<Uuid>,
}

const GROUPS: [&str; 4] = ["day", "model", "user", "key"];

impl Query {
    /// Reads the parameters, each known and there once: 400 with the name of the first that is not.
    pub(crate) fn parse(query: &str, known: &[&str]) -> Result<Self, Problem> {
        let (mut from, mut to, mut group_by, mut after) = (None, None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let repeated = match known.iter().find(|known| **known == name) {
                Some(&"from") => from.replace(time("from", &value)?).is_some(),
                Some(&"to") => to.replace(time("to", &value)?).is_some(),
                Some(&"group_by") => group_by.replace(group(&value)?).is_some(),
                Some(&"after") => after.replace(id(&value)?).is_some(),
                _ => return Err(unknown(&name, known)),
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
        Ok(Self { from: from.map(text), to: to.map(text), group_by: group_by.unwrap_or("day"), after })
    }
}

fn unknown(name: &str, known: &[&str]) -> Problem {
    let name: String = name.chars().take(100).collect();
    let known = known.iter().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ");
    invalid(&name, &format!("There is no such parameter: use {known}."))
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

fn id(value: &str) -> Result<Uuid, Problem> {
    value.parse().map_err(|_| invalid("after", "`after` must be the id of a call."))
}

fn invalid(parameter: &str, detail: &str) -> Problem {
    Problem::new(kinds::INVALID_REQUEST).at(parameter, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUMMARY: [&str; 3] = ["from", "to", "group_by"];
    const EXPORT: [&str; 3] = ["from", "to", "after"];

    #[test]
    fn reads_dates_and_times() {
        let parsed = |query: &str| {
            let query = Query::parse(query, &SUMMARY).unwrap();
            (query.from, query.to, query.group_by)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parsed(""), (None, None, "day"));
        assert_eq!(
            parsed("from=2026-11-01&to=2026-11-21T10:00:00%2B01:00&group_by=model"),
            (some("2026-11-01T00:00:00Z"), some("2026-11-21T09:00:00Z"), "model")
        );
        assert_eq!(parsed("to=2026-11-21T10:00:00+01:00").1, some("2026-11-21T09:00:00Z"));
        let after = Query::parse("after=00000000-0000-0000-0000-000000000007", &EXPORT).unwrap().after;
        assert_eq!(after, Some(Uuid::from_u128(7)));
    }

    #[test]
    fn each_wrong_parameter_is_named() {
        for (query, known, parameter) in [
            ("from=yesterday", SUMMARY, "from"),
            ("to=2026-13-01", SUMMARY, "to"),
            ("to=2026-11-21T10:00:00", EXPORT, "to"),
            ("from=", SUMMARY, "from"),
            ("group_by=hour", SUMMARY, "group_by"),
            ("group_by=day&group_by=day", SUMMARY, "group_by"),
            ("from=2026-11-02&to=2026-11-02", EXPORT, "from"),
            ("form=2026-11-02", SUMMARY, "form"),
            ("after=00000000-0000-0000-0000-000000000007", SUMMARY, "after"),
            ("group_by=day", EXPORT, "group_by"),
            ("after=7", EXPORT, "after"),
        ] {
            let problem = Query::parse(query, &known).err().unwrap();
            assert_eq!(problem.kind(), kinds::INVALID_REQUEST, "{query}");
            assert!(problem.openai_body().contains(&format!(r#""param":"{parameter}""#)), "{query}");
        }
    }
}
